//! Records of the ring buffer: one payload type per kind, each behind a [`Header`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::COMM_LEN;
use super::header::Header;

/// Bytes kept of an executed file's name.
pub const FILENAME_LEN: usize = 256;
/// Bytes kept of an argument vector.
pub const ARGS_LEN: usize = 512;
/// Value of an unknown 64-bit quantity.
pub const UNKNOWN: u64 = u64::MAX;

/// What a record holds. Numbers are given once and never reused; families leave gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    /// [`Mapping`]: `mmap(2)`.
    Mmap = 1,
    /// [`Mapping`]: `munmap(2)`.
    Munmap = 2,
    /// [`Mapping`]: `mremap(2)`.
    Mremap = 3,
    /// [`Mapping`]: `brk(2)` that moved the break.
    Brk = 4,
    /// [`Fault`]: a major page fault.
    Fault = 16,
    /// [`Rss`]: a process crossed its RSS limit.
    Rss = 17,
    /// [`Rlimit`]: a limit was read.
    RlimitRead = 32,
    /// [`Rlimit`]: a limit was set.
    RlimitSet = 33,
    /// [`FdTableGrowth`]: the kernel's descriptor table of a process grew.
    FdTableGrowth = 40,
    /// [`CloseSweep`]: a run of closes of descriptors that are not open.
    CloseSweep = 41,
    /// [`FdTable`]: memory that matches one slot per possible descriptor was asked for, or touched.
    FdTable = 48,
    /// [`Action`]: a rule acted in the kernel.
    Action = 49,
    /// [`OomKill`]: the kernel chose an OOM victim.
    OomKill = 64,
    /// [`Exec`]: a process runs another program.
    Exec = 80,
    /// [`Fork`]: a process made another process (threads are not reported).
    Fork = 81,
    /// [`Exit`]: the last thread of a process ended.
    Exit = 82,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::Mmap,
        Self::Munmap,
        Self::Mremap,
        Self::Brk,
        Self::Fault,
        Self::Rss,
        Self::RlimitRead,
        Self::RlimitSet,
        Self::FdTableGrowth,
        Self::CloseSweep,
        Self::FdTable,
        Self::Action,
        Self::OomKill,
        Self::Exec,
        Self::Fork,
        Self::Exit,
    ];

    /// The kind behind a wire number, or `None` for a number nobody gave.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        let mut i = 0;
        while i < Self::ALL.len() {
            #[expect(clippy::indexing_slicing, reason = "a const loop bounded by the length")]
            if Self::ALL[i] as u16 == number {
                return Some(Self::ALL[i]);
            }
            i += 1;
        }
        None
    }

    /// Whether identities and findings follow from records of this kind: they are told whoever the filters by name and
    /// user leave out, and user space filters what it shows of them.
    #[must_use]
    pub const fn is_followed(self) -> bool {
        matches!(self, Self::Exec | Self::Fork | Self::Exit | Self::FdTable | Self::CloseSweep)
    }

    /// Whether identities follow from records of this kind: they are told whatever cgroup a filter names, and say whether they
    /// are of another one.
    #[must_use]
    pub const fn is_of_life(self) -> bool {
        matches!(self, Self::Exec | Self::Fork | Self::Exit)
    }

    /// The bit of this kind in [`super::knobs::Knobs::kinds`]: bits follow the order of [`Kind::ALL`].
    #[must_use]
    pub const fn bit(self) -> u64 {
        let mut i = 0;
        while i < Self::ALL.len() {
            #[expect(clippy::indexing_slicing, reason = "a const loop bounded by the length")]
            if Self::ALL[i] as u16 == self as u16 {
                return 1 << i;
            }
            i += 1;
        }
        0
    }
}

/// A header and its payload, as they stand in the ring buffer.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record<T> {
    /// The header.
    pub header: Header,
    /// The payload.
    pub body: T,
}

/// `mmap`, `munmap`, `mremap` and `brk`, after the call.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Mapping {
    /// Address asked for (`mmap`, `munmap`), old address (`mremap`), break asked for (`brk`).
    pub addr: u64,
    /// Bytes asked for; `brk`: bytes by which the break moved, up or down.
    pub length: u64,
    /// `mremap`: bytes before the call; `brk`: the break before the call; else 0.
    pub old: u64,
    /// What the kernel returned: an address or a negative errno.
    pub result: i64,
    /// `PROT_*` bits (`mmap`), else 0.
    pub prot: u32,
    /// `MAP_*` bits (`mmap`) or `MREMAP_*` bits (`mremap`), else 0.
    pub flags: u32,
}

/// A major page fault.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Fault {
    /// Faulting address; [`UNKNOWN`] when the way attached does not carry it.
    pub addr: u64,
    /// Major faults of the process so far, this one included.
    pub major: u64,
    /// Minor faults of the process so far.
    pub minor: u64,
}

/// Resident memory by type, in bytes, from the kernel's own counters.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Resident {
    /// Anonymous pages.
    pub anon: u64,
    /// File pages.
    pub file: u64,
    /// Shared-memory pages.
    pub shmem: u64,
    /// Swap entries.
    pub swap: u64,
}

/// A process passed its RSS limit.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Rss {
    /// What is resident.
    pub resident: Resident,
    /// The limit that was passed, in bytes.
    pub limit: u64,
}

/// [`Rlimit::has`]: `soft` and `hard` were read back from the caller.
pub const RLIMIT_HAS_OLD: u32 = 1;
/// [`Rlimit::has`]: `new_soft` and `new_hard` were passed by the caller.
pub const RLIMIT_HAS_NEW: u32 = 2;
/// [`Rlimit::has`]: it is the limit of a process that the caller named by an id of its own pid namespace, which is not the initial
/// one: whose is not known, and `target` is 0.
pub const RLIMIT_FOREIGN_TARGET: u32 = 4;

/// `getrlimit`, `setrlimit` or `prlimit64`, after the call.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Rlimit {
    /// Soft limit that was read.
    pub soft: u64,
    /// Hard limit that was read.
    pub hard: u64,
    /// Soft limit that was set.
    pub new_soft: u64,
    /// Hard limit that was set.
    pub new_hard: u64,
    /// 0 or a negative errno.
    pub result: i64,
    /// `RLIMIT_*` number.
    pub resource: u32,
    /// Process or thread whose limit it is, in the initial pid namespace, as the caller named it: 0 for itself.
    pub target: u32,
    /// Which of the values are known: `RLIMIT_HAS_*`, [`RLIMIT_FOREIGN_TARGET`].
    pub has: u32,
    /// Explicit padding.
    pub _pad: u32,
}

/// The kernel's descriptor table of a process grew.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct FdTableGrowth {
    /// Slots before.
    pub old_slots: u64,
    /// Slots now.
    pub new_slots: u64,
    /// Kernel bytes of the table now: pointers and bitmaps.
    pub bytes: u64,
}

/// [`CloseSweep::phase`]: the run has just become long.
pub const SWEEP_START: u32 = 1;
/// [`CloseSweep::phase`]: the run doubled since the last record.
pub const SWEEP_PROGRESS: u32 = 2;
/// [`CloseSweep::phase`]: the run ended, by an exec, an exit, a mapping that follows it, a close that does not, or a pause
/// ([`super::state::SWEEP_GAP_NS`]).
pub const SWEEP_END: u32 = 3;

/// A run of `close` calls that met no open descriptor.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct CloseSweep {
    /// First such close, boot clock, nanoseconds.
    pub first_ns: u64,
    /// Last such close, boot clock, nanoseconds.
    pub last_ns: u64,
    /// How many.
    pub count: u64,
    /// The descriptor limit that it goes by, of those that the process had learned ([`super::state::swept_to`]).
    pub limit: u64,
    /// `SWEEP_*`.
    pub phase: u32,
    /// Explicit padding.
    pub _pad: u32,
}

/// [`FdTable::state`]: the memory was asked for and granted.
pub const TABLE_MAPPED: u32 = 1;
/// [`FdTable::state`]: pages of it were touched.
pub const TABLE_TOUCHED: u32 = 2;
/// [`FdTable::state`]: the memory was asked for and refused with `ENOMEM`.
pub const TABLE_FAILED: u32 = 3;
/// [`FdTable::state`]: the memory was asked for and granted, and a rule signalled the process for it: the record of that follows.
pub const TABLE_SIGNALLED: u32 = 4;

/// [`FdTable::source`]: `mmap`.
pub const SOURCE_MMAP: u32 = 1;
/// [`FdTable::source`]: `mremap`.
pub const SOURCE_MREMAP: u32 = 2;
/// [`FdTable::source`]: `brk`.
pub const SOURCE_BRK: u32 = 3;

/// Memory that matches one slot per possible descriptor.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct FdTable {
    /// The limit N as it was learned.
    pub learned: super::state::Learned,
    /// Bytes asked for (L).
    pub length: u64,
    /// Bytes of L that the table itself does not need.
    pub overhead: u64,
    /// Address of the region, or a negative errno in state failed.
    pub result: i64,
    /// Bytes of all tables of this process so far.
    pub total: u64,
    /// Bytes of them that were touched ([`super::state::Progress::touched`]).
    pub touched: u64,
    /// Anonymous RSS now, in bytes.
    pub anon: u64,
    /// Bytes per descriptor (k).
    pub element: u32,
    /// How L follows from N and k: a [`crate::table::Fit`] as a number.
    pub fit: u32,
    /// `TABLE_*`.
    pub state: u32,
    /// `SOURCE_*`.
    pub source: u32,
    /// `MAP_*` bits of the mapping (0 for `brk` and `mremap`).
    pub flags: u32,
    /// Number of this table among those of the process, from 1.
    pub ordinal: u32,
}

/// [`Action::what`]: a signal before the first page was touched.
pub const ACTION_SIGNAL_MAPPED: u32 = 1;
/// [`Action::what`]: a signal when touched growth passed the bound.
pub const ACTION_SIGNAL_TOUCHED: u32 = 2;
/// [`Action::what`]: the mapping was refused with `ENOMEM`.
pub const ACTION_REFUSE: u32 = 3;
/// [`Action::what`]: a signal because RSS passed the process's limit.
pub const ACTION_SIGNAL_RSS: u32 = 4;

/// A rule acted in the kernel.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Action {
    /// Bytes that led to it: the table's length, or the bytes touched or resident.
    pub bytes: u64,
    /// The bound of the rule, in bytes.
    pub bound: u64,
    /// 0, or the negative errno of the helper that should have acted.
    pub result: i64,
    /// Id of the rule.
    pub rule: u32,
    /// `ACTION_*`.
    pub what: u32,
    /// Signal number, or 0.
    pub signal: u32,
    /// Explicit padding.
    pub _pad: u32,
}

/// [`OomKill::domain`]: the whole host (or a NUMA or cpuset part of it).
pub const OOM_HOST: u32 = 1;
/// [`OomKill::domain`]: a memory cgroup at its limit.
pub const OOM_CGROUP: u32 = 2;

/// The kernel chose an OOM victim. The header names the trigger; everything here is the victim's.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct OomKill {
    /// What was resident when it was chosen.
    pub resident: Resident,
    /// Bytes of page tables.
    pub page_tables: u64,
    /// Bytes of virtual memory.
    pub total_vm: u64,
    /// Start of the victim, boot clock, nanoseconds.
    pub start_ns: u64,
    /// The victim's cgroup, as in the header.
    pub cgroup_id: u64,
    /// The victim's memory cgroup, in whatever hierarchy the memory controller is.
    pub memcg_id: u64,
    /// The memory cgroup whose limit was met, or 0.
    pub domain_id: u64,
    /// That cgroup's limit in bytes, or 0.
    pub domain_limit: u64,
    /// That cgroup's use in bytes, or 0.
    pub domain_usage: u64,
    /// Victim's process id.
    pub tgid: u32,
    /// Victim's thread as the kernel named it.
    pub tid: u32,
    /// Victim's user id.
    pub uid: u32,
    /// Victim's `oom_score_adj`.
    pub oom_score_adj: i32,
    /// `OOM_*`; 0 when not known.
    pub domain: u32,
    /// Victim's parent.
    pub parent_tgid: u32,
    /// Victim's comm.
    pub comm: [u8; COMM_LEN],
}

/// A process runs another program.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Exec {
    /// Inode number of the executable, which of a script is its interpreter; 0: unknown.
    pub inode: u64,
    /// Its file system: a `dev_t` as the kernel keeps it, 12 bits and 20.
    pub device: u32,
    /// Generation of the inode: a file that came later may have the number of one that is gone.
    pub generation: u32,
    /// Bytes of `args` that hold something.
    pub args_len: u32,
    /// Bytes of the whole argument vector.
    pub args_total: u32,
    /// 1 when the process is outside the cgroup of the filter.
    pub outside: u32,
    /// Explicit padding.
    pub _pad: u32,
    /// Name of the file as it was passed, ended by a zero.
    pub filename: [u8; FILENAME_LEN],
    /// The first bytes of the argument vector, each argument ended by a zero.
    pub args: [u8; ARGS_LEN],
}

/// A process made another process. The header is the parent's.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Fork {
    /// Start of the child, boot clock, nanoseconds.
    pub start_ns: u64,
    /// The child's process id.
    pub tgid: u32,
    /// 1 when the parent is outside the cgroup of the filter.
    pub outside: u32,
}

/// The last thread of a process ended.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// What the process did while it was seen.
    pub counters: super::state::Counters,
    /// Largest RSS the process had, in bytes, as the kernel keeps it (`ru_maxrss`).
    pub max_rss: u64,
    /// Bytes of fd tables it asked for.
    pub table_total: u64,
    /// Bytes of them that were touched.
    pub table_touched: u64,
    /// Wait status as in `wait(2)`: signal in the low 7 bits, exit code above bit 8.
    pub status: u32,
    /// 1 when the process is outside the cgroup of the filter.
    pub outside: u32,
}
