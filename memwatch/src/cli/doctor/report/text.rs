//! The report for people.

use std::fmt::Write;

use super::Report;
use crate::export::wrap;

const IMPOSSIBLE: &str = "tracing is not possible:";
/// Column in which the note on a hook begins.
const NOTE: usize = 12 + 1 + 15 + 1 + 8 + 2;

/// What is said of hooks in groups: a way, why it was refused, what helps, and whether another way is in use.
type Refusal<'a> = (&'a str, &'a str, &'a str, bool);

impl Report {
    /// The report for people.
    pub(crate) fn text(&self, color: bool, width: usize) -> String {
        let mut text = self.about_host(width);
        if let Some(failure) = &self.failure {
            let _ = write!(text, "\n{} ", paint(color, "31", IMPOSSIBLE));
            wrap(failure, (IMPOSSIBLE.len() + 1, 0), width, &mut text);
        }
        self.push_hooks(color, width, &mut text);
        self.push_refusals(width, &mut text);
        if !self.missing_fields.is_empty() {
            text.push('\n');
            wrap(
                &format!("kernel fields not found: {}", self.missing_fields.join(", ")),
                (0, 2),
                width,
                &mut text,
            );
        }
        self.push_running(width, &mut text);
        text
    }

    fn about_host(&self, width: usize) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing to a String cannot fail, here as below.
            let _ = write!(text, "{key:<14} ");
            wrap(value, (15, 15), width, &mut text);
        };
        let host = &self.host;
        line("kernel", &host.kernel);
        line(
            "types (BTF)",
            if host.btf {
                "yes"
            } else {
                "no: mount sysfs at /sys, or take a kernel with CONFIG_DEBUG_INFO_BTF=y"
            },
        );
        let failure = host.lockdown_failure.as_ref().map(|failure| format!("not known ({failure})"));
        let lockdown = host.lockdown.as_deref().or(failure.as_deref());
        line("lockdown", lockdown.unwrap_or("the kernel has no such thing"));
        line("cgroups", host.cgroups);
        if host.capabilities_missing.is_empty() {
            line("capabilities", "all that are needed");
        } else {
            line("capabilities", "missing; add them to the unit, the pod's securityContext, or run as root:");
            for missing in &host.capabilities_missing {
                line("", &format!("{} {}", missing.name, missing.purpose));
            }
        }
        line("tracefs", &host.tracefs);
        line(
            "BPF statistics",
            match host.bpf_stats {
                Some(true) => "on",
                Some(false) => "off; `sysctl kernel.bpf_stats_enabled=1` turns them on",
                None => "not known",
            },
        );
        text
    }

    fn push_hooks(&self, color: bool, width: usize, text: &mut String) {
        let _ = writeln!(text, "\n{:<12} {:<15} {:>8}  note", "hook", "attached by", "verified");
        for hook in &self.hooks {
            let by = format!("{:<15}", hook.attached.unwrap_or("-"));
            let by = paint(color, if hook.attached.is_some() { "32" } else { "31" }, &by);
            let verified = hook.verified_instructions.map_or_else(|| "-".into(), |count| count.to_string());
            let lost = hook.lost.map(|lost| format!("lost: {lost}"));
            let when = hook.on_demand.map(|when| format!("on demand: {when}"));
            let note: Vec<_> = lost.into_iter().chain(when).collect();
            let _ = write!(text, "{:<12} {by} {verified:>8}", hook.name);
            if note.is_empty() {
                text.push('\n');
            } else {
                text.push_str("  ");
                wrap(&note.join("; "), (NOTE, NOTE), width, text);
            }
        }
    }

    /// Hooks that were refused alike are told of together.
    fn push_refusals(&self, width: usize, text: &mut String) {
        let mut groups: Vec<(Refusal<'_>, Vec<&str>)> = Vec::new();
        for hook in &self.hooks {
            for refused in &hook.refused {
                let reason = refused.reason.lines().next().unwrap_or_default();
                let refusal = (refused.way, reason, refused.remedy.as_str(), hook.attached.is_some());
                match groups.iter_mut().find(|(known, _)| *known == refusal) {
                    Some((_, hooks)) => hooks.push(hook.name),
                    None => groups.push((refusal, vec![hook.name])),
                }
            }
        }
        for ((way, reason, remedy, has_other), hooks) in groups {
            text.push('\n');
            wrap(&format!("{way} was refused for {}", hooks.join(", ")), (0, 2), width, text);
            text.push_str("  ");
            wrap(&format!("why: {reason}"), (2, 4), width, text);
            text.push_str("  ");
            wrap(&format!("remedy: {remedy}"), (2, 4), width, text);
            if has_other {
                let _ = writeln!(text, "  nothing is lost: the next way is in use");
            }
        }
    }

    fn push_running(&self, width: usize, text: &mut String) {
        if self.running.is_empty() {
            return;
        }
        let _ = writeln!(text, "\nprograms of memwatch processes that run now");
        if self.running.iter().any(|program| program.run_count.is_none()) {
            let _ =
                writeln!(text, "runs and time are off; turn them on: `sysctl kernel.bpf_stats_enabled=1`");
        }
        if self.running.iter().any(|program| program.pid.is_none()) {
            wrap(
                "without PID: no process that is seen here holds it; it is being unloaded, or its process is in another pid \
                 namespace",
                (0, 0),
                width,
                text,
            );
        }
        let _ = writeln!(text, "{:>7} {:<24} {:>12} {:>12}", "PID", "PROGRAM", "RUNS", "NS A RUN");
        for program in &self.running {
            let pid = program.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
            let each = program
                .run_time_ns
                .zip(program.run_count)
                .map(|(time, count)| time.checked_div(count).map_or_else(|| "-".into(), |ns| ns.to_string()));
            let off = || "off".to_owned();
            let runs = program.run_count.map_or_else(off, |count| count.to_string());
            let each = each.unwrap_or_else(off);
            let _ = writeln!(text, "{pid:>7} {:<24} {runs:>12} {each:>12}", program.name);
        }
    }
}

/// Appends a text wrapped at words; its first line begins in the first column given, the others in the second.
fn wrap(text: &str, columns: (usize, usize), width: usize, out: &mut String) {
    let mut lines = Vec::new();
    wrap::wrap(text, columns, width, &mut lines);
    out.push_str(&String::from_utf8_lossy(&lines));
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::super::host::Host;
    use super::super::super::running::RunningProgram;
    use super::super::{HookReport, RefusedWay};
    use super::*;

    fn hook(name: &'static str, attached: Option<&'static str>, reason: &str) -> HookReport {
        let way = RefusedWay { way: "fentry", reason: format!("{reason}\n    R1"), remedy: "wait".into() };
        HookReport {
            name,
            attached,
            program: None,
            verified_instructions: attached.map(|_| 7),
            translated_instructions: None,
            lost: attached.is_none().then_some("all of it"),
            on_demand: None,
            remedy: None,
            refused: vec![way],
        }
    }

    #[test]
    fn refusals_alike_are_one() {
        let report = Report {
            host: Host::default(),
            failure: None,
            hooks: vec![
                hook("mmap", Some("tracepoint"), "EPERM"),
                hook("brk", Some("tracepoint"), "EPERM"),
                hook("oom", None, "no"),
            ],
            missing_fields: Vec::new(),
            running: vec![RunningProgram {
                id: 1,
                pid: Some(42),
                name: "mmap_tracepoint",
                run_count: Some(2),
                run_time_ns: Some(9),
            }],
        };
        let text = report.text(false, 100);
        assert!(text.contains("\nmmap         tracepoint             7\n"), "{text}");
        assert!(
            text.contains(
                "fentry was refused for mmap, brk\n  why: EPERM\n  remedy: wait\n  nothing is lost"
            ),
            "{text}"
        );
        assert!(text.contains("oom          -                      -  lost: all of it\n"), "{text}");
        assert!(text.contains("fentry was refused for oom\n  why: no\n  remedy: wait\n\n"), "{text}");
        assert!(text.ends_with("     42 mmap_tracepoint                     2            4\n"), "{text}");
    }

    #[test]
    fn hooks_are_listed_when_nothing_works() {
        let report = Report {
            host: Host::default(),
            failure: Some("no types".into()),
            hooks: HookReport::all_untried(),
            missing_fields: Vec::new(),
            running: Vec::new(),
        };
        let text = report.text(false, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("tracing is not possible: no types\n"), "{text}");
        assert!(text.contains("\nrefuse ") && text.contains("\nmmap "), "{text}");
    }

    #[test]
    fn what_is_not_counted_is_not_zero() {
        let program =
            RunningProgram { id: 1, pid: None, name: "mmap_tracepoint", run_count: None, run_time_ns: None };
        let json = serde_json::to_value(&program).expect("a value");
        assert!(json.get("run_count").is_none() && json.get("run_time_ns").is_none(), "{json}");
        let report = Report {
            host: Host::default(),
            failure: None,
            hooks: Vec::new(),
            missing_fields: Vec::new(),
            running: vec![program],
        };
        let text = report.text(false, 80);
        assert!(text.contains("sysctl kernel.bpf_stats_enabled=1") && text.contains("without PID"), "{text}");
        assert!(text.ends_with("      - mmap_tracepoint                   off          off\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
