//! What the ledger could not keep or find out.

/// Counters of the ledger; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Processes of which nothing was known but what an event says: they had ended, or the pid had another holder.
    pub attribution_failed: u64,
    /// Programs whose executable could not be told: `/proc` could not be read in time or not at all, and the name that they were
    /// started by does not lead to it.
    pub executables_unknown: u64,
    /// Dead processes that were forgotten because the room for the dead was full.
    pub dead_forgotten: u64,
    /// Processes that were found to be gone without an exit record.
    pub exits_inferred: u64,
    /// Walks of the cgroup tree that were cut because it has too many folders.
    pub cgroup_walks_cut: u64,
}

impl Losses {
    /// The counters that are losses, with the names used in reports and metrics. The others are not: a late event of a
    /// forgotten process is a failed attribution, and an exit without a record is one that a filter kept out or whose
    /// loss the ring buffer counted.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 3] {
        [
            ("attribution_failed", self.attribution_failed),
            ("executables_unknown", self.executables_unknown),
            ("cgroup_walks_cut", self.cgroup_walks_cut),
        ]
    }
}
