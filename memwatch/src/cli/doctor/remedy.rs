//! What helps against a refusal, as far as the kernel's reason tells.

use super::host::Host;
use crate::probe::WayKind;

/// One or two sentences for a way that was refused with this reason.
pub(super) fn of(way: WayKind, reason: &str, host: &Host) -> String {
    let first = reason.lines().next().unwrap_or_default();
    let is_forbidden = first.contains("(os error 1)") || first.contains("(os error 13)");
    if first.contains("tracefs is not mounted") {
        return "mount it (`mount -t tracefs tracefs /sys/kernel/tracing`), or grant CAP_SYS_ADMIN to mount it for memwatch alone"
            .into();
    }
    if is_forbidden && !host.capabilities_missing.is_empty() {
        let names: Vec<_> = host.capabilities_missing.iter().map(|missing| missing.name).collect();
        return format!("grant {}", names.join(", "));
    }
    if is_forbidden {
        let lockdown = match host.lockdown.as_deref() {
            Some("none") => "",
            Some(_) => " (lockdown is on)",
            None if host.lockdown_failure.is_none() => "",
            None => " (lockdown may be on: mount securityfs to see)",
        };
        return format!(
            "no capability is missing: this kernel or a security policy forbids it to everybody{lockdown}; \
             another kernel is the only remedy"
        );
    }
    if first.contains("the kernel has no function") {
        return "use a kernel that has the function; there is nothing to set".into();
    }
    if first.contains("mark_victim passes a number") {
        return "use a later update of this kernel, which passes the task, or one that takes trampolines"
            .into();
    }
    if reason.contains("\n    ") {
        return "the kernel's verifier refuses the program: report it with the output of `memwatch doctor -o json`".into();
    }
    match way {
        WayKind::Fentry => {
            "use a kernel with CONFIG_FUNCTION_TRACER, CONFIG_DYNAMIC_FTRACE and CONFIG_DEBUG_INFO_BTF"
        }
        WayKind::RawTracepoint => "use a kernel with CONFIG_BPF_EVENTS that has this tracepoint",
        WayKind::Tracepoint => "use a kernel with CONFIG_FTRACE_SYSCALLS",
        WayKind::Kprobe => "use a kernel with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS",
        WayKind::PerfEvent => "use a kernel with CONFIG_PERF_EVENTS",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Missing;

    const EPERM: &str = "load: Operation not permitted (os error 1)";

    #[test]
    fn follow_from_the_reason() {
        let whole = Host::default();
        let bound = Host {
            capabilities_missing: vec![Missing { name: "CAP_PERFMON", purpose: "" }],
            lockdown: Some("none".into()),
            ..Host::default()
        };
        for (way, reason, host, said) in [
            (WayKind::Fentry, EPERM, &bound, "grant CAP_PERFMON"),
            (WayKind::Fentry, EPERM, &whole, "no capability is missing"),
            (WayKind::Fentry, "load: Unknown error 524 (os error 524)", &whole, "CONFIG_FUNCTION_TRACER"),
            (
                WayKind::Tracepoint,
                "tracefs is not mounted, and to mount it for memwatch alone was refused: EPERM (os error 1)",
                &bound,
                "mount -t tracefs",
            ),
            (WayKind::Fentry, "the kernel has no function mark_oom_victim", &whole, "has the function"),
            (WayKind::Kprobe, "load: Permission denied\n    R1 invalid mem access", &whole, "verifier"),
            (WayKind::Kprobe, "no such file", &whole, "CONFIG_KPROBES"),
        ] {
            let remedy = of(way, reason, host);
            assert!(remedy.contains(said), "{reason}: {remedy}");
        }
    }
}
