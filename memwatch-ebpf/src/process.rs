//! The state kept per process, and its sums per cgroup.

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
};
use memwatch_ebpf::abi::event::{CloseSweep, Kind, Resident, SWEEP_END};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::state::{
    Counters, KnownLimits, LEARNED_MAX, Learned, LimitPair, Process, RESOURCES, Sweep, Tables, ThreadFaults,
    swept_to,
};
use zerocopy::FromZeros;

use crate::emit::{armed_ns, emit, knobs, wanted};
use crate::maps::{CGROUPS, PROCESSES, add, count};
use crate::task;

/// What a process starts with. Inserted from here: it is too large for the stack of a BPF program.
static EMPTY: Process = Process {
    start_ns: 0,
    counters: NOTHING,
    cgroup_id: 0,
    parent_tgid: 0,
    uid: 0,
    over_limit: 0,
    is_sampled: 0,
    fd_slots: 0,
    refused: 0,
    failed: 0,
    failed_ns: 0,
    resident: Resident { anon: 0, file: 0, shmem: 0, swap: 0 },
    sweep: Sweep { first_ns: 0, last_ns: 0, count: 0, next: 0, first: 0, number: 0, is_up: 0 },
    tables: Tables::NONE,
    brk: 0,
    is_threaded: 0,
    is_victim: 0,
    learned: [Learned { limit: 0, time_ns: 0, tgid: 0, tid: 0, how: 0, forks: 0 }; LEARNED_MAX],
    folded: NOTHING,
    limits: KnownLimits { epoch: 0, pairs: [LimitPair { soft: 0, hard: 0 }; RESOURCES] },
    swept: 0,
};

const NOTHING: Counters = Counters {
    mmap_bytes: 0,
    munmap_bytes: 0,
    mremap_grown_bytes: 0,
    mremap_shrunk_bytes: 0,
    brk_grown_bytes: 0,
    brk_shrunk_bytes: 0,
    minor_faults: 0,
    major_faults: 0,
};

/// Process id of the current task.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// State of the current process, made at first sight. `None` before the programs are armed, and (with a count) when the
/// map is full.
#[inline(always)]
pub(crate) fn current() -> Option<&'static mut Process> {
    let tgid = current_tgid();
    if let Some(known) = PROCESSES.get_ptr_mut(tgid) {
        return Some(unsafe { &mut *known });
    }
    if armed_ns() == 0 {
        return None;
    }
    let process = insert(tgid)?;
    let task = task::current();
    process.start_ns = task.process_start();
    process.parent_tgid = task.parent_tgid();
    process.cgroup_id = task.cgroup_id();
    process.uid = unsafe { bpf_get_current_uid_gid() } as u32;
    process.fd_slots = task.fd_slots();
    // Its threads before now were not seen.
    process.is_threaded = 1;
    Some(process)
}

/// A fresh state for a process id, over whatever was there.
#[inline(always)]
pub(crate) fn insert(tgid: u32) -> Option<&'static mut Process> {
    if PROCESSES.insert(tgid, &EMPTY, 0).is_err() {
        count(FaultCode::ProcessMapFull);
        return None;
    }
    PROCESSES.get_ptr_mut(tgid).map(|process| unsafe { &mut *process })
}

/// Adds what is new in the process's sums to those of its cgroup.
#[inline(always)]
pub(crate) fn fold(process: &mut Process) {
    fold_with(process, counted(process));
}

/// Faults that were added so far.
#[inline(always)]
pub(crate) fn counted(process: &Process) -> ThreadFaults {
    ThreadFaults { minor: process.counters.minor_faults, major: process.counters.major_faults }
}

/// The same where the faults are known better than from its sums.
#[inline(always)]
pub(crate) fn fold_with(process: &mut Process, faults: ThreadFaults) {
    let sums = match CGROUPS.get_ptr_mut(process.cgroup_id) {
        Some(sums) => sums,
        None => {
            // Another CPU may have been first (EEXIST): the look-up decides.
            let _ = CGROUPS.insert(process.cgroup_id, &NOTHING, 1);
            match CGROUPS.get_ptr_mut(process.cgroup_id) {
                Some(sums) => sums,
                None => return count(FaultCode::CgroupMapFull),
            }
        }
    };
    macro_rules! fold {
        ($($field:ident: $now:expr,)*) => {$(
            let now = $now;
            let new = now.saturating_sub(process.folded.$field);
            if new != 0 {
                add(unsafe { &raw mut (*sums).$field }, new);
                process.folded.$field = now;
            }
        )*};
    }
    fold! {
        mmap_bytes: process.counters.mmap_bytes,
        munmap_bytes: process.counters.munmap_bytes,
        mremap_grown_bytes: process.counters.mremap_grown_bytes,
        mremap_shrunk_bytes: process.counters.mremap_shrunk_bytes,
        brk_grown_bytes: process.counters.brk_grown_bytes,
        brk_shrunk_bytes: process.counters.brk_shrunk_bytes,
        minor_faults: faults.minor,
        major_faults: faults.major,
    }
}

/// Remembers a value of RLIMIT_NOFILE that the process came to know now.
#[inline(always)]
pub(crate) fn learn(process: &mut Process, limit: u64, how: u32) {
    // RLIM_INFINITY sizes no table, and neither does a limit of one.
    if !(2..1 << 40).contains(&limit) {
        return;
    }
    let pid_tgid = unsafe { bpf_get_current_pid_tgid() };
    let learned = Learned {
        limit,
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        how,
        forks: 0,
    };
    let mut place = 0;
    let mut smallest = u64::MAX;
    for (index, slot) in process.learned.iter_mut().enumerate() {
        if slot.limit == limit {
            *slot = learned;
            return;
        }
        if slot.limit < smallest {
            (place, smallest) = (index, slot.limit);
        }
    }
    // Masked: the slot exists.
    unsafe { *process.learned.as_mut_ptr().add(place & (LEARNED_MAX - 1)) = learned };
}

/// Hands what a process learned down to a child.
#[inline(always)]
pub(crate) fn inherit(parent: &Process, child: &mut Process) {
    child.learned = parent.learned;
    for slot in &mut child.learned {
        if slot.limit != 0 {
            slot.forks += 1;
        }
    }
    child.brk = parent.brk;
    child.fd_slots = parent.fd_slots;
}

/// Reports the end of a long close sweep, and forgets the sweep.
#[inline(always)]
pub(crate) fn end_sweep(process: &mut Process) {
    if process.sweep.next != 0 {
        process.swept = process.sweep.count;
        report_sweep(process, SWEEP_END);
    }
    process.sweep = Sweep::new_zeroed();
}

/// Closes of the long close sweep that the process makes, or made last; 0: none.
#[inline(always)]
pub(crate) fn swept(process: &Process) -> u64 {
    if process.sweep.next != 0 { process.sweep.count } else { process.swept }
}

/// The limit that the current process's close sweep goes by. A global function, which the verifier walks through once, and not
/// for each program that a sweep may end in.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sweep_limit(top: u32, phase: u32) -> u64 {
    match PROCESSES.get_ptr_mut(current_tgid()) {
        Some(process) => swept_to(unsafe { &(*process).learned }, top, phase == SWEEP_END),
        None => 0,
    }
}

/// Writes a record about the close sweep.
#[inline(always)]
pub(crate) fn report_sweep(process: &Process, phase: u32) {
    let Some(knobs) = knobs() else { return };
    if wanted(knobs, Kind::CloseSweep) {
        let limit = sweep_limit(process.sweep.top(), phase);
        emit::<CloseSweep>(Kind::CloseSweep, process, |body| {
            *body = CloseSweep {
                first_ns: process.sweep.first_ns,
                last_ns: process.sweep.last_ns,
                count: process.sweep.count,
                limit,
                phase,
                _pad: 0,
            };
        });
    }
}

/// What an exec ends: everything that belonged to the old program.
#[inline(always)]
pub(crate) fn forget_program(process: &mut Process) {
    end_sweep(process);
    // Most programs have neither: what is not there is not written over.
    if process.learned[0].limit != 0 {
        process.learned = EMPTY.learned;
    }
    if process.tables.count != 0 {
        process.tables = Tables::NONE;
    }
    process.swept = 0;
    process.refused = 0;
    process.failed = 0;
    process.brk = 0;
    process.over_limit = 0;
}
