//! A cgroup as the target of an act.
//!
//! Paths are resolved when the act is due, and the members are looked at one by one: one that the guard spares saves all. Unlike
//! the way to a single signal this makes memory. The cost is that of a signal to each member, below 0.4 ms
//! (6.18, on a busy machine).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::Guard;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outcome;
use crate::enrich::proc::ReadError;

/// Members looked at; a larger cgroup is not killed.
const MEMBERS: usize = 4_096;

/// A process of the cgroup, which the guard lets go.
pub(super) struct Member {
    pub(super) key: ProcessKey,
    pub(super) process: OwnedFd,
}

/// A cgroup that may be killed.
pub(super) struct Target {
    pub(super) folder: PathBuf,
    pub(super) members: Vec<Member>,
}

impl Target {
    /// The cgroup of a process.
    pub(super) fn find(guard: &mut Guard, key: ProcessKey) -> Result<Self, Outcome> {
        guard.admit(key)?;
        let Some(folder) = guard.cgroup_folder(key.tgid) else {
            tracing::warn!(
                "the cgroup of process {} is the root, or not mounted here: it is not killed",
                key.tgid
            );
            return Err(Outcome::Guarded);
        };
        Self::around(guard, key, folder)
    }

    /// A cgroup with a process in it: that may have moved, or its id may be another's since the path was read.
    pub(super) fn around(guard: &mut Guard, key: ProcessKey, folder: PathBuf) -> Result<Self, Outcome> {
        let target = Self::of(guard, folder)?;
        if target.members.iter().any(|member| member.key.is_same(key)) {
            Ok(target)
        } else {
            Err(Outcome::Gone)
        }
    }

    /// The members of a cgroup and of those below it.
    pub(super) fn of(guard: &mut Guard, folder: PathBuf) -> Result<Self, Outcome> {
        let mut ids = Vec::new();
        list(&folder, &mut ids).map_err(|error| {
            tracing::warn!("cannot list the processes of {}: {error}", folder.display());
            Outcome::Failed(error.raw_os_error().unwrap_or(libc::EIO))
        })?;
        let mut members = Vec::with_capacity(ids.len());
        for tgid in ids {
            let key = match guard.key_of(tgid) {
                Ok(key) => key,
                Err(ReadError::Gone { .. }) => continue,
                Err(_) => return Err(Outcome::Guarded),
            };
            match guard.admit(key) {
                Ok(process) => members.push(Member { key, process }),
                Err(Outcome::Gone) => {}
                Err(other) => {
                    tracing::warn!("{} is not killed: process {tgid} in it is spared", folder.display());
                    return Err(other);
                }
            }
        }
        Ok(Self { folder, members })
    }

    /// Lets the kernel kill all of them at once, also those that are being started.
    pub(super) fn kill_at_once(&self) -> io::Result<()> {
        File::options().write(true).open(self.folder.join("cgroup.kill"))?.write_all(b"1")
    }
}

/// The process ids in a cgroup and those below it.
fn list(folder: &Path, ids: &mut Vec<u32>) -> io::Result<()> {
    for line in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
        // 0 stands for a process outside of our pid namespace, which nothing can be said about.
        match line.parse() {
            Ok(id) if id > 0 && ids.len() < MEMBERS => ids.push(id),
            Ok(0) | Err(_) => return Err(io::Error::from_raw_os_error(libc::EPERM)),
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::E2BIG)),
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            match list(&entry.path(), ids) {
                // Removed meanwhile: it was empty.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {}
                result => result?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
