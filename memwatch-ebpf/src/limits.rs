//! The resource limits that processes are known to have, for calls that change one and do not say what it was.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use memwatch_ebpf::abi::state::{KnownLimits, LimitPair, Process, RESOURCES};

use crate::maps::{OTHERS_SET, add};
use crate::task::Kptr;

/// Times that the limits of all became doubtful, and one: [`KnownLimits`] of another number may have changed since.
#[inline(always)]
fn epoch() -> u64 {
    OTHERS_SET.get(0).map_or(0, |times| *times) + 1
}

/// A process set a limit of another, and nothing says of which one.
#[inline(always)]
pub(crate) fn anybody_was_set() {
    if let Some(times) = OTHERS_SET.get_ptr_mut(0) {
        add(times, 1);
    }
}

/// Notes the limits of a process as the kernel has them for a task of it.
#[inline(always)]
pub(crate) fn note(process: &mut Process, task: Kptr) {
    let place = task.limit_place(0);
    if place == 0 {
        return;
    }
    let to = (&raw mut process.limits.pairs).cast();
    let read =
        unsafe { bpf_probe_read_kernel(to, size_of::<[LimitPair; RESOURCES]>() as u32, place as *const _) };
    process.limits.epoch = if read == 0 { epoch() } else { 0 };
}

/// The limits that a process was last known to have, when nothing says that they changed.
#[inline(always)]
pub(crate) fn known(process: &Process) -> Option<&KnownLimits> {
    if process.limits.epoch == epoch() { Some(&process.limits) } else { None }
}

/// The limits of a process are not known any more.
#[inline(always)]
pub(crate) fn forget(process: &mut Process) {
    process.limits.epoch = 0;
}
