//! RSS of watched address spaces, at every change.
//!
//! Ways: raw tracepoint `rss_stat(mm, member, …)` (include/trace/events/kmem.h). Lane: the state of the process; the ring at touched steps.
//! It fires at every fault, so it is attached only while something is watched, an RSS limit is set or a rule waits. The memory may be another task's than
//! the current one: attribution is by address space, and only the owner itself is ever signalled. Without it: touched
//! growth is seen at samples only.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::emit::knobs;
use crate::maps::{PROCESSES, WATCHED};
use crate::task::{self, Kptr};
use crate::{process, resident, tables};

/// `MM_ANONPAGES` (include/linux/mm_types_task.h).
const ANON: u32 = 1;

#[raw_tracepoint(tracepoint = "rss_stat")]
pub(crate) fn rss_raw(ctx: RawTracePointContext) -> i32 {
    let mm = ctx.arg::<u64>(0);
    if knobs().is_some_and(|knobs| knobs.rss_limit != 0)
        && mm == resident::current_mm()
        && !task::current().is_exiting()
    {
        if let Some(process) = process::current() {
            resident::look(process);
        }
        return 0;
    }
    if ctx.arg::<u32>(1) != ANON {
        return 0;
    }
    let Some(watched) = (unsafe { WATCHED.get(mm) }) else { return 0 };
    let Some(process) = PROCESSES.get_ptr_mut(watched.tgid) else { return 0 };
    let process = unsafe { &mut *process };
    process.resident.anon = resident::anon(Kptr(mm));
    if watched.tgid == process::current_tgid() {
        tables::grown(process);
    }
    0
}
