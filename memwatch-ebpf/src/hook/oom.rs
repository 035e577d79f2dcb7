//! OOM kills: the victim, and the domain that was short of memory.
//!
//! Ways: raw tracepoint `mark_victim(task, uid)`, where the kernel passes the task (mainline since 6.8, back-ported to 6.1
//! and late releases of 5.10: the prototype in BTF decides); else fentry on `mark_oom_victim(task)`, which the tracepoint
//! stands in, for victims not marked before. Either fires for each victim, so every member of a group kill is reported, and
//! in whatever task triggered: the header is the trigger's. It fires again for each thread of a victim that asks for memory on
//! its way out (out_of_memory in mm/oom_kill.c marks who will free some); a process is reported once. The domain is the nearest memory cgroup of the victim that is
//! at its limit; of a group kill's later victims, whose predecessors may have given memory back already, the one that was
//! at its limit before. Lane: the ring. Without it: OOM kills are not seen.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::{fentry, raw_tracepoint};
use aya_ebpf::programs::{FEntryContext, RawTracePointContext};
use memwatch_ebpf::abi::event::{Kind, OOM_CGROUP, OOM_HOST, OomKill};
use memwatch_ebpf::abi::offsets::ABSENT;

use crate::emit::{emit, knobs};
use crate::maps::{LAST_SHORT, PROCESSES, offset};
use crate::task::Kptr;
use crate::{process, resident};

/// Levels of memory cgroups looked at.
const DEPTH: u32 = 16;
/// A charge fails when it would pass the limit; the largest charge is a huge page of 2 MiB.
const NEAR_PAGES: u64 = 512;

/// For how long the victims of one trigger may belong to one group kill: a slow console has a line for each.
const GROUP_KILL_NS: u64 = 10_000_000_000;

/// A memory cgroup that was at its limit when its memory ran out.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Short {
    /// `struct mem_cgroup *`; compared, never read.
    group: u64,
    /// Thread that triggered, as `bpf_get_current_pid_tgid` has it.
    trigger: u64,
    time_ns: u64,
    id: u64,
    limit: u64,
    usage: u64,
}

struct Domain {
    memcg_id: u64,
    id: u64,
    limit: u64,
    usage: u64,
}

#[raw_tracepoint(tracepoint = "mark_victim")]
pub(crate) fn oom_raw(ctx: RawTracePointContext) -> i32 {
    killed(Kptr(ctx.arg::<u64>(0)));
    0
}

#[fentry(function = "mark_oom_victim")]
pub(crate) fn oom_fentry(ctx: FEntryContext) -> i32 {
    let victim = Kptr(ctx.arg::<u64>(0));
    // A group kill marks the victim that it began with twice (mm/oom_kill.c, oom_kill_process).
    if victim.peek_at(offset!(task_signal)).peek::<u64>(offset!(signal_oom_mm)) == 0 {
        killed(victim);
    }
    0
}

#[inline(always)]
fn killed(victim: Kptr) {
    let Some(trigger) = process::current() else { return };
    // Filters are about the victim, which user space checks: only the kind is looked at here.
    if knobs().is_none_or(|knobs| knobs.kinds & Kind::OomKill.bit() == 0) {
        return;
    }
    let tgid = victim.peek(offset!(task_tgid));
    if let Some(process) = PROCESSES.get_ptr_mut(tgid)
        && core::mem::replace(unsafe { &mut (*process).is_victim }, 1) != 0
    {
        return;
    }
    let mm = victim.peek_at(offset!(task_mm));
    let signal = victim.peek_at(offset!(task_signal));
    let page = u64::from(offset!(page_size));
    let domain = domain(victim);
    emit::<OomKill>(Kind::OomKill, trigger, |body| {
        *body = OomKill {
            resident: resident::of(mm),
            page_tables: mm.peek(offset!(mm_pgtables)),
            total_vm: mm.peek::<u64>(offset!(mm_total_vm)) * page,
            start_ns: victim.process_start(),
            cgroup_id: victim.cgroup_id(),
            memcg_id: domain.memcg_id,
            domain_id: domain.id,
            domain_limit: domain.limit,
            domain_usage: domain.usage,
            tgid,
            tid: victim.peek(offset!(task_pid)),
            uid: victim.peek_at(offset!(task_cred)).peek(offset!(cred_uid)),
            oom_score_adj: i32::from(signal.peek::<i16>(offset!(signal_oom_adj))),
            domain: if domain.id != 0 {
                OOM_CGROUP
            } else if offset!(memory_subsys) != ABSENT {
                OOM_HOST
            } else {
                0
            },
            parent_tgid: victim.parent_tgid(),
            comm: victim.comm(),
        };
    });
}

#[inline(always)]
fn domain(victim: Kptr) -> Domain {
    let mut found = Domain { memcg_id: 0, id: 0, limit: 0, usage: 0 };
    let index = offset!(memory_subsys);
    if index == ABSENT {
        return found;
    }
    let set = victim.peek_at(offset!(task_cgroups));
    // `struct mem_cgroup` starts with its `cgroup_subsys_state`, so one address serves for both.
    let mut state = set.peek_at(offset!(cset_subsys).wrapping_add(index * 8));
    found.memcg_id = state.peek_at(offset!(css_cgroup)).cgroup_own_id();
    let page = u64::from(offset!(page_size));
    let Some(last) = LAST_SHORT.get_ptr_mut(0) else { return found };
    let last = unsafe { &mut *last };
    let trigger = unsafe { bpf_get_current_pid_tgid() };
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let is_recent = last.trigger == trigger && now.wrapping_sub(last.time_ns) < GROUP_KILL_NS;
    let before = if is_recent { last.group } else { 0 };
    for _ in 0..DEPTH {
        if state.0 == 0 {
            break;
        }
        let usage = state.peek::<u64>(offset!(memcg_usage));
        let limit = state.peek::<u64>(offset!(memcg_max));
        if usage.wrapping_add(NEAR_PAGES) >= limit && limit != 0 {
            found.id = state.peek_at(offset!(css_cgroup)).cgroup_own_id();
            found.limit = limit.wrapping_mul(page);
            found.usage = usage.wrapping_mul(page);
            let Domain { id, limit, usage, .. } = found;
            *last = Short { group: state.0, trigger, time_ns: now, id, limit, usage };
            break;
        }
        if state.0 == before {
            (found.id, found.limit, found.usage) = (last.id, last.limit, last.usage);
            break;
        }
        state = state.peek_at(offset!(css_parent));
    }
    found
}
