//! A process moves to another cgroup: its sums so far belong to the old one.
//!
//! Ways: raw tracepoint `cgroup_attach_task(dst, path, task, threadgroup)`. Lane: counters in maps. It fires for every hierarchy, so
//! the cgroup of the unified one is read from the task. Without it: what a process did before it moved is counted
//! for the cgroup it moved to.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::maps::{PROCESSES, offset};
use crate::process;
use crate::task::Kptr;

#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
pub(crate) fn cgroup_raw(ctx: RawTracePointContext) -> i32 {
    let task = Kptr(ctx.arg::<u64>(2));
    let Some(tgid) = task.read::<u32>(offset!(task_tgid)) else { return 0 };
    // A process that was never seen has no sums.
    let Some(process) = PROCESSES.get_ptr_mut(tgid) else { return 0 };
    let process = unsafe { &mut *process };
    let cgroup_id = task.cgroup_id();
    if cgroup_id != 0 && cgroup_id != process.cgroup_id {
        process::fold(process);
        process.cgroup_id = cgroup_id;
    }
    0
}
