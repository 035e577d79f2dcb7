//! Page faults, and the sample that keeps RSS without polling.
//!
//! The kernel counts the faults of each thread anyway (`task_struct.{min,maj}_flt`); they are added to their process when the
//! thread is looked at: at a sample of the CPU clock, at a major fault, and at its exit, where the sums are exact. A
//! perf event on minor faults would cost 70 ns at each of them however rarely it samples; this costs them nothing.
//!
//! Ways: perf software events `cpu-clock`, 100 times a second of each running CPU, and `page-faults-maj`, each. Lane: counters in maps;
//! major faults also give a record. A sample also looks at the RSS and the descriptor table of what runs. Without
//! the sample: faults are known at exit only, RSS where it is watched. Without the other: major faults give no records.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_perf_event_data;
use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use memwatch_ebpf::abi::event::{Fault, Kind};
use memwatch_ebpf::abi::state::{Process, ThreadFaults};

use super::fdtable;
use crate::emit::{armed_ns, emit, knobs, wanted};
use crate::maps::{THREADS, add, offset};
use crate::task::{self, Kptr};
use crate::{process, resident};

#[perf_event]
pub(crate) fn sample_perf(_ctx: PerfEventContext) -> u32 {
    // Idle tasks and kernel threads have no memory of their own.
    if process::current_tgid() == 0 || resident::current_mm() == 0 || task::current().is_exiting() {
        return 0;
    }
    if let Some(process) = process::current() {
        account(process);
        resident::look(process);
        fdtable::look(process);
    }
    0
}

#[perf_event]
pub(crate) fn fault_major_perf(ctx: PerfEventContext) -> u32 {
    if task::current().is_exiting() {
        return 0;
    }
    let Some(process) = process::current() else { return 0 };
    account(process);
    resident::look(process);
    let Some(knobs) = knobs() else { return 0 };
    if wanted(knobs, Kind::Fault) {
        let addr = unsafe { (*ctx.as_ptr().cast::<bpf_perf_event_data>()).addr };
        emit::<Fault>(Kind::Fault, process, |body| {
            *body =
                Fault { addr, major: process.counters.major_faults, minor: process.counters.minor_faults };
        });
    }
    0
}

/// Adds the faults of the current thread since it was last looked at.
#[inline(always)]
pub(super) fn account(process: &mut Process) {
    let task = task::current();
    let now = add_new(process, task);
    process.is_sampled = 1;
    // A full map gives up another thread's entry, never this one.
    let _ = THREADS.insert(task.0, &now, 0);
}

/// Adds the last faults of the current thread, which ends.
#[inline(always)]
pub(super) fn close_account(process: &mut Process) {
    let task = task::current();
    add_new(process, task);
    if process.is_sampled != 0 && unsafe { THREADS.get(task.0) }.is_some() {
        let _ = THREADS.remove(task.0);
    }
}

/// Adds the faults of a thread since it was last looked at, and returns all it had.
#[inline(always)]
fn add_new(process: &mut Process, task: Kptr) -> ThreadFaults {
    let now = ThreadFaults { minor: task.peek(offset!(task_minor)), major: task.peek(offset!(task_major)) };
    let known = if process.is_sampled != 0 { unsafe { THREADS.get(task.0) } } else { None };
    let before = match known {
        Some(known) => *known,
        None if task.peek::<u64>(offset!(task_start)) >= armed_ns() => ThreadFaults { minor: 0, major: 0 },
        None => now,
    };
    add(&raw mut process.counters.minor_faults, now.minor.saturating_sub(before.minor));
    add(&raw mut process.counters.major_faults, now.major.saturating_sub(before.major));
    now
}
