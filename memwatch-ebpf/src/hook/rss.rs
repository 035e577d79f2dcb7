//! RSS of processes with a limit, at every change.
//!
//! Ways: raw tracepoint `rss_stat(mm, member, …)` (include/trace/events/kmem.h). Lane: the state of the process; the ring
//! when a limit is passed. It fires at every fault, so it is attached only while an RSS limit is set. The memory may be
//! another task's than the current one: only the owner itself is ever looked at. Without it: a passed limit is seen at
//! samples only.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::emit::knobs;
use crate::task;
use crate::{process, resident};

#[raw_tracepoint(tracepoint = "rss_stat")]
pub(crate) fn rss_raw(ctx: RawTracePointContext) -> i32 {
    let mm = ctx.arg::<u64>(0);
    if (knobs().is_some_and(|knobs| knobs.rss_limit != 0) || resident::has_own_limit())
        && mm == resident::current_mm()
        && !task::current().is_exiting()
        && let Some(process) = process::current()
    {
        resident::look(process);
    }
    0
}
