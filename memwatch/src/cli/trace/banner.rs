//! What is said when tracing has begun.

use std::fmt::Write;
use std::time::Duration;

use crate::core::quantity::Nanos;
use crate::probe::attach::{HookStatus, LEFT_OUT};

/// The line that says so, and one for each reason for which hooks are not attached.
pub(super) fn text(hooks: &[HookStatus], took: Duration, ends_with_summary: bool) -> String {
    let missing: Vec<_> = hooks.iter().filter(|hook| hook.attached.is_none()).collect();
    let took = Nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    let mut text = format!("memwatch: tracing with {}; ready after {took}", HookStatus::tally(hooks));
    if !missing.is_empty() {
        text.push_str("; `memwatch doctor` tells what that loses");
    }
    if ends_with_summary {
        text.push_str("; Ctrl-C ends with a summary");
    }
    let mut groups: Vec<(String, Vec<&HookStatus>)> = Vec::new();
    for hook in missing {
        let reason = reason(hook);
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, alike)) => alike.push(hook),
            None => groups.push((reason, vec![hook])),
        }
    }
    let own: Vec<_> = hooks.iter().filter(|hook| hook.keeps_own).map(|hook| hook.hook.name).collect();
    if !own.is_empty() {
        let _ = write!(text, "\nmemwatch: no way of --attach fits {}: attached by their own", own.join(", "));
    }
    for (reason, alike) in groups {
        // Writing to a String cannot fail.
        let _ = match alike.as_slice() {
            [one] => {
                write!(
                    text,
                    "\nmemwatch: hook {} is not attached ({}): {reason}",
                    one.hook.name, one.hook.lost
                )
            }
            several => {
                let names: Vec<_> = several.iter().map(|hook| hook.hook.name).collect();
                write!(text, "\nmemwatch: hooks {} are not attached: {reason}", names.join(", "))
            }
        };
    }
    text
}

/// Why each way did not attach: any of them may be the one that can be mended.
fn reason(hook: &HookStatus) -> String {
    if hook.left_out {
        return LEFT_OUT.to_owned();
    }
    let reasons = hook.refused.iter().map(|refused| format!("{}: {}", refused.way.name(), refused.reason));
    reasons.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::attach::Refusal;
    use crate::probe::{HOOKS, WayKind};

    fn status(index: usize, reason: Option<&str>) -> HookStatus {
        let hook = &HOOKS[index];
        let refusal = |reason: &str| Refusal { way: WayKind::Fentry, reason: reason.into() };
        let attached = if reason.is_none() { hook.ways.first().copied() } else { None };
        HookStatus {
            hook,
            attached,
            waits: false,
            keeps_own: false,
            left_out: false,
            refused: reason.map(refusal).into_iter().collect(),
        }
    }

    #[test]
    fn hooks_with_one_reason_are_told_together() {
        let hooks =
            [status(0, None), status(1, Some("EPERM")), status(2, Some("EPERM")), status(3, Some("log"))];
        assert_eq!(
            text(&hooks, Duration::from_millis(220), true),
            "memwatch: tracing with 1 of 5 hooks; attached when needed: refuse; ready after 220.0 ms; `memwatch doctor` tells \
             what that loses; Ctrl-C ends with a summary\n\
             memwatch: hooks exec, exit are not attached: fentry: EPERM\n\
             memwatch: hook cgroup is not attached (what a process did before it moved counts for its new cgroup): fentry: log"
        );
        let waiting = [status(0, None), HookStatus { waits: true, ..status(6, None) }];
        assert_eq!(
            text(&waiting, Duration::from_secs(1), false),
            "memwatch: tracing with 1 of 3 hooks; attached when needed: rss, refuse; ready after 1.0 s"
        );
        let left_out = HookStatus { attached: None, left_out: true, ..status(2, None) };
        assert_eq!(
            text(&[status(0, None), left_out], Duration::from_secs(1), false),
            "memwatch: tracing with 1 of 3 hooks; attached when needed: refuse; ready after 1.0 s; `memwatch doctor` tells what \
             that loses\n\
             memwatch: hook exit is not attached (processes are forgotten late, their end is not told): left out by --without"
        );
        let own = [0, 2].map(|index| HookStatus { keeps_own: true, ..status(index, None) });
        assert_eq!(
            text(&own, Duration::from_secs(1), false),
            "memwatch: tracing with 2 of 3 hooks; attached when needed: refuse; ready after 1.0 s\n\
             memwatch: no way of --attach fits fork, exit: attached by their own"
        );
    }
}
