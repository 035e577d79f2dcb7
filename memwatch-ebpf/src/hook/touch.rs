//! First touches of a table's pages: faults of user code, with their addresses.
//!
//! Ways: raw tracepoint `page_fault_user(address, regs, error_code)` (x86: arch/x86/mm/fault.c, trace_page_fault_entries). Lane: the
//! state of the process; the ring at touched steps. It fires at every fault of the host, before it is handled, so it
//! is attached only while a table is watched or a rule waits. Without it: any growth of a process with a table counts
//! as touched, is seen at samples only, and no rule acts on it.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use memwatch_ebpf::abi::state::{FAULT_COPY, FAULT_NONE, FAULT_WRITE};

use crate::maps::PROCESSES;
use crate::{process, touched};

/// `X86_PF_PROT` (arch/x86/include/asm/trap_pf.h): the page was there.
const PRESENT: u64 = 1;
/// `X86_PF_WRITE`.
const WRITE: u64 = 2;

#[raw_tracepoint(tracepoint = "page_fault_user")]
pub(crate) fn touch_raw(ctx: RawTracePointContext) -> i32 {
    let Some(process) = PROCESSES.get_ptr_mut(process::current_tgid()) else { return 0 };
    let process = unsafe { &mut *process };
    if process.tables.total == 0 {
        return 0;
    }
    let code = ctx.arg::<u64>(2);
    // A read gets the page of zeros, which is nobody's.
    let kind = if code & WRITE == 0 {
        FAULT_NONE
    } else if code & PRESENT == 0 {
        FAULT_WRITE
    } else {
        FAULT_COPY
    };
    touched::faulted(process, ctx.arg(0), kind);
    0
}
