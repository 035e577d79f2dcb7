//! Rules: what user space ordered, obeyed at the moment memory is asked for or touched.

use aya_ebpf::helpers::generated::bpf_send_signal;
use memwatch_ebpf::abi::event::{Action, Kind};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::knobs::{Knobs, RULES_MAX, Rule, SCOPE_CGROUP, SCOPE_MARKED};
use memwatch_ebpf::abi::state::Process;

use crate::emit::{emit, in_cgroup, knobs, same_comm, wanted};
use crate::maps::{MARKS, RULES, count};
use crate::process::current_tgid;

/// The first rule with this action that concerns the current process and a table of `length` bytes, if the length makes as sure
/// as it asks: `certainty` says how sure ([`Certainty`](memwatch_ebpf::table::Certainty)), 0 when it is no table.
#[inline(always)]
pub(crate) fn find(
    knobs: &Knobs,
    action: u32,
    length: u64,
    certainty: impl Fn(&Rule) -> u32,
) -> Option<(u32, &'static Rule)> {
    // Outside the loop, whose every turn the verifier walks through with all that is asked in it.
    let (index, rule) = first(knobs, action, length)?;
    let certainty = certainty(rule);
    (certainty != 0 && certainty >= rule.certainty).then_some((index, rule))
}

#[inline(always)]
fn first(knobs: &Knobs, action: u32, length: u64) -> Option<(u32, &'static Rule)> {
    let rules = knobs.rules;
    if rules == 0 {
        return None;
    }
    for index in 0..RULES_MAX {
        if index >= rules {
            return None;
        }
        let rule = RULES.get(index)?;
        if rule.action == action && length >= rule.min_table && concerns(rule) {
            return Some((index, rule));
        }
    }
    None
}

#[inline(always)]
fn concerns(rule: &Rule) -> bool {
    let in_scope = if rule.scope == SCOPE_MARKED {
        unsafe { MARKS.get(current_tgid()) }.is_some_and(|marks| marks & rule.mark != 0)
    } else if rule.scope == SCOPE_CGROUP {
        in_cgroup(rule.cgroup_id, rule.cgroup_level)
    } else {
        false
    };
    in_scope && (rule.comm_on == 0 || same_comm(&rule.comm))
}

/// Signals the current process for a rule, and reports it.
#[inline(always)]
pub(crate) fn signal(process: &Process, rule: &Rule, bytes: u64, bound: u64) {
    let result = unsafe { bpf_send_signal(rule.signal) };
    if result != 0 {
        count(FaultCode::Signal);
    }
    // Gone at load unless the kernel side's log was asked for.
    aya_log_ebpf::info!(
        (),
        "rule {} sent signal {} to process {}: {}",
        rule.id,
        rule.signal,
        current_tgid(),
        result
    );
    report(process, rule.id, rule.action, rule.signal, bytes, bound, result);
}

/// Writes the record of an act.
#[inline(always)]
pub(crate) fn report(
    process: &Process,
    id: u32,
    what: u32,
    signal: u32,
    bytes: u64,
    bound: u64,
    result: i64,
) {
    let Some(knobs) = knobs() else { return };
    if wanted(knobs, Kind::Action) {
        emit::<Action>(Kind::Action, process, |body| {
            *body = Action { bytes, bound, result, rule: id, what, signal, _pad: 0 };
        });
    }
}
