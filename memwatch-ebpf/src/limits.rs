//! The resource limits that processes are known to have, for calls that change one and do not say what it was.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use memwatch_ebpf::abi::state::{KnownLimits, LimitPair, RESOURCES};

use crate::maps::{KNOWN_LIMITS, OTHERS_SET, add};
use crate::task::Kptr;

/// Inserted from here: it is large for the stack of a BPF program.
static NOTHING: KnownLimits =
    KnownLimits { start_ns: 0, epoch: 0, pairs: [LimitPair { soft: 0, hard: 0 }; RESOURCES] };

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

/// Notes the limits of a task's process as the kernel has them.
#[inline(always)]
pub(crate) fn note(tgid: u32, start_ns: u64, task: Kptr) {
    let place = task.limit_place(0);
    if place == 0 {
        return;
    }
    let known = match KNOWN_LIMITS.get_ptr_mut(&tgid) {
        Some(known) => known,
        None => {
            // No room is no loss that is worth a count: the old value is left out then.
            let _ = KNOWN_LIMITS.insert(&tgid, &NOTHING, 0);
            let Some(known) = KNOWN_LIMITS.get_ptr_mut(&tgid) else { return };
            known
        }
    };
    let known = unsafe { &mut *known };
    let to = (&raw mut known.pairs).cast();
    let read =
        unsafe { bpf_probe_read_kernel(to, size_of::<[LimitPair; RESOURCES]>() as u32, place as *const _) };
    known.start_ns = start_ns;
    known.epoch = if read == 0 { epoch() } else { 0 };
}

/// The limits that a process was last known to have, when nothing says that they changed.
#[inline(always)]
pub(crate) fn known(tgid: u32, start_ns: u64) -> Option<&'static KnownLimits> {
    let known = unsafe { &*KNOWN_LIMITS.get_ptr_mut(&tgid)? };
    if known.start_ns == start_ns && known.epoch == epoch() { Some(known) } else { None }
}

/// The limits of a process are not known any more.
#[inline(always)]
pub(crate) fn forget(tgid: u32) {
    let _ = KNOWN_LIMITS.remove(&tgid);
}
