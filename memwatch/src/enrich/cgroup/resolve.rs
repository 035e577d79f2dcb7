//! From a path that a user gave to what the kernel side filters by.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::CgroupTree;

/// A cgroup as the kernel side compares it: an ancestor at a level has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its id.
    pub id: u64,
    /// Its depth below the root of the hierarchy, which has 0.
    pub level: u32,
    /// Its path in the hierarchy, as the ledger's are.
    pub path: String,
}

/// Why a path names no cgroup.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The host has no unified hierarchy mounted.
    #[error(
        "cannot filter by cgroup: no cgroup2 file system is mounted; mount one, or filter by pid or comm"
    )]
    NoHierarchy,
    /// The path lies in a hierarchy that the kernel side cannot filter by.
    #[error("cgroup {path:?} is in a v1 hierarchy, of which there is no filter; name one below {point:?}")]
    V1 {
        /// As it was given.
        path: PathBuf,
        /// Where the unified hierarchy is mounted.
        point: PathBuf,
    },
    /// The path holds `..`.
    #[error("cgroup {path:?} holds `..`; write the path out")]
    LeadsUp {
        /// As it was given.
        path: PathBuf,
    },
    /// There is no such cgroup.
    #[error("there is no cgroup {path:?} below {point:?}; `systemd-cgls` lists them")]
    NotFound {
        /// As it was given.
        path: PathBuf,
        /// Where the unified hierarchy is mounted.
        point: PathBuf,
    },
}

impl CgroupTree {
    /// The cgroup at `path`: the path of its folder on this host, or its path below the root of the hierarchy.
    ///
    /// The level counts from the root of the mount. Where that is not the hierarchy's own root (a private cgroup namespace
    /// without the host's mount), the kernel's count differs and a filter matches nothing.
    ///
    /// # Errors
    /// When there is no such cgroup; the message says where it was looked for.
    pub fn resolve(&self, path: &Path) -> Result<Cgroup, ResolveError> {
        let mount = self.unified.as_ref().ok_or(ResolveError::NoHierarchy)?;
        let given = || path.to_owned();
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(ResolveError::LeadsUp { path: given() });
        }
        let below = match path.strip_prefix(&mount.point) {
            Ok(below) => below,
            Err(_) if self.v1_points.iter().any(|point| path.starts_with(point)) => {
                return Err(ResolveError::V1 { path: given(), point: mount.point.clone() });
            }
            Err(_) => path.strip_prefix("/").unwrap_or(path),
        };
        let folder = std::fs::metadata(mount.point.join(below)).ok().filter(std::fs::Metadata::is_dir);
        let folder =
            folder.ok_or_else(|| ResolveError::NotFound { path: given(), point: mount.point.clone() })?;
        let names: Vec<_> = mount
            .root
            .components()
            .chain(below.components())
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy()),
                Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
            })
            .collect();
        let level = u32::try_from(names.len()).unwrap_or(u32::MAX);
        Ok(Cgroup { id: folder.ino(), level, path: format!("/{}", names.join("/")) })
    }
}
