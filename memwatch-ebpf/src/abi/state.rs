//! What the kernel side keeps in maps, per process and per cgroup.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::event::Resident;

/// Sums of what a process or a cgroup did. User space reads them; they only grow.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Bytes mapped by `mmap`.
    pub mmap_bytes: u64,
    /// Bytes given back by `munmap`.
    pub munmap_bytes: u64,
    /// Bytes by which `mremap` grew regions.
    pub mremap_grown_bytes: u64,
    /// Bytes by which `mremap` shrank regions.
    pub mremap_shrunk_bytes: u64,
    /// Bytes by which the break moved up.
    pub brk_grown_bytes: u64,
    /// Bytes by which the break moved down.
    pub brk_shrunk_bytes: u64,
    /// Minor page faults, as the kernel counts them per thread: at most one sample (10 ms of running) behind.
    pub minor_faults: u64,
    /// Major page faults.
    pub major_faults: u64,
}

impl Counters {
    /// Adds what `now` has beyond `before`.
    pub const fn add_new(&mut self, now: &Self, before: &Self) {
        self.mmap_bytes += now.mmap_bytes.saturating_sub(before.mmap_bytes);
        self.munmap_bytes += now.munmap_bytes.saturating_sub(before.munmap_bytes);
        self.mremap_grown_bytes += now.mremap_grown_bytes.saturating_sub(before.mremap_grown_bytes);
        self.mremap_shrunk_bytes += now.mremap_shrunk_bytes.saturating_sub(before.mremap_shrunk_bytes);
        self.brk_grown_bytes += now.brk_grown_bytes.saturating_sub(before.brk_grown_bytes);
        self.brk_shrunk_bytes += now.brk_shrunk_bytes.saturating_sub(before.brk_shrunk_bytes);
        self.minor_faults += now.minor_faults.saturating_sub(before.minor_faults);
        self.major_faults += now.major_faults.saturating_sub(before.major_faults);
    }
}

/// [`Learned::how`]: the limit was read.
pub const LEARNED_READ: u32 = 1;
/// [`Learned::how`]: the limit was set.
pub const LEARNED_SET: u32 = 2;
/// [`Learned::how`]: it is the hard limit that came along when the soft one was read.
pub const LEARNED_READ_HARD: u32 = 3;

/// One value of RLIMIT_NOFILE that a process came to know.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Learned {
    /// The value N; 0 in an unused slot.
    pub limit: u64,
    /// When, on the boot clock, in nanoseconds.
    pub time_ns: u64,
    /// Process that made the call: this one or an ancestor.
    pub tgid: u32,
    /// Thread that made the call.
    pub tid: u32,
    /// `LEARNED_*`.
    pub how: u32,
    /// Forks between the process that made the call and the one that holds the value.
    pub forks: u32,
}

/// Values of the limit kept per process, soft and hard together; the smallest gives way.
pub const LEARNED_MAX: usize = 4;

/// A close sweep has ended when no such close came for this long.
pub const SWEEP_GAP_NS: u64 = 1_000_000_000;

/// A run of closes of descriptors that are not open, by rising or by falling numbers.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Sweep {
    /// First close of the run, boot clock, nanoseconds.
    pub first_ns: u64,
    /// Last close of the run.
    pub last_ns: u64,
    /// Closes so far.
    pub count: u64,
    /// Count at which the next record is due; 0: the run is not long yet.
    pub next: u32,
    /// Descriptor of the first close.
    pub first: u32,
    /// Descriptor of the last close.
    pub number: u32,
    /// 1 when the numbers rise, from the second close on.
    pub is_up: u32,
}

impl Sweep {
    /// Whether the run has ended by `now_ns` though its process does nothing that would end it.
    #[must_use]
    #[inline(always)]
    pub const fn is_over(&self, now_ns: u64) -> bool {
        now_ns > self.last_ns + SWEEP_GAP_NS
    }

    /// The highest descriptor of the run.
    #[must_use]
    #[inline(always)]
    pub const fn top(&self) -> u32 {
        if self.first > self.number { self.first } else { self.number }
    }
}

/// Part of the address space that holds a table.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Bytes; 0 in an unused slot.
    pub length: u64,
}

/// Tables followed per process until they are given back; of more the smallest are known by their length only.
pub const REGIONS_MAX: usize = 4;

/// [`TableFault::kind`]: no fault, or its page is counted.
pub const FAULT_NONE: u32 = 0;
/// [`TableFault::kind`]: a write to a page that was there, but not writable; it may be shared with a child, or be the page of
/// zeros.
pub const FAULT_COPY: u32 = 1;
/// [`TableFault::kind`]: a write to a page that was not there.
pub const FAULT_WRITE: u32 = 2;

/// Threads of a process whose faults are told apart, by thread id.
pub const FAULTS_MAX: usize = 4;

/// A fault in a table, whose page is not counted yet: it was told of before the kernel handled it.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct TableFault {
    /// Where.
    pub address: u64,
    /// Anonymous RSS at that moment, in bytes.
    pub anon: u64,
    /// On which CPU.
    pub cpu: u32,
    /// `FAULT_*`.
    pub kind: u32,
}

/// What a process touched of its tables.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Progress {
    /// Bytes touched for certain: those of faults in the tables, and of tables that the kernel filled as it was asked to. At most
    /// the sum of the tables.
    pub touched: u64,
    /// Bytes by which anonymous RSS grew besides, until the first fault was seen.
    pub unseen: u64,
    /// Touched bytes at which the next record is due.
    pub next_report: u64,
    /// Anonymous RSS when last looked at, in bytes; when the first table was granted, while no fault was seen.
    pub anon: u64,
    /// First address of the huge page that was counted last; 0: none.
    pub huge: u64,
    /// 1 once a fault was seen since the first table was granted. The program that sees them may not be attached.
    pub is_seen: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

/// The fd tables of a process, summed.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Tables {
    /// The largest table asked for, as it was reported.
    pub largest: super::event::FdTable,
    /// Bytes that are left of it: a table as long takes its place.
    pub standing: u64,
    /// Where they lie.
    pub regions: [Region; REGIONS_MAX],
    /// What was touched of them.
    pub progress: Progress,
    /// The last faults in them.
    pub faults: [TableFault; FAULTS_MAX],
    /// Those of tables that are not followed, for which there was no room.
    pub unfollowed: u64,
    /// Touched bytes at which a rule acts; 0: none.
    pub bound: u64,
    /// Tables so far.
    pub count: u32,
    /// Index of the rule that set `bound`.
    pub rule: u32,
    /// Bytes of all tables that were granted. Last, see [`Process`].
    pub total: u64,
}

impl Tables {
    /// No table.
    pub const NONE: Self = Self {
        largest: super::event::FdTable {
            learned: Learned { limit: 0, time_ns: 0, tgid: 0, tid: 0, how: 0, forks: 0 },
            length: 0,
            overhead: 0,
            result: 0,
            total: 0,
            touched: 0,
            anon: 0,
            element: 0,
            fit: 0,
            state: 0,
            source: 0,
            flags: 0,
            ordinal: 0,
        },
        standing: 0,
        regions: [Region { start: 0, length: 0 }; REGIONS_MAX],
        progress: Progress { touched: 0, unseen: 0, next_report: 0, anon: 0, huge: 0, is_seen: 0, _pad: 0 },
        faults: [TableFault { address: 0, anon: 0, cpu: 0, kind: FAULT_NONE }; FAULTS_MAX],
        unfollowed: 0,
        bound: 0,
        count: 0,
        rule: 0,
        total: 0,
    };
}

/// `RLIM_NLIMITS` (include/uapi/asm-generic/resource.h).
pub const RESOURCES: usize = 16;

/// A `struct rlimit` of 64 bits.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct LimitPair {
    /// What applies.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// The resource limits of a process as they were last known.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct KnownLimits {
    /// One more than how often a process had set another's limit by then; 0: nothing is known.
    pub epoch: u64,
    /// By number of the resource.
    pub pairs: [LimitPair; RESOURCES],
}

/// Everything kept of one process: value of the map `PROCESSES`, by process id.
///
/// The kernel keeps a value behind 56 bytes of its own (`struct htab_elem` with a key of up to 8 bytes, kernel/bpf/hashtab.c), so
/// with a length of a multiple of 64 and 8, each value begins 8 bytes before a cache line. What every mapping looks at lies in
/// two of them: `counters`, and from the last field of `tables` to the first of `learned`. Most calls find them cold.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Process {
    /// Start of the process, boot clock, nanoseconds.
    pub start_ns: u64,
    /// Its sums.
    pub counters: Counters,
    /// Its cgroup when last seen.
    pub cgroup_id: u64,
    /// Parent process.
    pub parent_tgid: u32,
    /// Real user id.
    pub uid: u32,
    /// 1 after its RSS limit was reported, until RSS falls below it again.
    pub over_limit: u32,
    /// 1 once a thread of it had an entry in the map `THREADS`.
    pub is_sampled: u32,
    /// Descriptor-table slots when last seen; 0: not seen.
    pub fd_slots: u64,
    /// Length of the fd table that a rule refused it first; 0: none.
    pub refused: u64,
    /// Length of the table that it was refused last by anybody, and that was reported; 0: none.
    pub failed: u64,
    /// When it asked for that, in whatever way, boot clock, nanoseconds.
    pub failed_ns: u64,
    /// What was resident when last looked at.
    pub resident: Resident,
    /// Its close sweep.
    pub sweep: Sweep,
    /// Its fd tables.
    pub tables: Tables,
    /// The program break when last seen; 0: not seen.
    pub brk: u64,
    /// 1 when it may have had more than one thread.
    pub is_threaded: u32,
    /// 1 once the OOM killer has marked a thread of it.
    pub is_victim: u32,
    /// Limits it learned; slot 0 is filled first.
    pub learned: [Learned; LEARNED_MAX],
    /// The part of `counters` already added to the map `CGROUPS`.
    pub folded: Counters,
    /// Its resource limits.
    pub limits: KnownLimits,
    /// Closes of its last long close sweep that has ended; 0: none.
    pub swept: u64,
}

/// The learned limit that a sweep goes by whose highest descriptor so far is `top`: the next one that is not below, or the largest
/// when all are; 0 for none. While it goes on, a hard limit only where no other one is left: programs go by the soft one.
#[must_use]
#[inline(always)]
pub fn swept_to(learned: &[Learned; LEARNED_MAX], top: u32, has_ended: bool) -> u64 {
    let (mut largest, mut next, mut next_soft) = (0, u64::MAX, u64::MAX);
    for slot in learned {
        let limit = slot.limit;
        if limit > largest {
            largest = limit;
        }
        if limit < u64::from(top) {
            continue;
        }
        if limit < next {
            next = limit;
        }
        if limit < next_soft && slot.how != LEARNED_READ_HARD {
            next_soft = limit;
        }
    }
    if !has_ended && next_soft != u64::MAX {
        next_soft
    } else if next != u64::MAX {
        next
    } else {
        largest
    }
}

/// Cache line.
const LINE: usize = 64;
/// What lies before a value's first cache line.
const BEFORE: usize = size_of::<u64>();

const _: () = {
    assert!(size_of::<Process>() % LINE == BEFORE);
    assert!(offset_of!(Process, counters) % LINE == BEFORE);
    let total = offset_of!(Process, tables) + offset_of!(Tables, total);
    let limit = offset_of!(Process, learned) + offset_of!(Learned, limit);
    assert!((total - BEFORE) / LINE == (limit - BEFORE) / LINE);
};

/// Faults of a thread when it was last looked at: value of the map `THREADS`, by `struct task_struct *`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct ThreadFaults {
    /// `task_struct.min_flt`.
    pub minor: u64,
    /// `task_struct.maj_flt`.
    pub major: u64,
}

/// What each CPU keeps about the ring buffer.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct RingState {
    /// Records that it tried to write.
    pub seq: u64,
    /// When it last woke the reader, boot clock, nanoseconds.
    pub last_wake_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(limits: &[(u64, u32)]) -> [Learned; LEARNED_MAX] {
        let mut learned = [Learned::default(); LEARNED_MAX];
        for (slot, (limit, how)) in learned.iter_mut().zip(limits) {
            *slot = Learned { limit: *limit, how: *how, ..Learned::default() };
        }
        learned
    }

    #[test]
    fn a_sweep_goes_by_the_next_limit_above_it() {
        let learned = learned(&[(20_000, LEARNED_READ_HARD), (4096, LEARNED_READ), (65_536, LEARNED_SET)]);
        for (top, goes_on, ended) in [
            (1026, 4096, 4096),
            (4095, 4096, 4096),
            // Some close the limit itself, too.
            (4096, 4096, 4096),
            (4097, 65_536, 20_000),
            (20_001, 65_536, 65_536),
            (70_000, 65_536, 65_536),
        ] {
            let found = (swept_to(&learned, top, false), swept_to(&learned, top, true));
            assert_eq!(found, (goes_on, ended), "{top}");
        }
    }

    #[test]
    fn a_sweep_beyond_the_soft_limit_goes_by_the_hard_one() {
        let learned = learned(&[(20_000, LEARNED_READ_HARD), (1024, LEARNED_READ)]);
        assert_eq!((swept_to(&learned, 1026, false), swept_to(&learned, 19_999, true)), (20_000, 20_000));
        assert_eq!(swept_to(&[Learned::default(); LEARNED_MAX], 1026, true), 0);
    }

    #[test]
    fn the_top_of_a_sweep_is_its_first_descriptor_or_its_last() {
        let sweep = |first, number| Sweep { first, number, ..Sweep::default() };
        assert_eq!((sweep(3, 4095).top(), sweep(4095, 3).top()), (4095, 4095));
    }

    #[test]
    fn a_sweep_is_over_after_a_pause() {
        let sweep = Sweep { last_ns: 7, ..Sweep::default() };
        // The clock of another processor may be behind.
        let times = [0, 7, 7 + SWEEP_GAP_NS, 8 + SWEEP_GAP_NS];
        assert_eq!(times.map(|now_ns| sweep.is_over(now_ns)), [false, false, false, true]);
    }
}
