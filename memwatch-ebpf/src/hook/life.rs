//! exec, fork, exit: so that a process is always (process id, start time) and its identity survives its death.
//!
//! Ways: raw tracepoints `sched_process_{fork,exec,exit}`; raw, because the classic ones carry thread ids only. Lane: the ring.
//! Without fork: children do not inherit what was learned. Without exec: what an old program learned, and what was ordered
//! about it, clings to the new one. Without exit: processes are forgotten only when their id is used again.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use memwatch_ebpf::abi::event::{ARGS_LEN, Exec, Exit, FILENAME_LEN, Fork, Kind};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::knobs::{Knobs, MARK_INHERITED};
use memwatch_ebpf::abi::state::{Counters, Process};

use super::{fault, fdtable};
use crate::emit::{armed_ns, emit, knobs, outside, wanted};
use crate::maps::{ENDED, LIMITS, MARKS, PROCESSES, count, offset};
use crate::task::{self, Kptr};
use crate::{limits, process, resident, touched};

/// `BPF_NOEXIST` (include/uapi/linux/bpf.h), and what an insertion with it gets when the key is there.
const NO_EXIST: u64 = 1;
const EXISTS: i32 = -17;

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub(crate) fn fork_raw(ctx: RawTracePointContext) -> i32 {
    let child = Kptr(ctx.arg::<u64>(1));
    let parent_tgid = process::current_tgid();
    let Some(tgid) = child.read::<u32>(offset!(task_tgid)) else { return 0 };
    if tgid == parent_tgid {
        if let Some(process) = PROCESSES.get_ptr_mut(tgid) {
            unsafe { (*process).is_threaded = 1 };
        }
        return 0;
    }
    let Some(knobs) = knobs() else { return 0 };
    // Whether or not there is room for the processes themselves.
    if knobs.has_marks != 0 {
        hand_marks_down(parent_tgid, tgid);
    }
    let Some(parent) = process::current() else { return 0 };
    let start_ns = child.process_start();
    if let Some(state) = process::insert(tgid) {
        state.start_ns = start_ns;
        // Not the parent's: clone3 may put a child elsewhere (CLONE_INTO_CGROUP).
        state.cgroup_id = child.cgroup_id();
        state.parent_tgid = parent_tgid;
        state.uid = parent.uid;
        process::inherit(parent, state);
        limits::note(state, child);
    }
    if wanted(knobs, Kind::Fork) {
        emit::<Fork>(Kind::Fork, parent, |body| *body = Fork { start_ns, tgid, outside: outside(knobs) });
    }
    0
}

#[inline(always)]
fn hand_marks_down(parent_tgid: u32, tgid: u32) {
    match unsafe { MARKS.get(parent_tgid) }.copied() {
        Some(marks) if marks & MARK_INHERITED != 0 => {
            if MARKS.insert(tgid, marks, 0).is_err() {
                count(FaultCode::MarkMapFull);
            }
        }
        // A mark of an earlier holder of the id, whose end was not seen, is not the child's.
        _ if MARKS.get_ptr(tgid).is_some() => drop(MARKS.remove(tgid)),
        _ => {}
    }
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub(crate) fn exec_raw(ctx: RawTracePointContext) -> i32 {
    let Some(process) = process::current() else { return 0 };
    process::forget_program(process);
    process.fd_slots = task::current().fd_slots();
    let Some(knobs) = knobs() else { return 0 };
    drop_orders(knobs);
    if !wanted(knobs, Kind::Exec) {
        return 0;
    }
    // Null when it cannot be read, which the kernel then refuses to read from: as an option the compiler would load the
    // address from a stack slot that it wrote on one branch only, which verifiers before 6.1 refuse.
    let filename = Kptr(ctx.arg::<u64>(2)).peek_at(offset!(bprm_filename));
    let mm = Kptr(resident::current_mm());
    let start = mm.read::<u64>(offset!(mm_arg_start)).unwrap_or(0);
    let total = mm.read::<u64>(offset!(mm_arg_end)).unwrap_or(0).saturating_sub(start);
    let inode = mm.peek_at(offset!(mm_exe)).peek_at(offset!(file_inode));
    let number = inode.peek::<u64>(offset!(inode_number));
    let generation = inode.peek::<u32>(offset!(inode_generation));
    let device = inode.peek_at(offset!(inode_super)).peek::<u32>(offset!(super_device));
    emit::<Exec>(Kind::Exec, process, |body| {
        body.inode = number;
        body.device = device;
        body.generation = generation;
        body.outside = outside(knobs);
        body.filename[0] = 0;
        let _ = unsafe {
            bpf_probe_read_kernel_str(
                body.filename.as_mut_ptr().cast(),
                FILENAME_LEN as u32,
                filename.0 as *const _,
            )
        };
        body.args_total = total as u32;
        let take = if total < ARGS_LEN as u64 { total } else { ARGS_LEN as u64 };
        let read =
            unsafe { bpf_probe_read_user(body.args.as_mut_ptr().cast(), take as u32, start as *const _) };
        body.args_len = if read == 0 { take as u32 } else { 0 };
        if read != 0 {
            count(FaultCode::UserRead);
        }
    });
    0
}

/// What was ordered about a program is not about the one that the process executes: user space, which hears of it, says
/// what holds then.
#[inline(always)]
fn drop_orders(knobs: &Knobs) {
    let tgid = process::current_tgid();
    if knobs.has_marks != 0
        && knobs.lost_at_exec != 0
        && let Some(marks) = MARKS.get_ptr_mut(tgid)
    {
        let left = unsafe { *marks } & !knobs.lost_at_exec;
        if left & !MARK_INHERITED != 0 {
            unsafe { *marks = left };
        } else {
            let _ = MARKS.remove(tgid);
        }
    }
    drop_limit(knobs, tgid);
}

/// Forgets a process's own limit of RSS. A look-up costs far less than to remove what is not there, which takes a lock.
#[inline(always)]
fn drop_limit(knobs: &Knobs, tgid: u32) {
    if knobs.has_limits != 0 && LIMITS.get_ptr(tgid).is_some() {
        let _ = LIMITS.remove(tgid);
    }
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub(crate) fn exit_raw(_ctx: RawTracePointContext) -> i32 {
    let task = task::current();
    let tgid = process::current_tgid();
    let Some(signal) = task.follow(offset!(task_signal)) else { return 0 };
    let known = PROCESSES.get_ptr_mut(tgid).map(|process| unsafe { &mut *process });
    if signal.read::<u32>(offset!(signal_live)) != Some(0) {
        if let Some(process) = known {
            fault::close_account(process);
        }
        return 0; // other threads live on
    }
    let is_known = known.is_some();
    if let Some(process) = known.or_else(process::current)
        && !end(process, task, signal)
        && is_known
    {
        return 0; // another has it, and gives it back
    }
    let _ = PROCESSES.remove(tgid);
    let Some(knobs) = knobs() else { return 0 };
    if knobs.has_marks != 0 && MARKS.get_ptr(tgid).is_some() {
        let _ = MARKS.remove(tgid);
    }
    drop_limit(knobs, tgid);
    0
}

/// Adds up and reports a process that has ended: once, though threads that end together all find it without any. Gives whether
/// this thread was the first to say so.
#[inline(always)]
fn end(process: &mut Process, task: Kptr, signal: Kptr) -> bool {
    // Before anybody says so: who is first takes away the mark that this goes by.
    let knobs = knobs();
    let reports = knobs.is_some_and(|knobs| wanted(knobs, Kind::Exit));
    // The kernel's sum has all threads in it, as no user code of the process runs any more.
    let is_summed = process.is_threaded != 0 && process.start_ns >= armed_ns();
    if !is_summed {
        fault::close_account(process);
    }
    let key = [process.start_ns, u64::from(process::current_tgid())];
    let is_first = process.is_threaded == 0 || ENDED.insert(&key, &1, NO_EXIST) != Err(EXISTS);
    if !is_first {
        if is_summed {
            fault::drop_account(process);
        }
        return false;
    }
    let faults = if is_summed { fault::close_accounts(process, signal) } else { process::counted(process) };
    process::end_sweep(process);
    process::fold_with(process, faults);
    // Growth by calls that have no hook; the descriptors are given back after this.
    fdtable::look(process);
    let group = signal.read::<u32>(offset!(signal_exit_code)).unwrap_or(0);
    let status = if group != 0 { group } else { task.read::<u32>(offset!(task_exit_code)).unwrap_or(0) };
    // Since 6.16 the address space is still there. Before, what is left is `ru_maxrss`, which an exec takes over from
    // the program before it.
    let mm = Kptr(resident::current_mm());
    let max_rss = if mm.0 == 0 {
        signal.peek::<u64>(offset!(signal_maxrss)) * u64::from(offset!(page_size))
    } else {
        let now = resident::sum(mm);
        let high = mm.peek::<u64>(offset!(mm_high_water)) * u64::from(offset!(page_size));
        if high > now { high } else { now }
    };
    if reports {
        emit::<Exit>(Kind::Exit, process, |body| {
            *body = Exit {
                counters: Counters {
                    minor_faults: faults.minor,
                    major_faults: faults.major,
                    ..process.counters
                },
                max_rss,
                table_total: process.tables.total,
                table_touched: touched::so_far(&process.tables),
                status,
                outside: knobs.map_or(0, outside),
            };
        });
    }
    true
}
