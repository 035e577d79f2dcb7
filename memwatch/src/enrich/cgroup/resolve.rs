//! From a path that a user gave to what the kernel side filters by.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use memwatch_ebpf::abi::header::MEMORY_V1;

use super::{Branch, CgroupTree};
use crate::core::fact::Hierarchy;

/// A cgroup as the kernel side compares it: an ancestor at a level has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its id, with [`MEMORY_V1`] where that is its hierarchy.
    pub id: u64,
    /// Its depth below the root of the hierarchy, which has 0.
    pub level: u32,
    /// Its path in the hierarchy, as the ledger's are.
    pub path: String,
}

/// Why a path names no cgroup.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The host has neither hierarchy mounted.
    #[error(
        "cannot filter by cgroup: no cgroup2 file system is mounted; mount one, or filter by pid or comm"
    )]
    NoHierarchy,
    /// The path lies in a hierarchy that the kernel side cannot filter by.
    #[error(
        "cgroup {path:?} is in a v1 hierarchy other than the memory controller's; name one below {points}"
    )]
    V1 {
        /// As it was given.
        path: PathBuf,
        /// Where the hierarchies are mounted.
        points: String,
    },
    /// The path holds `..`.
    #[error("cgroup {path:?} holds `..`; write the path out")]
    LeadsUp {
        /// As it was given.
        path: PathBuf,
    },
    /// There is no such cgroup.
    #[error("there is no cgroup {path:?} below {points}; `systemd-cgls` lists them")]
    NotFound {
        /// As it was given.
        path: PathBuf,
        /// Where the hierarchies are mounted.
        points: String,
    },
}

impl CgroupTree {
    /// The cgroup at `path`: the path of its folder on this host, or its path below the root of a hierarchy: the unified one,
    /// else the memory controller's own.
    ///
    /// The level counts from the root of the mount. Where that is not the hierarchy's own root (a private cgroup namespace
    /// without the host's mount), the kernel's count differs and a filter matches nothing.
    ///
    /// # Errors
    /// When there is no such cgroup; the message says where it was looked for.
    pub fn resolve(&self, path: &Path) -> Result<Cgroup, ResolveError> {
        let branches = [(&self.unified, 0), (&self.memory, MEMORY_V1)];
        let branches = branches.into_iter().filter_map(|(branch, mark)| Some((branch.as_ref()?, mark)));
        let branches: Vec<_> = branches.collect();
        if branches.is_empty() {
            return Err(ResolveError::NoHierarchy);
        }
        let given = || path.to_owned();
        let points = || {
            let points = branches.iter().map(|(branch, _)| format!("{:?}", branch.mount.point));
            points.collect::<Vec<_>>().join(" or ")
        };
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(ResolveError::LeadsUp { path: given() });
        }
        if self.v1_points.iter().any(|point| path.starts_with(point)) {
            return Err(ResolveError::V1 { path: given(), points: points() });
        }
        // Where the unified hierarchy is mounted above the others, theirs is the longer match.
        let within = branches.iter().filter(|(branch, _)| path.starts_with(&branch.mount.point));
        let found = match within.max_by_key(|(branch, _)| branch.mount.point.components().count()) {
            Some((branch, mark)) => {
                path.strip_prefix(&branch.mount.point).ok().and_then(|below| branch.at(below, *mark))
            }
            None => {
                let below = path.strip_prefix("/").unwrap_or(path);
                branches.iter().find_map(|(branch, mark)| branch.at(below, *mark))
            }
        };
        found.ok_or_else(|| ResolveError::NotFound { path: given(), points: points() })
    }
}

impl Cgroup {
    /// The hierarchy it is in.
    #[must_use]
    pub const fn hierarchy(&self) -> Hierarchy {
        super::hierarchy_of(self.id)
    }
}

impl Branch {
    fn at(&self, below: &Path, mark: u64) -> Option<Cgroup> {
        let folder =
            std::fs::metadata(self.mount.point.join(below)).ok().filter(std::fs::Metadata::is_dir)?;
        let root = self.mount.root.components();
        let names: Vec<_> = root
            .chain(below.components())
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy()),
                Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
            })
            .collect();
        let level = u32::try_from(names.len()).unwrap_or(u32::MAX);
        Some(Cgroup { id: folder.ino() | mark, level, path: format!("/{}", names.join("/")) })
    }
}
