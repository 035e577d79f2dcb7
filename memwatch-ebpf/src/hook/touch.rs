//! First touches of a table's pages: faults of user code and of the kernel for it, with their addresses.
//!
//! Ways: raw tracepoints `page_fault_{user,kernel}(address, regs, error_code)` (x86: arch/x86/mm/fault.c,
//! trace_page_fault_entries). Lane: the state of the process; the ring at touched steps. They fire at every fault of the
//! host, before it is handled, so they are attached only while a table is watched or a rule waits. Without the first: any
//! growth of a process with a table counts as touched, is seen at samples only, and no rule acts on it. Without the second:
//! what the kernel writes to a table (`read` into it) is not counted.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use memwatch_ebpf::abi::state::{FAULT_COPY, FAULT_NONE, FAULT_WRITE};

use crate::maps::PROCESSES;
use crate::{process, touched};

/// `X86_PF_PROT` (arch/x86/include/asm/trap_pf.h): the page was there.
const PRESENT: u64 = 1;
/// `X86_PF_WRITE`.
const WRITE: u64 = 2;
/// The first address that is the kernel's own.
const KERNEL: u64 = 1 << 63;

#[raw_tracepoint(tracepoint = "page_fault_user")]
pub(crate) fn touch_raw(ctx: RawTracePointContext) -> i32 {
    see(ctx.arg(0), ctx.arg(2));
    0
}

/// A system call that writes to the process's memory. A BPF program that reads where nothing is faults too, and in any context:
/// only writes are looked at, and never the kernel's own addresses, as kernels before 5.11 let a program run inside itself.
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
pub(crate) fn touch_kernel_raw(ctx: RawTracePointContext) -> i32 {
    let (address, code) = (ctx.arg::<u64>(0), ctx.arg::<u64>(2));
    if address < KERNEL && code & WRITE != 0 {
        see(address, code);
    }
    0
}

#[inline(always)]
fn see(address: u64, code: u64) {
    let Some(process) = PROCESSES.get_ptr_mut(process::current_tgid()) else { return };
    let process = unsafe { &mut *process };
    if process.tables.total == 0 {
        return;
    }
    // A read gets the page of zeros, which is nobody's.
    let kind = if code & WRITE == 0 {
        FAULT_NONE
    } else if code & PRESENT == 0 {
        FAULT_WRITE
    } else {
        FAULT_COPY
    };
    touched::faulted(process, address, kind);
}
