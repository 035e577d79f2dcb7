//! Which processes are looked at.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::Filters;
use crate::enrich::ledger::Ledger;
use crate::enrich::proc::{Memberships, ProcFs, ReadError};

/// The processes to look at, in no order; those of a cgroup are told by [`Within`].
pub(super) fn pids(filters: &Filters, proc: &ProcFs) -> anyhow::Result<Vec<u32>> {
    if let Some(root) = filters.tree {
        must_be_process(proc, root)?;
        let own = ProcFs::open(Path::new("/proc")).context("cannot open /proc")?;
        let mut ledger = Ledger::new(own).context("cannot read the mounts of this host")?;
        ledger.seed().context("cannot list /proc")?;
        return Ok(ledger.descendants(root).into_iter().map(|key| key.tgid).collect());
    }
    if filters.pid.is_empty() {
        return proc.pids().context("cannot list /proc");
    }
    for &pid in &filters.pid {
        must_be_process(proc, pid)?;
    }
    Ok(filters.pid.iter().copied().collect::<HashSet<_>>().into_iter().collect())
}

/// `/proc/ID` answers for a thread's id as well; a process leads its own group.
fn must_be_process(proc: &ProcFs, pid: u32) -> anyhow::Result<()> {
    match proc.process(pid).and_then(|dir| dir.status()) {
        Ok(status) if status.tgid == pid => Ok(()),
        Ok(_) | Err(ReadError::Gone { .. }) => {
            bail!("there is no process with pid {pid}; `ps -e` lists those that run")
        }
        Err(error) => Err(error.into()),
    }
}

/// A cgroup, as its path in any hierarchy.
#[derive(Debug)]
pub(super) struct Within {
    path: Vec<u8>,
}

impl Within {
    /// The cgroup that a path names: below the root of its hierarchy, or where a hierarchy is mounted.
    pub(super) fn named(path: &Path) -> anyhow::Result<Self> {
        let text = path.as_os_str().as_encoded_bytes();
        ensure!(
            !path.components().any(|part| part.as_os_str() == ".."),
            "cgroup {path:?} holds `..`; write the path out"
        );
        // A v1 controller, or the unified hierarchy beside those, is mounted one folder further down.
        let below = text.strip_prefix(b"/sys/fs/cgroup").map(|below| {
            let mut parts = below.splitn(3, |&byte| byte == b'/').skip(1);
            match (parts.next(), parts.next()) {
                (Some(first), rest) if is_mount(first) => rest.unwrap_or_default(),
                _ => below,
            }
        });
        let mut path = vec![b'/'];
        path.extend(below.unwrap_or(text).split(|&byte| byte == b'/').filter(|part| !part.is_empty()).fold(
            Vec::new(),
            |mut path, part| {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
                path
            },
        ));
        Ok(Self { path })
    }

    /// Whether a process stands in the cgroup or below, in any hierarchy.
    pub(super) fn holds(&self, memberships: &Memberships) -> bool {
        let Memberships { unified, memory, systemd, unified_removed: _ } = memberships;
        [unified, memory, systemd].into_iter().flatten().any(|path| {
            path.strip_prefix(self.path.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || self.path.ends_with(b"/"))
        })
    }
}

/// Whether a folder below `/sys/fs/cgroup` is the root of a hierarchy: a cgroup of the unified one has a `cgroup.type`.
fn is_mount(name: &[u8]) -> bool {
    let folder = Path::new("/sys/fs/cgroup").join(String::from_utf8_lossy(name).as_ref());
    !folder.join("cgroup.type").exists() && folder.join("cgroup.procs").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(path: &str, member: &str) -> bool {
        let memberships = Memberships { memory: Some(member.into()), ..Memberships::default() };
        Within::named(Path::new(path)).unwrap().holds(&memberships)
    }

    #[test]
    fn a_cgroup_holds_itself_and_what_is_below() {
        for path in ["/a/b", "a/b", "/a/b/", "//a//b", "/sys/fs/cgroup/a/b"] {
            assert!(holds(path, "/a/b") && holds(path, "/a/b/c"), "{path}");
            assert!(!holds(path, "/a/bc") && !holds(path, "/a") && !holds(path, "/"), "{path}");
        }
        assert!(holds("/", "/") && holds("/", "/a") && holds("/sys/fs/cgroup", "/a"));
        assert!(Within::named(Path::new("/a/../b")).is_err());
    }
}
