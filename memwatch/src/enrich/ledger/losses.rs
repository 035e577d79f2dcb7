//! What the ledger could not keep or find out.

/// Counters of the ledger; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Processes of which nothing was known but what an event says: they had ended, or the pid had another holder.
    pub attribution_failed: u64,
    /// Dead processes that were forgotten because the room for the dead was full.
    pub dead_forgotten: u64,
    /// Processes that were found to be gone without an exit record.
    pub exits_inferred: u64,
    /// Walks of the cgroup tree that were cut because it has too many folders.
    pub cgroup_walks_cut: u64,
}

impl Losses {
    /// Every counter with the name used in reports and metrics.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); 4] {
        let Self { attribution_failed, dead_forgotten, exits_inferred, cgroup_walks_cut } = *self;
        [
            ("attribution_failed", attribution_failed),
            ("dead_forgotten", dead_forgotten),
            ("exits_inferred", exits_inferred),
            ("cgroup_walks_cut", cgroup_walks_cut),
        ]
    }
}
