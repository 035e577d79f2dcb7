//! `getrlimit`, `setrlimit`, `prlimit64`: limits read and set. sysconf(_SC_OPEN_MAX), getdtablesize and `ulimit` end here.
//!
//! Ways: fexit on `__x64_sys_*`, tracepoints `syscalls:sys_exit_*`, kretprobes. Lane: the ring; these calls are rare. The
//! values are read after the call: what was set of the caller's own from the kernel, the rest from the caller's memory.
//! Without it: no limit is ever learned, so no fd table can be told from another mapping.
//!
//! A call that sets a limit and does not ask for the old one (`setrlimit`, and what glibc makes of it) leaves the new value
//! everywhere. What was there before it is known of a process whose start was seen or that read or set a limit before
//! ([`KnownLimits`](memwatch_ebpf::abi::state::KnownLimits)). When one process sets another's limit all of that is
//! forgotten, as the id it passes may be one of another pid namespace. A 32-bit process that sets its own limit is not
//! noticed. No program runs at the entry: those that the kernel offers everywhere, tracepoints, would cost every system
//! call of the host.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use memwatch_ebpf::abi::event::{Kind, RLIMIT_FOREIGN_TARGET, RLIMIT_HAS_NEW, RLIMIT_HAS_OLD, Rlimit};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::state::{KnownLimits, LEARNED_READ, LEARNED_READ_HARD, LEARNED_SET, LimitPair};

use crate::emit::{emit, knobs, wanted};
use crate::maps::{PROCESSES, count};
use crate::regs::Regs;
use crate::task::Kptr;
use crate::{limits, process, task};

syscall_exit!(97, getrlimit, tracepoint getrlimit_tracepoint, fexit getrlimit_fexit, kretprobe getrlimit_kretprobe);
syscall_exit!(160, setrlimit, tracepoint setrlimit_tracepoint, fexit setrlimit_fexit, kretprobe setrlimit_kretprobe);
syscall_exit!(302, prlimit64, tracepoint prlimit64_tracepoint, fexit prlimit64_fexit, kretprobe prlimit64_kretprobe);

/// `RLIMIT_NOFILE` on every architecture but alpha, mips and sparc (include/uapi/asm-generic/resource.h).
const NOFILE: u32 = 7;

/// A pair that may be unknown. No `Option`: what that holds when it is none is nothing, which the compiler reads all the
/// same where two paths meet, and kernels before 6.3 refuse a program that reads a place of its stack before it wrote there.
#[derive(Clone, Copy, Default)]
struct Known {
    is: bool,
    pair: LimitPair,
}

impl Known {
    #[inline(always)]
    fn some(pair: LimitPair) -> Self {
        Self { is: true, pair }
    }

    #[inline(always)]
    fn none() -> Self {
        Self::default()
    }
}

#[inline(always)]
fn read_pair(pointer: u64) -> Known {
    if pointer == 0 {
        return Known::none();
    }
    let mut pair = LimitPair::default();
    let read = unsafe {
        bpf_probe_read_user((&raw mut pair).cast(), size_of::<LimitPair>() as u32, pointer as *const _)
    };
    if read != 0 {
        count(FaultCode::UserRead);
        return Known::none();
    }
    Known::some(pair)
}

/// A resource limit of the current process as the kernel has it.
#[inline(always)]
fn current_pair(resource: u32) -> Known {
    let place = task::current().limit_place(resource);
    if place == 0 {
        return Known::none();
    }
    Kptr(place).read::<LimitPair>(0).map_or(Known::none(), Known::some)
}

/// One of the limits that a process was known to have.
#[inline(always)]
fn pair_of(known: Option<&KnownLimits>, resource: u32) -> Known {
    let pair = known.and_then(|known| known.pairs.get(resource as usize));
    pair.map_or(Known::none(), |pair| Known::some(*pair))
}

/// A limit of another process before it was set now, of which nothing is known from here on. All processes are in doubt
/// when the id that the caller passed does not say which one it was.
#[inline(always)]
fn replaced_of_other(target: u32, resource: u32) -> Known {
    let other = if task::current().pid_level() == 0 { PROCESSES.get_ptr_mut(target) } else { None };
    let Some(other) = other else {
        limits::anybody_was_set();
        return Known::none();
    };
    let other = unsafe { &mut *other };
    let replaced = pair_of(limits::known(other), resource);
    limits::forget(other);
    replaced
}

#[inline(always)]
fn getrlimit(regs: &Regs, result: i64) {
    handle(0, regs.di() as u32, 0, regs.si(), result);
}

#[inline(always)]
fn setrlimit(regs: &Regs, result: i64) {
    handle(0, regs.di() as u32, regs.si(), 0, result);
}

#[inline(always)]
fn prlimit64(regs: &Regs, result: i64) {
    handle(regs.di() as u32, regs.si() as u32, regs.dx(), regs.r10(), result);
}

/// Whether an id that the caller passed is its own: ids are those of its pid namespace, and any of its threads will do.
#[inline(always)]
fn names_caller(target: u32) -> bool {
    let task = task::current();
    target == task.own_id() || target == task.leader().own_id()
}

#[inline(always)]
fn handle(target: u32, resource: u32, new: u64, old: u64, result: i64) {
    let Some(process) = process::current() else { return };
    let own = target == 0 || names_caller(target);
    // The buffer of what was set may hold what was read by now: a caller may pass one for both.
    let set = if new == 0 {
        Known::none()
    } else if own && result == 0 {
        current_pair(resource)
    } else if new != old || result != 0 {
        read_pair(new)
    } else {
        Known::none()
    };
    // A failed call leaves the caller's buffer as it was: what is there is not a limit.
    let got = if result == 0 { read_pair(old) } else { Known::none() };
    // What the call replaced, which it need not have asked for: nothing when it failed.
    let replaced = if new == 0 {
        Known::none()
    } else if own && result != 0 {
        current_pair(resource)
    } else if own {
        pair_of(limits::known(process), resource)
    } else if result == 0 {
        replaced_of_other(target, resource)
    } else {
        Known::none()
    };
    if own && result == 0 && (new != 0 || limits::known(process).is_none()) {
        limits::note(process, task::current());
    }
    if resource == NOFILE && own && result == 0 {
        if got.is {
            let got = got.pair;
            if got.hard != got.soft {
                process::learn(process, got.hard, LEARNED_READ_HARD);
            }
            process::learn(process, got.soft, LEARNED_READ);
        }
        if set.is {
            process::learn(process, set.pair.soft, LEARNED_SET);
        }
    }
    let Some(knobs) = knobs() else { return };
    let kind = if new == 0 { Kind::RlimitRead } else { Kind::RlimitSet };
    if wanted(knobs, kind) {
        // The number is one of the caller's pid namespace. In another than the host's it means somebody else there.
        let is_foreign = target != 0 && task::current().pid_level() != 0;
        emit::<Rlimit>(kind, process, |body| {
            let told = if got.is { got } else { replaced };
            *body = Rlimit {
                soft: told.pair.soft,
                hard: told.pair.hard,
                new_soft: set.pair.soft,
                new_hard: set.pair.hard,
                result,
                resource,
                target: if is_foreign { 0 } else { target },
                has: if told.is { RLIMIT_HAS_OLD } else { 0 }
                    | if set.is { RLIMIT_HAS_NEW } else { 0 }
                    | if is_foreign && !own { RLIMIT_FOREIGN_TARGET } else { 0 },
                _pad: 0,
            };
        });
    }
}
