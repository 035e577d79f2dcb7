//! Page faults, and the sample that keeps RSS without polling.
//!
//! The kernel counts the faults of each thread anyway (`task_struct.{min,maj}_flt`); they are added to their process when
//! the thread is looked at: at a sample of the CPU clock, at a major fault, and at its exit, where the sums are exact.
//! Threads that end together all leave the kernel's count of the living before the first of them comes to the program at
//! the exit, which reports their process: there the kernel's own sum over all threads is taken. A perf event on minor
//! faults would cost 70 ns at each of them however rarely it samples; this costs them nothing.
//!
//! Ways: perf software events `cpu-clock`, 100 times a second of each running CPU, and `page-faults-maj`, each. Lane:
//! counters in maps; major faults also give a record. A sample also looks at the RSS and the descriptor table of what runs.
//! Without the sample: faults are known at exit only, RSS where it is watched. Without the other: major faults give no
//! records.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_perf_event_data;
use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use memwatch_ebpf::abi::event::{Fault, Kind};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::offsets::ABSENT;
use memwatch_ebpf::abi::state::{Process, ThreadFaults};

use super::fdtable;
use crate::emit::{armed_ns, emit, knobs, wanted};
use crate::maps::{THREADS, add, count, offset};
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

/// Adds the last faults of the current thread, which ends, and forgets them.
#[inline(always)]
pub(super) fn close_account(process: &mut Process) {
    add_new(process, task::current());
    drop_account(process);
}

/// Forgets the faults of the current thread, which ends: the next task in its place begins anew.
#[inline(always)]
pub(super) fn drop_account(process: &Process) {
    let task = task::current();
    if process.is_sampled != 0 && unsafe { THREADS.get(task.0) }.is_some() {
        let _ = THREADS.remove(task.0);
    }
}

/// Threads that a process may still have at its end, the last of which leave it one after the other.
const THREADS_MAX: u32 = 256;

/// Attempts to find them all in one place.
const ATTEMPTS: u32 = 8;

/// What is given for a sum that came to no end.
const UNKNOWN: u64 = u64::MAX;

/// Faults of all threads of a process, the current one of which ends: as the kernel has them, or (with a count) what was added so
/// far, when they cannot be told. Not as options: the compiler would keep what it wrote on one branch only, which verifiers refuse.
#[inline(always)]
pub(super) fn close_accounts(process: &mut Process, signal: Kptr) -> ThreadFaults {
    let (minor, major) = (faults_of_all(signal.0, 0), faults_of_all(signal.0, 1));
    if minor == UNKNOWN || major == UNKNOWN {
        count(FaultCode::Threads);
        close_account(process);
        return process::counted(process);
    }
    drop_account(process);
    ThreadFaults { minor, major }
}

/// Minor or major faults of all threads that a process had: `signal_struct` has the sum of those that are gone (kernel/exit.c,
/// __exit_signal), and the others their own. A thread goes from one to the other under a lock that counts, so that it is seen
/// in one of them. [`UNKNOWN`] when there are too many, or the lock is not left alone. A global function: the verifier walks
/// through it once, however many ways lead to it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn faults_of_all(signal: u64, is_major: u32) -> u64 {
    if offset!(signal_threads) == ABSENT || offset!(signal_stats_lock) == ABSENT {
        return UNKNOWN;
    }
    // Without a branch: the verifier would walk through the loop for each.
    let choose = |minor: u32, major: u32| {
        u64::from(minor).wrapping_add(u64::from(is_major).wrapping_mul(u64::from(major.wrapping_sub(minor))))
    };
    let gone = signal.wrapping_add(choose(offset!(signal_minor), offset!(signal_major)));
    let own =
        choose(offset!(task_minor), offset!(task_major)).wrapping_sub(u64::from(offset!(task_thread_node)));
    let head = signal.wrapping_add(u64::from(offset!(signal_threads)));
    for _ in 0..ATTEMPTS {
        // Odd while somebody has the lock.
        let sequence = Kptr(signal).peek::<u32>(offset!(signal_stats_lock));
        let living = faults_of_living(head, own);
        if living == UNKNOWN {
            return UNKNOWN;
        }
        let sum = Kptr(gone).peek::<u64>(0).wrapping_add(living);
        if sequence & 1 == 0 && Kptr(signal).peek::<u32>(offset!(signal_stats_lock)) == sequence {
            return sum;
        }
    }
    UNKNOWN
}

/// Faults of the threads that a list has; `own` leads from a thread's place in it to its count. A global function too, or the
/// verifier would walk through it for each attempt. [`UNKNOWN`] when there are too many.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn faults_of_living(head: u64, own: u64) -> u64 {
    let mut sum: u64 = 0;
    let mut node: u64 = Kptr(head).peek(0);
    for _ in 0..THREADS_MAX {
        if node == head {
            return sum;
        }
        sum = sum.wrapping_add(Kptr(node.wrapping_add(own)).peek(0));
        node = Kptr(node).peek(0);
    }
    UNKNOWN
}

/// Adds the faults of a thread since it was last looked at, and returns all it had.
#[inline(always)]
fn add_new(process: &mut Process, task: Kptr) -> ThreadFaults {
    let now = of_thread(task);
    let known = if process.is_sampled != 0 { unsafe { THREADS.get(task.0) } } else { None };
    let before = match known {
        Some(known) => *known,
        None if began_armed(process, task) => ThreadFaults { minor: 0, major: 0 },
        None => now,
    };
    add(&raw mut process.counters.minor_faults, now.minor.saturating_sub(before.minor));
    add(&raw mut process.counters.major_faults, now.major.saturating_sub(before.major));
    now
}

/// Faults of a thread so far.
#[inline(always)]
fn of_thread(task: Kptr) -> ThreadFaults {
    // Neighbours in all kernels so far. Offsets are constants to the verifier: it leaves one of both ways.
    if offset!(task_major) == offset!(task_minor).wrapping_add(size_of::<u64>() as u32) {
        return task.peek(offset!(task_minor));
    }
    ThreadFaults { minor: task.peek(offset!(task_minor)), major: task.peek(offset!(task_major)) }
}

/// Whether a thread began when everything was attached already. Where it is the only one so far, its process tells.
#[inline(always)]
fn began_armed(process: &Process, task: Kptr) -> bool {
    let start_ns = if process.is_threaded == 0 { process.start_ns } else { task.peek(offset!(task_start)) };
    start_ns >= armed_ns()
}
