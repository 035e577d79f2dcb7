//! Filters and the way of a record into the ring buffer.

use aya_ebpf::helpers::bpf_get_current_comm;
use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
};
use memwatch_ebpf::abi::event::{Kind, Record};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::header::{Header, MEMORY_V1, cgroup_number};
use memwatch_ebpf::abi::knobs::{Knobs, MARK_SHOWN};
use memwatch_ebpf::abi::state::Process;
use memwatch_ebpf::abi::{COMM_LEN, VERSION};

use crate::maps::{EVENTS, KNOBS, MARKS, READER, RING_STATE, count, offset};
use crate::task;

/// `BPF_RB_NO_WAKEUP` (include/uapi/linux/bpf.h).
const NO_WAKEUP: u64 = 1;

/// `BPF_RB_FORCE_WAKEUP`. Without it the kernel wakes only a reader that had caught up (kernel/bpf/ringbuf.c,
/// bpf_ringbuf_commit), and one record without a wake-up would keep all that follow it from giving one.
const FORCE_WAKEUP: u64 = 2;

/// A CPU wakes the reader at most once in this time: the reader has not yet said that it looks by itself. Far less than
/// what it says then ([`READER`]), so that what follows without a wake-up is not left lying.
const WAKE_GAP_NS: u64 = 200_000;

/// The knobs; a missing entry cannot happen and reads as "show nothing".
#[inline(always)]
pub(crate) fn knobs() -> Option<&'static Knobs> {
    KNOBS.get(0)
}

/// Boot clock from when on anything is counted or told, in nanoseconds; 0: not yet.
#[inline(always)]
pub(crate) fn armed_ns() -> u64 {
    knobs().map_or(0, |knobs| knobs.armed_ns)
}

/// Whether the current process's events of a kind are wanted.
#[inline(always)]
pub(crate) fn wanted(knobs: &Knobs, kind: Kind) -> bool {
    knobs.kinds & kind.bit() != 0 && shown(knobs, kind)
}

#[inline(always)]
fn shown(knobs: &Knobs, kind: Kind) -> bool {
    let tgid = (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32;
    // memwatch's own forks are told, so that the command it starts is known from its first moment.
    if knobs.self_tgid == tgid && kind as u16 != Kind::Fork as u16 {
        return false;
    }
    if knobs.marked_only != 0 {
        let marks = unsafe { MARKS.get(tgid) }.copied().unwrap_or(0);
        if marks & MARK_SHOWN == 0 {
            return false;
        }
    }
    if !kind.is_followed() {
        if knobs.uid_on != 0 && unsafe { bpf_get_current_uid_gid() } as u32 != knobs.uid {
            return false;
        }
        if knobs.comm_on != 0 && !same_comm(&knobs.comm) {
            return false;
        }
    }
    kind.is_of_life() || outside(knobs) == 0
}

/// 1 when a filter by cgroup is set and the current task is not in that cgroup.
#[inline(always)]
pub(crate) fn outside(knobs: &Knobs) -> u32 {
    (knobs.cgroup_id != 0 && !in_cgroup(knobs.cgroup_id, knobs.cgroup_level)).into()
}

/// Whether the current task's cgroup is `id`, at `level`, or below it.
#[inline(always)]
pub(crate) fn in_cgroup(id: u64, level: u32) -> bool {
    let set = task::current().peek_at(offset!(task_cgroups));
    let cgroup = if id & MEMORY_V1 != 0 { set.memory_cgroup() } else { set.peek_at(offset!(cset_dfl)) };
    level <= cgroup.peek::<u32>(offset!(cgroup_level)) && cgroup.cgroup_ancestor(level) == cgroup_number(id)
}

/// Whether the current thread has exactly this name.
#[inline(always)]
pub(crate) fn same_comm(name: &[u8; COMM_LEN]) -> bool {
    bpf_get_current_comm().is_ok_and(|comm| u128::from_ne_bytes(comm) == u128::from_ne_bytes(*name))
}

/// Writes a record about the current process. `fill` gets the zeroed body in place.
#[inline(always)]
pub(crate) fn emit<T: Copy + 'static>(kind: Kind, process: &Process, fill: impl FnOnce(&mut T)) {
    let Some(state) = RING_STATE.get_ptr_mut(0) else { return };
    let state = unsafe { &mut *state };
    state.seq += 1;
    let Some(mut entry) = EVENTS.reserve::<Record<T>>(0) else {
        count(FaultCode::RingFull);
        return;
    };
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let pid_tgid = unsafe { bpf_get_current_pid_tgid() };
    let record = unsafe { &mut *entry.as_mut_ptr() };
    record.header = Header {
        time_ns: now,
        start_ns: process.start_ns,
        cgroup_id: process.cgroup_id,
        seq: state.seq,
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        uid: unsafe { bpf_get_current_uid_gid() } as u32,
        parent_tgid: process.parent_tgid,
        cpu: unsafe { bpf_get_smp_processor_id() } as u16,
        kind: kind as u16,
        version: VERSION,
        len: size_of::<Record<T>>() as u16,
        comm: bpf_get_current_comm().unwrap_or([0; COMM_LEN]),
    };
    fill(&mut record.body);
    // A wake-up costs the task that gives it some 10 us where processors are virtual: two interrupts to another one.
    let looks_until = READER.get(0).copied().unwrap_or(0);
    let flags = if now < looks_until || now - state.last_wake_ns < WAKE_GAP_NS {
        NO_WAKEUP
    } else {
        state.last_wake_ns = now;
        FORCE_WAKEUP
    };
    entry.submit(flags);
}
