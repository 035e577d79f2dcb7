//! What the doctor found, as JSON and as text.

use std::fmt::Write;

use serde::Serialize;

use super::host::{Host, RunningProgram};
use crate::probe::WayKind;
use crate::probe::attach::{HookStatus, Probe};

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) host: Host,
    /// Why tracing is not possible at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    pub(super) hooks: Vec<HookReport>,
    /// Kernel fields that were not found.
    pub(super) missing_fields: Vec<String>,
    /// Programs of running instances, with what they cost.
    pub(super) running: Vec<RunningProgram>,
}

/// One hook.
#[derive(Debug, Serialize)]
pub(super) struct HookReport {
    pub(super) name: &'static str,
    pub(super) attached: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<&'static str>,
    /// Instructions that the verifier walked through (5.16 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified_instructions: Option<u32>,
    /// What is lost while it is not attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<&'static str>,
    pub(super) refused: Vec<RefusedWay>,
}

/// One way that the kernel did not take.
#[derive(Debug, Serialize)]
pub(super) struct RefusedWay {
    pub(super) way: &'static str,
    pub(super) reason: String,
}

impl HookReport {
    pub(super) fn of(status: &HookStatus, probe: &Probe) -> Self {
        let missing = status.attached.is_none();
        Self {
            name: status.hook.name,
            attached: status.attached.map(|way| way.kind().name()),
            program: status.attached.map(|way| way.program()),
            verified_instructions: status.attached.and_then(|way| probe.verified_instructions(way.program())),
            lost: missing.then_some(status.hook.lost),
            remedy: missing.then(|| status.refused.last().map_or(NO_WAY, |refused| remedy(refused.way))),
            refused: status
                .refused
                .iter()
                .map(|refused| RefusedWay { way: refused.way.name(), reason: refused.reason.clone() })
                .collect(),
        }
    }
}

const NO_WAY: &str = "allow more ways with --attach";

const fn remedy(way: WayKind) -> &'static str {
    match way {
        WayKind::Fentry => {
            "use a kernel with CONFIG_FUNCTION_TRACER and CONFIG_DEBUG_INFO_BTF, and CAP_PERFMON"
        }
        WayKind::RawTracepoint | WayKind::Tracepoint => {
            "use a kernel with CONFIG_FTRACE_SYSCALLS, and CAP_SYS_ADMIN or a mounted, readable tracefs"
        }
        WayKind::Kprobe => "use a kernel with CONFIG_KPROBES, and CAP_PERFMON",
        WayKind::PerfEvent => "use a kernel with CONFIG_PERF_EVENTS, and CAP_PERFMON",
    }
}

impl Report {
    /// The report for people.
    pub(super) fn text(&self, color: bool) -> String {
        let paint = |code: &str, text: &str| {
            if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{key:<14} {value}");
        };
        let host = &self.host;
        line("kernel", &host.kernel);
        line("types (BTF)", if host.btf { "yes" } else { "no: the kernel needs CONFIG_DEBUG_INFO_BTF=y" });
        line("lockdown", host.lockdown.as_deref().unwrap_or("not known (securityfs is not mounted)"));
        line("cgroups", host.cgroups);
        line(
            "capabilities",
            &if host.capabilities_missing.is_empty() {
                "all that are needed".to_owned()
            } else {
                format!(
                    "missing {} (add them to the unit, the pod's securityContext, or run as root)",
                    host.capabilities_missing.join(", ")
                )
            },
        );
        line("tracefs", host.tracefs);
        line(
            "BPF statistics",
            match host.bpf_stats {
                Some(true) => "on",
                Some(false) => "off; `sysctl kernel.bpf_stats_enabled=1` turns them on",
                None => "not known",
            },
        );
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "\n{} {failure}", paint("31", "tracing is not possible:"));
            return text;
        }
        let _ = writeln!(text, "\n{:<12} {:<15} {:>8}  note", "hook", "attached by", "verified");
        for hook in &self.hooks {
            let by = hook.attached.unwrap_or("-");
            let code = if hook.attached.is_some() { "32" } else { "31" };
            let verified = hook.verified_instructions.map_or_else(|| "-".into(), |count| count.to_string());
            let refused: Vec<_> = hook
                .refused
                .iter()
                .map(|refused| {
                    format!("{}: {}", refused.way, refused.reason.lines().next().unwrap_or_default())
                })
                .collect();
            let note = match (hook.lost, hook.remedy) {
                (Some(lost), Some(remedy)) => {
                    format!("lost: {lost}; remedy: {remedy}; refused: {}", refused.join("; "))
                }
                _ if refused.is_empty() => String::new(),
                _ => format!("refused: {}", refused.join("; ")),
            };
            let row =
                format!("{:<12} {} {verified:>8}  {note}", hook.name, paint(code, &format!("{by:<15}")));
            let _ = writeln!(text, "{}", row.trim_end());
        }
        if !self.missing_fields.is_empty() {
            let _ = writeln!(text, "\nkernel fields not found: {}", self.missing_fields.join(", "));
        }
        if !self.running.is_empty() {
            let _ = writeln!(text, "\n{:<24} {:>12} {:>12}", "running program", "runs", "ns a run");
            for program in &self.running {
                let each = program.run_time_ns.checked_div(program.run_count);
                let each = each.map_or_else(|| "-".into(), |ns| ns.to_string());
                let _ = writeln!(text, "{:<24} {:>12} {each:>12}", program.name, program.run_count);
            }
        }
        text
    }
}
