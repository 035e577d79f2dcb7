//! `close(2)`: runs of closes that meet no open descriptor.
//!
//! Ways: fexit on `__x64_sys_close`, tracepoint `syscalls:sys_exit_close`, kretprobe. Lane: the state of the process; the ring
//! when a run has become long, at each doubling, and at its end. A close that succeeds costs one comparison.
//! Without it: close sweeps are not seen.
//!
//! A run goes one way through the numbers, up or down, past the few that are open. Closes of one number again and again, or
//! of numbers that come and go, are a mistake of the program's, and what comes after a pause
//! ([`SWEEP_GAP_NS`](memwatch_ebpf::abi::state::SWEEP_GAP_NS)) is another run. Of a process that does none of this any more user
//! space tells the end (`runtime/close_sweeps.rs`).

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{fexit, kretprobe, tracepoint};
use aya_ebpf::programs::{FExitContext, RetProbeContext, TracePointContext};
use memwatch_ebpf::abi::event::{SWEEP_PROGRESS, SWEEP_START};

use crate::maps::PROCESSES;
use crate::process;
use crate::regs::Regs;

/// Number of the system call.
const CLOSE: u64 = 3;
/// `-EBADF`.
const BAD_FD: i64 = -9;
/// Closes that make a run worth a record: daemons close a few hundred out of habit.
const LONG: u32 = 1024;
/// Descriptors that may be open in a row within a run.
const STEP_MAX: u32 = 4096;

#[tracepoint]
pub(crate) fn close_tracepoint(ctx: TracePointContext) -> u32 {
    if super::result(&ctx) == BAD_FD {
        handle();
    }
    0
}

#[fexit]
pub(crate) fn close_fexit(ctx: FExitContext) -> i32 {
    if ctx.arg::<i64>(1) == BAD_FD {
        handle();
    }
    0
}

#[kretprobe]
pub(crate) fn close_kretprobe(ctx: RetProbeContext) -> u32 {
    if ctx.ret::<i64>() == BAD_FD {
        handle();
    }
    0
}

#[inline(always)]
fn handle() {
    // A process that was never seen has not learned a limit either.
    let Some(process) = PROCESSES.get_ptr_mut(process::current_tgid()) else { return };
    let process = unsafe { &mut *process };
    if process.learned[0].limit == 0 {
        return;
    }
    let Some(regs) = Regs::current(CLOSE) else { return };
    let number = regs.di() as i32;
    if number < 0 {
        return;
    }
    let (number, last) = (number as u32, process.sweep.number);
    let is_up = u32::from(number > last);
    let step = if is_up != 0 { number - last } else { last - number };
    let turns = process.sweep.count > 1 && is_up != process.sweep.is_up;
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if process.sweep.count != 0 && (step == 0 || step > STEP_MAX || turns || process.sweep.is_over(now)) {
        process::end_sweep(process);
    }
    let sweep = &mut process.sweep;
    sweep.number = number;
    sweep.is_up = is_up;
    if sweep.count == 0 {
        sweep.first_ns = now;
        sweep.first = number;
    }
    sweep.last_ns = now;
    sweep.count += 1;
    if sweep.next == 0 && sweep.count >= u64::from(LONG) {
        sweep.next = 2 * LONG;
        process::report_sweep(process, SWEEP_START);
    } else if sweep.next != 0 && sweep.count >= u64::from(sweep.next) {
        // Of the numbers there are 2^31 at most.
        sweep.next = sweep.next.saturating_mul(2);
        process::report_sweep(process, SWEEP_PROGRESS);
    }
}
