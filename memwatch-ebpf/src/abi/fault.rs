//! What can go wrong on the kernel side. Each is counted in the per-CPU array `FAULTS` at its number.

/// A loss or failure on the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum FaultCode {
    /// The ring buffer was full: one record lost.
    RingFull = 0,
    /// The process map was full: a process is not followed.
    ProcessMapFull = 1,
    /// The cgroup map was full: counters of a cgroup are incomplete.
    CgroupMapFull = 2,
    /// A kernel field could not be read.
    KernelRead = 3,
    /// A user pointer could not be read (the page was not resident, or the pointer was wrong).
    UserRead = 4,
    /// The system call's registers were not where they were expected: the event was dropped.
    Registers = 5,
    /// A signal could not be sent by a rule.
    Signal = 6,
    /// The map of marked processes was full: a descendant is missing from a tree filter or rule.
    MarkMapFull = 7,
    /// A process ended with too many threads on their way out to add all of them up: its faults are incomplete.
    Threads = 8,
}

impl FaultCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::RingFull,
        Self::ProcessMapFull,
        Self::CgroupMapFull,
        Self::KernelRead,
        Self::UserRead,
        Self::Registers,
        Self::Signal,
        Self::MarkMapFull,
        Self::Threads,
    ];

    /// The name used in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::ProcessMapFull => "process_map_full",
            Self::CgroupMapFull => "cgroup_map_full",
            Self::KernelRead => "kernel_read",
            Self::UserRead => "user_read",
            Self::Registers => "registers",
            Self::Signal => "signal",
            Self::MarkMapFull => "mark_map_full",
            Self::Threads => "threads",
        }
    }
}
