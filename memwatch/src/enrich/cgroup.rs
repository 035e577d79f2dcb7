//! Cgroups: from an id to a path, and from a path to what the kernel side filters by. On hosts where the memory controller has
//! a v1 hierarchy of its own, its cgroups are known as well, by ids with [`MEMORY_V1`]: containers are often there
//! and nowhere else.
//!
//! A cgroup's id is the inode number of its folder (`cgroup_id` of include/linux/cgroup.h returns `kn->id`, and
//! `kernfs_ino` of include/linux/kernfs.h is that id on 64-bit kernels). A tree is walked when an unknown id is met, at
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

use memwatch_ebpf::abi::header::{MEMORY_V1, cgroup_number};

use crate::core::fact::Hierarchy;
use index::Index;
pub use mounts::{Mount, folder_of, parse_mounts, widest};
pub use resolve::{Cgroup, ResolveError};

/// Shortest time between two walks, in nanoseconds.
const WALK_PAUSE_NS: u64 = 100_000_000;
/// A walk of length t is followed by a pause of at least this many t: walking costs 5 % of a CPU at most.
const WALK_PAUSE_FACTOR: u64 = 20;

/// The hierarchy that a cgroup's id belongs to.
#[must_use]
pub const fn hierarchy_of(id: u64) -> Hierarchy {
    if id & MEMORY_V1 == 0 { Hierarchy::Unified } else { Hierarchy::Memory }
}

/// The hierarchies as this program sees them.
#[derive(Debug)]
pub struct CgroupTree {
    /// `None` where no unified hierarchy is mounted: then nothing is found in it.
    unified: Option<Branch>,
    /// The memory controller's, where it is of v1 and mounted.
    memory: Option<Branch>,
    /// Mount points of other v1 hierarchies: a path below one of them gets an error of its own.
    v1_points: Vec<PathBuf>,
}

/// One hierarchy.
#[derive(Debug)]
struct Branch {
    mount: Mount,
    index: Index,
    next_walk_ns: u64,
    walks_cut: u64,
}

impl CgroupTree {
    /// The trees behind the mounts of `/proc/self/mountinfo`; nothing is read yet.
    #[must_use]
    pub fn new(mountinfo: &[u8]) -> Self {
        let mounts = parse_mounts(mountinfo);
        let branch = |hierarchy| widest(&mounts, hierarchy).cloned().map(Branch::new);
        let (unified, memory) = (branch(Hierarchy::Unified), branch(Hierarchy::Memory));
        let known = [Some(Hierarchy::Unified), Some(Hierarchy::Memory)];
        let others = mounts.into_iter().filter(|mount| !known.contains(&mount.hierarchy));
        Self { unified, memory, v1_points: others.map(|mount| mount.point).collect() }
    }

    /// Whether v1 hierarchies are mounted: then a process's cgroups can change without its id in records changing.
    #[must_use]
    pub fn has_v1(&self) -> bool {
        self.memory.is_some() || !self.v1_points.is_empty()
    }

    /// Walks that were cut at 100,000 folders.
    #[must_use]
    pub fn walks_cut(&self) -> u64 {
        [&self.unified, &self.memory].into_iter().flatten().map(|branch| branch.walks_cut).sum()
    }

    /// The path of a cgroup below the root of its hierarchy. `now_ns` is any clock that does not go back; an unknown
    /// id makes the tree be walked when the last walk is long enough ago.
    pub fn path(&mut self, id: u64, now_ns: u64) -> Option<Arc<str>> {
        self.branch(id)?.path(cgroup_number(id), now_ns)
    }

    /// The same of a cgroup of the memory controller's hierarchy, whose id says nothing of that.
    pub fn charged_path(&mut self, number: u64, now_ns: u64) -> Option<Arc<str>> {
        let branch = self.memory.as_mut().or(self.unified.as_mut())?;
        if number == 0 { None } else { branch.path(number, now_ns) }
    }

    /// Notes that `path` is the cgroup `id`, if its folder says so; so a walk is saved.
    pub fn learn(&mut self, id: u64, path: &str) -> bool {
        let number = cgroup_number(id);
        let Some(branch) = self.branch(id) else { return false };
        if branch.index.path(number).is_some_and(|known| **known == *path) {
            return true;
        }
        let folder = branch.folder(path).and_then(|folder| std::fs::metadata(folder).ok());
        let is_so = folder.is_some_and(|folder| folder.ino() == number);
        if is_so {
            branch.index.insert(number, path);
        }
        is_so
    }

    fn branch(&mut self, id: u64) -> Option<&mut Branch> {
        match hierarchy_of(id) {
            Hierarchy::Memory => self.memory.as_mut(),
            Hierarchy::Unified | Hierarchy::Systemd => self.unified.as_mut(),
        }
    }

    /// The id of the cgroup at a path below the root of a hierarchy, if it exists.
    #[must_use]
    pub fn id(&self, hierarchy: Hierarchy, path: &str) -> Option<u64> {
        let (branch, mark) = match hierarchy {
            Hierarchy::Unified => (self.unified.as_ref()?, 0),
            Hierarchy::Memory => (self.memory.as_ref()?, MEMORY_V1),
            Hierarchy::Systemd => return None,
        };
        let folder = std::fs::metadata(branch.folder(path)?).ok()?;
        Some(folder.ino() | mark)
    }
}

impl Branch {
    fn new(mount: Mount) -> Self {
        Self { mount, index: Index::default(), next_walk_ns: 0, walks_cut: 0 }
    }

    fn path(&mut self, number: u64, now_ns: u64) -> Option<Arc<str>> {
        if let Some(path) = self.index.path(number) {
            return Some(Arc::clone(path));
        }
        if now_ns < self.next_walk_ns || self.index.is_absent(number) {
            return None;
        }
        self.walk(now_ns);
        let found = self.index.path(number).map(Arc::clone);
        if found.is_none() {
            self.index.set_absent(number);
        }
        found
    }

    fn folder(&self, path: &str) -> Option<PathBuf> {
        // Seen from within a cgroup namespace a path may start with `/..`: it leads out of the mount.
        let below = Path::new(path.trim_start_matches('/'));
        let leads_out = below.components().any(|part| part == std::path::Component::ParentDir);
        (!leads_out).then(|| self.mount.point.join(below))
    }

    fn walk(&mut self, now_ns: u64) {
        let started = Instant::now();
        if !self.index.walk(&self.mount.point) {
            self.walks_cut += 1;
        }
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let pause = took.saturating_mul(WALK_PAUSE_FACTOR).max(WALK_PAUSE_NS);
        self.next_walk_ns = now_ns.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests;
