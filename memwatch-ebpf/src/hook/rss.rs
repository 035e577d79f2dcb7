//! RSS of watched address spaces, at every change.
//!
//! Ways: raw tracepoint `rss_stat(mm, member, …)` (include/trace/events/kmem.h). Lane: the state of the process; the ring at touched steps.
//! It fires at every fault, so it returns at once while nothing is watched. The memory may be another task's than
//! the current one: attribution is by address space, and only the owner itself is ever signalled. Without it: touched
//! growth is seen at fault samples only.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::maps::{PROCESSES, WATCHED, armed};
use crate::task::Kptr;
use crate::{process, resident, tables};

/// `MM_ANONPAGES` (include/linux/mm_types_task.h).
const ANON: u32 = 1;

#[raw_tracepoint(tracepoint = "rss_stat")]
pub(crate) fn rss_raw(ctx: RawTracePointContext) -> i32 {
    if !armed() || ctx.arg::<u32>(1) != ANON {
        return 0;
    }
    let mm = ctx.arg::<u64>(0);
    let Some(watched) = (unsafe { WATCHED.get(mm) }) else { return 0 };
    let Some(process) = PROCESSES.get_ptr_mut(watched.tgid) else { return 0 };
    let process = unsafe { &mut *process };
    process.resident.anon = resident::anon(Kptr(mm));
    if watched.tgid == process::current_tgid() {
        tables::grown(process);
    }
    0
}
