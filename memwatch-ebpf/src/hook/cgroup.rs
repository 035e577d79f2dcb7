//! A process moves to another cgroup: its sums so far belong to the old one. A cgroup goes: its sums are kept for a while.
//!
//! Ways: raw tracepoints `cgroup_attach_task(dst, path, task, threadgroup)` and `cgroup_rmdir(cgroup, path)`. Lane: counters in
//! maps. They fire for every hierarchy, so the cgroup that counts is read from the task, and removals where none counts
//! are passed over. Without the first: what a process did before it moved is counted for the cgroup it moved to.
//! Without the second: once the map is full of cgroups that are gone, new ones are not counted.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use memwatch_ebpf::abi::header::MEMORY_V1;

use crate::maps::{CGROUPS, PROCESSES, REMOVED, offset};
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

#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub(crate) fn cgroup_rmdir_raw(ctx: RawTracePointContext) -> i32 {
    /// `cgroup_root.hierarchy_id` of the unified hierarchy, which is made first (kernel/cgroup/cgroup.c, cgroup_init).
    const UNIFIED: u32 = 0;
    let cgroup = Kptr(ctx.arg::<u64>(0));
    let Some(root) = cgroup.follow(offset!(cgroup_root)) else { return 0 };
    // Ids of two hierarchies may be the same number.
    let mark = match root.read::<u32>(offset!(root_hierarchy)) {
        Some(UNIFIED) => 0,
        Some(other) if other == offset!(memory_hierarchy) => MEMORY_V1,
        _ => return 0,
    };
    let id = cgroup.cgroup_own_id() | mark;
    if CGROUPS.get_ptr_mut(id).is_none() || REMOVED.push(id, 0).is_ok() {
        return 0;
    }
    if let Ok(Some(oldest)) = REMOVED.pop() {
        let _ = CGROUPS.remove(oldest);
    }
    // Where another CPU was faster to take the place the sums stay until this id is given again, which is never.
    let _ = REMOVED.push(id, 0);
    0
}
