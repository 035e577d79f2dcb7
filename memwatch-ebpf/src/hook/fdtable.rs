//! Growth of the kernel's descriptor table of a process.
//!
//! Ways: fexit on `__x64_sys_{dup2,dup3,fcntl}`, tracepoints `syscalls:sys_exit_*`, kretprobes: the calls that can jump to
//! a high descriptor. Growth by `open`, `accept` and the like is noticed at the process's next fault sample (`fault.rs`) or
//! at its end (`life.rs`), exact in size, late in time. Lane: the ring; growth is rare. Without it: growth is noticed late.

use memwatch_ebpf::abi::event::{FdTableGrowth, Kind, UNKNOWN};
use memwatch_ebpf::abi::state::Process;
use memwatch_ebpf::table;

use super::mmap::failed;
use crate::emit::{emit, knobs, wanted};
use crate::regs::Regs;
use crate::{process, task};

syscall_exit!(33, handle, tracepoint dup2_tracepoint, fexit dup2_fexit, kretprobe dup2_kretprobe);
syscall_exit!(292, handle, tracepoint dup3_tracepoint, fexit dup3_fexit, kretprobe dup3_kretprobe);
syscall_exit!(72, handle, tracepoint fcntl_tracepoint, fexit fcntl_fexit, kretprobe fcntl_kretprobe);

/// A table of this size in a process that was never seen before is worth a record though its growth is not known.
const LARGE: u64 = 4096;

#[inline(always)]
fn handle(_regs: &Regs, result: i64) {
    if failed(result) {
        return;
    }
    if let Some(process) = process::current() {
        look(process);
    }
}

/// Compares the table with what was last seen.
#[inline(always)]
pub(super) fn look(process: &mut Process) {
    let slots = task::current().fd_slots();
    let before = process.fd_slots;
    if slots == before || slots == 0 {
        return;
    }
    process.fd_slots = slots;
    if slots < before || (before == 0 && slots < LARGE) {
        return;
    }
    let Some(knobs) = knobs() else { return };
    if wanted(knobs, Kind::FdTableGrowth) {
        emit::<FdTableGrowth>(Kind::FdTableGrowth, process, |body| {
            *body = FdTableGrowth {
                old_slots: if before == 0 { UNKNOWN } else { before },
                new_slots: slots,
                bytes: table::kernel_bytes(slots),
            };
        });
    }
}
