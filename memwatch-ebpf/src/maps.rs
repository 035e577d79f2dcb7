//! Every map, and the read-only data handed down before load. Sizes given here are defaults; user space may set
//! others at load.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::knobs::{Knobs, RULES_MAX, RssLimit, Rule};
use memwatch_ebpf::abi::offsets::Offsets;
use memwatch_ebpf::abi::state::{Counters, Process, RingState, ThreadFaults};

use crate::hook::oom::Short;

/// Records to user space.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Boot clock up to which the reader of [`EVENTS`] looks by itself and needs no wake-up, in nanoseconds.
#[map]
pub(crate) static READER: Array<u64> = Array::with_max_entries(1, 0);

/// Processes by process id.
#[map]
pub(crate) static PROCESSES: HashMap<u32, Process> = HashMap::with_max_entries(32_768, 0);

/// Processes that were reported to have ended lately, by start and id: two threads that end together both find
/// themselves the last.
#[map]
pub(crate) static ENDED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(1_024, 0);

/// Sums of each cgroup: what its processes did before they exited or moved away.
#[map]
pub(crate) static CGROUPS: HashMap<u64, Counters> = HashMap::with_max_entries(16_384, 0);

/// Cgroups that were removed, in that order: the oldest leaves [`CGROUPS`] when there is no room here.
#[map]
pub(crate) static REMOVED: Queue<u64> = Queue::with_max_entries(8_192, 0);

/// Filters and floors.
#[map]
pub(crate) static KNOBS: Array<Knobs> = Array::with_max_entries(1, 0);

/// Rules obeyed in the kernel; [`Knobs::rules`] says how many are valid.
#[map]
pub(crate) static RULES: Array<Rule> = Array::with_max_entries(RULES_MAX, 0);

/// Processes picked by the tree and pid filters and by rules.
#[map]
pub(crate) static MARKS: HashMap<u32, u32> = HashMap::with_max_entries(32_768, 0);

/// RSS limits of single processes.
#[map]
pub(crate) static LIMITS: HashMap<u32, RssLimit> = HashMap::with_max_entries(8_192, 0);

/// Faults of threads when last looked at, by task: an exec may give a thread another id, never another task. The
/// least recently used give way: they start anew.
#[map]
pub(crate) static THREADS: LruHashMap<u64, ThreadFaults> = LruHashMap::with_max_entries(65_536, 0);

/// How often a process set a limit of another one by an id that does not say which one it is, being of another pid
/// namespace or a thread's: what is known of anybody's limits is in doubt then.
#[map]
pub(crate) static OTHERS_SET: Array<u64> = Array::with_max_entries(1, 0);

/// The memory cgroup that was short at the last OOM kill; one place, as the kernel kills under one lock (`oom_lock`).
#[map]
pub(crate) static LAST_SHORT: Array<Short> = Array::with_max_entries(1, 0);

/// Losses and failures by [`FaultCode`].
#[map]
pub(crate) static FAULTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(FaultCode::ALL.len() as u32, 0);

/// Per CPU: records tried, and the time of the last wake-up of the reader.
#[map]
pub(crate) static RING_STATE: PerCpuArray<RingState> = PerCpuArray::with_max_entries(1, 0);

/// Field offsets of the running kernel.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// Address of the kernel's `__per_cpu_offset[]`; 0 when it is not known.
#[unsafe(no_mangle)]
static PER_CPU_OFFSET: u64 = 0;

/// Address of the kernel's `page_offset_base`; 0 when it is not known.
#[unsafe(no_mangle)]
static PAGE_OFFSET_BASE: u64 = 0;

/// Address of the kernel's `pgdir_shift`; 0 when it is not known.
#[unsafe(no_mangle)]
static PGDIR_SHIFT: u64 = 0;

/// The offset table. Reads are volatile: the compiler must not fold the values compiled in.
macro_rules! offset {
    ($field:ident) => {
        $crate::maps::offset_at(core::mem::offset_of!(memwatch_ebpf::abi::offsets::Offsets, $field))
    };
}
pub(crate) use offset;

#[inline(always)]
pub(crate) fn offset_at(place: usize) -> u32 {
    unsafe { (&raw const OFFSETS).cast::<u8>().add(place).cast::<u32>().read_volatile() }
}

#[inline(always)]
pub(crate) fn per_cpu_offset() -> u64 {
    unsafe { (&raw const PER_CPU_OFFSET).read_volatile() }
}

#[inline(always)]
pub(crate) fn page_offset_base() -> u64 {
    unsafe { (&raw const PAGE_OFFSET_BASE).read_volatile() }
}

#[inline(always)]
pub(crate) fn pgdir_shift() -> u64 {
    unsafe { (&raw const PGDIR_SHIFT).read_volatile() }
}

/// Adds to a sum that several CPUs share.
#[inline(always)]
pub(crate) fn add(sum: *mut u64, by: u64) {
    // The instruction by name: core offers no read-modify-write for a target without compare-and-swap, and the form
    // that does not fetch is the one that kernels before 5.12 know.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) sum, in(reg) by) };
}

/// Counts a loss or failure.
#[inline(always)]
pub(crate) fn count(code: FaultCode) {
    if let Some(counter) = FAULTS.get_ptr_mut(code as u32) {
        add(counter, 1);
    }
}
