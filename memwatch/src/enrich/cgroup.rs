//! Cgroups of the unified hierarchy: from an id to a path, and from a path to what the kernel side filters by.
//!
//! A cgroup's id is the inode number of its folder (`cgroup_id` of include/linux/cgroup.h returns `kn->id`, and
//! `kernfs_ino` of include/linux/kernfs.h is that id on 64-bit kernels). The tree is walked when an unknown id is met, at
//! most every 100 ms and at most a twentieth of the time. Removed cgroups are remembered (the last 4,096), so that
//! a process whose cgroup is gone is attributed all the same.
//!
//! Paths are text: bytes of a cgroup's name that are not UTF-8 are replaced by U+FFFD.

mod index;
mod mounts;
mod resolve;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::core::fact::Hierarchy;
use index::Index;
pub use mounts::{Mount, parse_mounts, widest};
pub use resolve::{Cgroup, ResolveError};

/// Shortest time between two walks, in nanoseconds.
const WALK_PAUSE_NS: u64 = 100_000_000;
/// A walk of length t is followed by a pause of at least this many t: walking costs 5 % of a CPU at most.
const WALK_PAUSE_FACTOR: u64 = 20;

/// The unified hierarchy as this program sees it.
#[derive(Debug)]
pub struct CgroupTree {
    /// `None` where no unified hierarchy is mounted: then nothing is found.
    unified: Option<Mount>,
    /// Mount points of v1 hierarchies: a path below one of them gets an error of its own.
    v1_points: Vec<PathBuf>,
    index: Index,
    next_walk_ns: u64,
    walks_cut: u64,
}

impl CgroupTree {
    /// The tree behind the mounts of `/proc/self/mountinfo`; nothing is read yet.
    #[must_use]
    pub fn new(mountinfo: &[u8]) -> Self {
        let mounts = parse_mounts(mountinfo);
        Self {
            unified: widest(&mounts, Hierarchy::Unified).cloned(),
            v1_points: mounts
                .into_iter()
                .filter(|mount| mount.hierarchy != Some(Hierarchy::Unified))
                .map(|mount| mount.point)
                .collect(),
            index: Index::default(),
            next_walk_ns: 0,
            walks_cut: 0,
        }
    }

    /// Whether v1 hierarchies are mounted: then the unified path of a process may be the root while others tell more.
    #[must_use]
    pub fn has_v1(&self) -> bool {
        !self.v1_points.is_empty()
    }

    /// Walks that were cut at 100,000 folders.
    #[must_use]
    pub fn walks_cut(&self) -> u64 {
        self.walks_cut
    }

    /// The path of a cgroup below the root of the hierarchy. `now_ns` is any clock that does not go back; an unknown
    /// id makes the tree be walked when the last walk is long enough ago.
    pub fn path(&mut self, id: u64, now_ns: u64) -> Option<Arc<str>> {
        if let Some(path) = self.index.path(id) {
            return Some(Arc::clone(path));
        }
        if now_ns < self.next_walk_ns || self.index.is_absent(id) {
            return None;
        }
        self.walk(now_ns);
        let found = self.index.path(id).map(Arc::clone);
        if found.is_none() {
            self.index.set_absent(id);
        }
        found
    }

    /// Notes that `path` is the cgroup `id`, if its folder says so; so a walk is saved.
    pub fn learn(&mut self, id: u64, path: &str) -> bool {
        if self.index.path(id).is_some_and(|known| **known == *path) {
            return true;
        }
        let is_so = self.id(path) == Some(id);
        if is_so {
            self.index.insert(id, path);
        }
        is_so
    }

    /// The id of the cgroup at a path below the root of the hierarchy, if it exists.
    #[must_use]
    pub fn id(&self, path: &str) -> Option<u64> {
        let folder = self.folder(path)?;
        std::fs::metadata(folder).ok().map(|folder| folder.ino())
    }

    fn folder(&self, path: &str) -> Option<PathBuf> {
        let mount = self.unified.as_ref()?;
        // Seen from within a cgroup namespace a path may start with `/..`: it leads out of the mount.
        let below = Path::new(path.trim_start_matches('/'));
        let leads_out = below.components().any(|part| part == std::path::Component::ParentDir);
        (!leads_out).then(|| mount.point.join(below))
    }

    fn walk(&mut self, now_ns: u64) {
        let Some(mount) = &self.unified else { return };
        let started = Instant::now();
        if !self.index.walk(&mount.point) {
            self.walks_cut += 1;
        }
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let pause = took.saturating_mul(WALK_PAUSE_FACTOR).max(WALK_PAUSE_NS);
        self.next_walk_ns = now_ns.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests;
