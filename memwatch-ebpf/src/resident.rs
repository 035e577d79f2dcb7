//! Resident memory from the kernel's own counters, and what follows from its growth.
//!
//! Since 6.2 the counters are `percpu_counter`s: a central part, and one of less than `max(32, 2 x CPUs)` pages for each
//! CPU (lib/percpu_counter.c). The central part and that of the running CPU are summed, so a single-threaded process
//! that stays where it is is seen to the page; /proc/PID/statm reads the central part only. Before 6.2 a task
//! keeps up to 64 faults back (mm/memory.c), which are added where the task itself asks.

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_send_signal};
use memwatch_ebpf::abi::event::{ACTION_SIGNAL_RSS, Kind, Resident, Rss};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::offsets::ABSENT;
use memwatch_ebpf::abi::state::Process;

use crate::emit::{emit, knobs, wanted};
use crate::maps::{LIMITS, count, offset, per_cpu_offset};
use crate::process::current_tgid;
use crate::task::{self, Kptr};
use crate::{rule, touched};

/// The clock tick in which /proc counts start times, in nanoseconds (`USER_HZ` is 100).
const TICK_NS: u64 = 10_000_000;

const FILE: u32 = 0;
const ANON: u32 = 1;
const SWAP: u32 = 2;
const SHMEM: u32 = 3;

/// Address space of the current task, or 0.
#[inline(always)]
pub(crate) fn current_mm() -> u64 {
    task::current().peek(offset!(task_mm))
}

/// The RSS counters of an address space as the running CPU sees them.
#[derive(Clone, Copy)]
struct RssCounters {
    mm: Kptr,
    /// What is added to the address of a part; 0 where counters have no parts.
    cpu_base: u64,
}

impl RssCounters {
    #[inline(always)]
    fn of(mm: Kptr) -> Self {
        let table = per_cpu_offset();
        if table == 0 || offset!(percpu_parts) == ABSENT {
            return Self { mm, cpu_base: 0 };
        }
        let cpu = unsafe { bpf_get_smp_processor_id() } & 0xffff;
        Self { mm, cpu_base: Kptr(table).peek::<u64>(cpu * 8) }
    }

    /// Bytes of a member of the address space's `rss_stat`.
    #[inline(always)]
    fn bytes(self, member: u32) -> u64 {
        let at = offset!(mm_rss) + member * offset!(rss_stride);
        let mut pages = self.mm.peek::<i64>(at + offset!(percpu_count));
        if self.cpu_base != 0 {
            let part = self.mm.peek::<u64>(at + offset!(percpu_parts)).wrapping_add(self.cpu_base);
            pages += i64::from(Kptr(part).peek::<i32>(0));
        }
        if pages > 0 { pages as u64 * u64::from(offset!(page_size)) } else { 0 }
    }
}

/// Whether the counters are seen to the page, from the CPU that changes them.
#[inline(always)]
pub(crate) fn is_exact() -> bool {
    per_cpu_offset() != 0 || offset!(percpu_parts) == ABSENT
}

/// Anonymous RSS of an address space, in bytes.
#[inline(always)]
pub(crate) fn anon(mm: Kptr) -> u64 {
    RssCounters::of(mm).bytes(ANON)
}

/// Swapped-out memory of an address space, in bytes.
#[inline(always)]
pub(crate) fn swapped(mm: Kptr) -> u64 {
    RssCounters::of(mm).bytes(SWAP)
}

/// Anonymous RSS of the current task's own, with the faults that the task keeps back. Not for the tracepoint of the counters:
/// it fires while they are handed over, before the task's part is cleared.
#[inline(always)]
pub(crate) fn own_anon(mm: Kptr) -> u64 {
    let kept = offset!(task_rss);
    if kept == ABSENT {
        return anon(mm);
    }
    let pages = task::current().peek::<i32>(kept + ANON * 4);
    anon(mm) + if pages > 0 { pages as u64 * u64::from(offset!(page_size)) } else { 0 }
}

/// Everything resident of an address space, in bytes.
#[inline(always)]
pub(crate) fn of(mm: Kptr) -> Resident {
    let counters = RssCounters::of(mm);
    Resident {
        anon: counters.bytes(ANON),
        file: counters.bytes(FILE),
        shmem: counters.bytes(SHMEM),
        swap: counters.bytes(SWAP),
    }
}

/// Resident pages of an address space, of any kind, in bytes.
#[inline(always)]
pub(crate) fn sum(mm: Kptr) -> u64 {
    let counters = RssCounters::of(mm);
    counters.bytes(ANON) + counters.bytes(FILE) + counters.bytes(SHMEM)
}

/// Whether the current process has a limit of its own.
#[inline(always)]
pub(crate) fn has_own_limit() -> bool {
    unsafe { LIMITS.get(current_tgid()) }.is_some()
}

/// Looks at the current process's RSS: keeps it, and acts on what it passed.
#[inline(always)]
pub(crate) fn look(process: &mut Process) {
    let mm = current_mm();
    if mm == 0 {
        return;
    }
    process.resident = of(Kptr(mm));
    touched::looked_at(process, mm);
    check_limit(process);
}

#[inline(always)]
fn check_limit(process: &mut Process) {
    let Some(knobs) = knobs() else { return };
    let own = unsafe { LIMITS.get(current_tgid()) }
        .filter(|own| process.start_ns.wrapping_sub(own.start_ns) < TICK_NS);
    let limit = own.map_or(knobs.rss_limit, |own| own.bytes);
    if limit == 0 {
        return;
    }
    let used = process.resident.anon + process.resident.file + process.resident.shmem;
    if used <= limit {
        process.over_limit = 0;
        return;
    }
    if process.over_limit != 0 {
        return;
    }
    process.over_limit = 1;
    if wanted(knobs, Kind::Rss) {
        let resident = process.resident;
        emit::<Rss>(Kind::Rss, process, |body| *body = Rss { resident, limit });
    }
    if let Some(own) = own
        && own.signal != 0
    {
        let result = unsafe { bpf_send_signal(own.signal) };
        if result != 0 {
            count(FaultCode::Signal);
        }
        rule::report(process, own.rule, ACTION_SIGNAL_RSS, own.signal, used, limit, result);
    }
}
