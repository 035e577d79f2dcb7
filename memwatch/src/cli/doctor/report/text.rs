//! The report for people.

use std::fmt::Write;

use super::Report;

/// What is said of hooks in groups: a way, why it was refused, what helps, and whether another way is in use.
type Refusal<'a> = (&'a str, &'a str, &'a str, bool);

impl Report {
    /// The report for people.
    pub(crate) fn text(&self, color: bool) -> String {
        let mut text = self.about_host();
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "\n{} {failure}", paint(color, "31", "tracing is not possible:"));
        }
        self.push_hooks(color, &mut text);
        self.push_refusals(&mut text);
        if !self.missing_fields.is_empty() {
            let _ = writeln!(text, "\nkernel fields not found: {}", self.missing_fields.join(", "));
        }
        self.push_running(&mut text);
        text
    }

    fn about_host(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // Writing to a String cannot fail, here as below.
            let _ = writeln!(text, "{key:<14} {value}");
        };
        let host = &self.host;
        line("kernel", &host.kernel);
        line("types (BTF)", if host.btf { "yes" } else { "no: the kernel needs CONFIG_DEBUG_INFO_BTF=y" });
        line("lockdown", host.lockdown.as_deref().unwrap_or("not known (securityfs is not mounted)"));
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

    fn push_hooks(&self, color: bool, text: &mut String) {
        let _ =
            writeln!(text, "\n{:<12} {:<15} {:>21}  note", "hook", "attached by", "instructions verified");
        for hook in &self.hooks {
            let by = format!("{:<15}", hook.attached.unwrap_or("-"));
            let by = paint(color, if hook.attached.is_some() { "32" } else { "31" }, &by);
            let verified = hook.verified_instructions.map_or_else(|| "-".into(), |count| count.to_string());
            let note = hook.lost.map_or_else(String::new, |lost| format!("lost: {lost}"));
            let row = format!("{:<12} {by} {verified:>21}  {note}", hook.name);
            let _ = writeln!(text, "{}", row.trim_end());
        }
    }

    /// Hooks that were refused alike are told of together.
    fn push_refusals(&self, text: &mut String) {
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
            let _ = writeln!(text, "\n{way} was refused for {}\n  why: {reason}", hooks.join(", "));
            let _ = writeln!(text, "  remedy: {remedy}");
            if has_other {
                let _ = writeln!(text, "  nothing is lost: the next way is in use");
            }
        }
    }

    fn push_running(&self, text: &mut String) {
        if self.running.is_empty() {
            return;
        }
        let _ = writeln!(text, "\nprograms of memwatch processes that run now");
        let _ = writeln!(text, "{:>7} {:<24} {:>12} {:>12}", "PID", "PROGRAM", "RUNS", "NS A RUN");
        for program in &self.running {
            let pid = program.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
            let each = program.run_time_ns.checked_div(program.run_count);
            let each = each.map_or_else(|| "-".into(), |ns| ns.to_string());
            let _ = writeln!(text, "{pid:>7} {:<24} {:>12} {each:>12}", program.name, program.run_count);
        }
    }
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
                run_count: 2,
                run_time_ns: 9,
            }],
        };
        let text = report.text(false);
        assert!(text.contains("\nmmap         tracepoint                          7\n"), "{text}");
        assert!(
            text.contains(
                "fentry was refused for mmap, brk\n  why: EPERM\n  remedy: wait\n  nothing is lost"
            ),
            "{text}"
        );
        assert!(
            text.contains("oom          -                                   -  lost: all of it\n"),
            "{text}"
        );
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
        let text = report.text(false);
        assert!(text.contains("tracing is not possible: no types\n"), "{text}");
        assert!(text.contains("\nrefuse ") && text.contains("\nmmap "), "{text}");
    }
}
