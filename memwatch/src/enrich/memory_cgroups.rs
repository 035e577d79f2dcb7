//! The hierarchy that has the memory controller, of either version: its cgroups, their counters, and where a process
//! is charged.

mod stat;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::cgroup::{Mount, parse_mounts};
use super::proc::Memberships;
use crate::core::audit::{Charged, Group, Tree};
use crate::core::fact::Hierarchy;
use crate::rights::{self, CAP_DAC_READ_SEARCH};
pub use stat::{parse_dying, parse_stat};

/// Cgroups read at most; a host has hundreds to a few thousand.
const GROUPS_MAX: usize = 100_000;

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// No hierarchy has it.
    #[error(
        "no cgroup hierarchy with the memory controller is mounted; mount cgroup2, or boot without cgroup_disable=memory"
    )]
    NoController,
    /// It cannot be listed.
    #[error("cannot list the cgroups below {point:?}: {reason}; {}", rights::remedy(&[CAP_DAC_READ_SEARCH]))]
    Unreadable {
        /// Where it is mounted.
        point: PathBuf,
        /// What the kernel said. Not the source: it is in the text, which would say it twice.
        reason: io::Error,
    },
}

/// The hierarchy.
#[derive(Clone, Debug)]
pub struct MemoryHierarchy {
    mount: Mount,
}

impl MemoryHierarchy {
    /// The one behind the mounts of `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When the memory controller is in none of them.
    pub fn find(mountinfo: &[u8]) -> Result<Self, HierarchyError> {
        let mounts = parse_mounts(mountinfo);
        let has_memory = |mount: &&Mount| {
            if mount.hierarchy == Some(Hierarchy::Unified) {
                let controllers = std::fs::read(mount.point.join("cgroup.controllers")).unwrap_or_default();
                controllers.split(u8::is_ascii_whitespace).any(|name| name == b"memory")
            } else {
                mount.point.join("memory.usage_in_bytes").exists()
            }
        };
        // A bind mount of a part of it shows less.
        let widest = mounts.iter().filter(has_memory).min_by_key(|mount| mount.root.components().count());
        Ok(Self { mount: widest.ok_or(HierarchyError::NoController)?.clone() })
    }

    /// Whether it is the unified hierarchy (v2).
    #[must_use]
    pub const fn is_unified(&self) -> bool {
        matches!(self.mount.hierarchy, Some(Hierarchy::Unified))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.mount.point
    }

    /// The path of a process in it.
    #[must_use]
    pub fn path_of<'a>(&self, memberships: &'a Memberships) -> Option<&'a [u8]> {
        if self.is_unified() { memberships.unified.as_deref() } else { memberships.memory.as_deref() }
    }

    /// The folder of a cgroup by its path: below the root of the hierarchy, or the folder itself.
    #[must_use]
    pub fn folder(&self, path: &Path) -> Option<PathBuf> {
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return None;
        }
        let below = path
            .strip_prefix(&self.mount.point)
            .or_else(|_| path.strip_prefix(&self.mount.root))
            .or_else(|_| path.strip_prefix("/"))
            .unwrap_or(path);
        Some(self.mount.point.join(below))
    }

    /// Reads every cgroup that charges memory, with its counters. Those that vanish meanwhile are passed over.
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub fn read(&self, page_bytes: u64) -> Result<Cgroups, HierarchyError> {
        let point = &self.mount.point;
        let unreadable = |reason| HierarchyError::Unreadable { point: point.clone(), reason };
        let root = std::fs::metadata(point).map_err(unreadable)?;
        let mut found = Cgroups { tree: Tree::default(), by_path: HashMap::new() };
        let mut groups = Vec::new();
        let mut waiting = vec![(point.clone(), Vec::new(), root.ino(), None)];
        while let Some((folder, path, id, parent)) = waiting.pop() {
            if groups.len() >= GROUPS_MAX {
                break;
            }
            let number = if self.charges(&folder, &path) {
                groups.push(self.group(&folder, &path, id, parent, page_bytes));
                u32::try_from(groups.len() - 1).ok()
            } else {
                parent
            };
            if let Some(number) = number {
                let path = if path.is_empty() { b"/".to_vec() } else { path.clone() };
                found.by_path.insert(path, number);
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let path = [&path, &b"/"[..], entry.file_name().as_bytes()].concat();
                waiting.push((entry.path(), path, entry.ino(), number));
            }
        }
        found.tree = Tree::new(groups);
        Ok(found)
    }

    /// One cgroup with all below it; `None` when it is not there.
    #[must_use]
    pub fn group_at(&self, path: &Path, page_bytes: u64) -> Option<Subtree> {
        let folder = self.folder(path)?;
        let id = std::fs::metadata(&folder).ok().filter(std::fs::Metadata::is_dir)?.ino();
        let Group { charged, limit, .. } = self.group(&folder, b"", id, None, page_bytes);
        let mut subtree = Subtree { ids: HashSet::from([id]), charged, limit, pids: Vec::new() };
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            // A threaded cgroup lists no processes; those of its threads stand in the cgroup above.
            let pids = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            subtree.pids.extend(pids.lines().filter_map(|pid| pid.parse::<u32>().ok()));
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                subtree.ids.insert(entry.ino());
                waiting.push(entry.path());
            }
        }
        subtree.pids.sort_unstable();
        subtree.pids.dedup();
        Some(subtree)
    }

    /// The cgroups with a limit among one, by its path in the hierarchy, and those above it.
    #[must_use]
    pub fn limits_above(&self, path: &[u8], page_bytes: u64) -> Vec<Limited> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let limits = path.ancestors().filter_map(|path| {
            let group = self.group(&self.folder(path)?, b"", 0, None, page_bytes);
            let Charged { anon, shmem, kernel, .. } = group.charged;
            Some(Limited {
                path: path.to_string_lossy().into_owned(),
                limit: group.limit?,
                held: [anon, shmem, kernel].into_iter().flatten().sum(),
            })
        });
        limits.collect()
    }

    /// Whether a cgroup has the memory controller; in v2 it may be off below some, and an ancestor is charged.
    fn charges(&self, folder: &Path, path: &[u8]) -> bool {
        !self.is_unified() || path.is_empty() || folder.join("memory.current").exists()
    }

    fn group(&self, folder: &Path, path: &[u8], id: u64, parent: Option<u32>, page_bytes: u64) -> Group {
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap_or_default();
        let number =
            |file: &str| std::str::from_utf8(&read(file)).ok().and_then(|text| text.trim().parse().ok());
        let stat = parse_stat(&read("memory.stat"), self.is_unified());
        let mut charged = stat.all;
        let (limit, is_inner, dying_below) = if self.is_unified() {
            let handed_down = read("cgroup.subtree_control");
            charged.swap = number("memory.swap.current");
            let is_inner = handed_down.split(u8::is_ascii_whitespace).any(|name| name == b"memory");
            (number("memory.max"), is_inner, parse_dying(&read("cgroup.stat")))
        } else {
            charged.kernel = number("memory.kmem.usage_in_bytes");
            // No limit is shown as the largest number of whole pages.
            let limit = number("memory.limit_in_bytes");
            (limit.filter(|&bytes| bytes < i64::MAX as u64 / page_bytes * page_bytes), false, None)
        };
        Group {
            id,
            path: if path.is_empty() { b"/".to_vec() } else { path.to_vec() },
            parent,
            charged,
            local: stat.local,
            dying_below,
            is_inner,
            limit,
        }
    }
}

/// A cgroup with a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Its path in the hierarchy.
    pub path: String,
    /// The limit, in bytes.
    pub limit: u64,
    /// What it is charged for and the kernel cannot drop: all but page cache, in bytes.
    pub held: u64,
}

/// A cgroup with all below it.
#[derive(Clone, Debug)]
pub struct Subtree {
    /// Inode numbers of them all.
    pub ids: HashSet<u64>,
    /// What they are charged for.
    pub charged: Charged,
    /// The limit of the first.
    pub limit: Option<u64>,
    /// The processes in them.
    pub pids: Vec<u32>,
}

/// The cgroups, as they were when read.
#[derive(Debug)]
pub struct Cgroups {
    /// Those that charge memory.
    pub tree: Tree,
    /// By path, the number of the one that is charged for its processes.
    by_path: HashMap<Vec<u8>, u32>,
}

impl Cgroups {
    /// The cgroup that is charged for processes at a path; of one that is not there, the nearest that is.
    #[must_use]
    pub fn charged_for(&self, path: &[u8]) -> Option<u32> {
        let mut path = path;
        loop {
            if let Some(&number) = self.by_path.get(path) {
                return Some(number);
            }
            let slash = path.iter().rposition(|&byte| byte == b'/')?;
            path = match slash {
                0 if path.len() > 1 => b"/",
                0 => return None,
                _ => path.get(..slash)?,
            };
        }
    }
}
