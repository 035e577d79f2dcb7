//! All that is told of one audit.

use std::collections::HashMap;

use super::balance::{Audit, Survey};

/// How the reading went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Processes read.
    pub processes: u64,
    /// Processes that ended meanwhile.
    pub gone: u64,
    /// Processes that could not be read, for lack of a right.
    pub refused: u64,
    /// Pages read that were in memory.
    pub pages: u64,
    /// Whether the kernel tells whom pages are charged to.
    pub tells_owners: bool,
    /// Whether the hierarchy is the unified one.
    pub is_unified: bool,
    /// Time it took.
    pub took_ns: u64,
    /// CPU time it took.
    pub cpu_ns: u64,
}

/// Where a file can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path: any bytes.
    pub path: Vec<u8>,
    /// Whether it has no name any more.
    pub is_deleted: bool,
    /// The process in whose mounts the path leads to it, when it does not in ours.
    pub seen_by: Option<u32>,
}

/// An audit with what is needed to tell it.
#[derive(Debug)]
pub struct Report {
    /// What was read.
    pub survey: Survey,
    /// What came of it.
    pub audit: Audit,
    /// How the reading went.
    pub notes: Notes,
    /// Where files are, by their number; of those that are told.
    pub places: HashMap<u32, Place>,
    /// When, on the boot clock.
    pub time_ns: u64,
    /// Files told of each place that pages are charged to.
    pub files: usize,
}

impl Report {
    /// Path of a cgroup by its number.
    #[must_use]
    pub fn path(&self, group: u32) -> &[u8] {
        self.survey.tree.get(group).map_or(&b"?"[..], |group| &group.path)
    }

    /// Cgroups that are under-charged.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.audit.balances.iter().filter(|it| it.is_under_charged).count()
    }
}
