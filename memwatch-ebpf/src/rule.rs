//! Rules: what user space ordered, obeyed at the moment memory is asked for or touched.

use aya_ebpf::helpers::generated::bpf_send_signal;
use memwatch_ebpf::abi::event::{Action, Kind};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::knobs::{Knobs, RULES_MAX, Rule, SCOPE_CGROUP, SCOPE_MARKED};
use memwatch_ebpf::abi::state::Process;
use memwatch_ebpf::table::Certainty;

use crate::emit::{emit, in_cgroup, knobs, same_comm, wanted};
use crate::maps::{MARKS, RULES, count};
use crate::process::current_tgid;
use crate::tables;

/// Stands for an explanation where a table is asked for that was refused a moment ago.
pub(crate) const ASKED_AGAIN: u64 = u64::MAX;

/// The first rule with this action that concerns the current process and a table of `length` bytes, if the length makes as sure
/// as it asks; `explained` gives what [`tables::fd_table_explain`] does, or [`ASKED_AGAIN`], and is asked where a rule concerns it.
#[inline(always)]
pub(crate) fn find(
    knobs: &Knobs,
    action: u32,
    length: u64,
    explained: impl FnOnce() -> u64,
) -> Option<(u32, &'static Rule)> {
    if knobs.rules == 0 {
        return None;
    }
    let index = rule_first(action, length);
    let rule = RULES.get(index)?;
    let explained = explained();
    let certainty = if explained == ASKED_AGAIN {
        Certainty::High as u32
    } else {
        tables::fd_table_certainty(index, length, explained)
    };
    (certainty != 0 && certainty >= rule.certainty).then_some((index, rule))
}

/// The index of the first rule with this action that concerns the current process and a table of `length` bytes, [`RULES_MAX`] for
/// none. A global function: the verifier walks through the rules once, and not with all that its callers may know by then; what
/// follows it does not walk through for each rule.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rule_first(action: u32, length: u64) -> u32 {
    let rules = knobs().map_or(0, |knobs| knobs.rules);
    for index in 0..RULES_MAX {
        if index >= rules {
            break;
        }
        let Some(rule) = RULES.get(index) else { break };
        if rule.action == action && length >= rule.min_table && concerns(rule) {
            return index;
        }
    }
    RULES_MAX
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

/// Signals the current process for a rule; 0, or the negative errno. Who asks for it reports it.
#[inline(always)]
pub(crate) fn signal(rule: &Rule) -> i64 {
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
    result
}

/// Writes the record of a signal.
#[inline(always)]
pub(crate) fn report_signal(process: &Process, rule: &Rule, bytes: u64, bound: u64, result: i64) {
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
