//! The host as far as tracing depends on it.

use std::path::Path;

use serde::Serialize;

use crate::probe::btf::VMLINUX;
use crate::probe::{HOOKS, Way};

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Host {
    pub(super) kernel: String,
    pub(super) btf: bool,
    /// The active lockdown mode.
    pub(super) lockdown: Option<String>,
    pub(super) cgroups: &'static str,
    pub(super) capabilities_missing: Vec<&'static str>,
    pub(super) tracefs: &'static str,
    /// Whether the kernel keeps run counts and times of BPF programs.
    pub(super) bpf_stats: Option<bool>,
}

/// Names and numbers of the capabilities in use (include/uapi/linux/capability.h).
const CAPABILITIES: [(&str, u32); 5] = [
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_RESOURCE", 24),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// Not needed by the tracer where RLIMIT_MEMLOCK no longer counts BPF memory (5.11).
const RESOURCE: &str = "CAP_SYS_RESOURCE";

/// Looks at the host.
pub(super) fn look() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let status = read("/proc/self/status").unwrap_or_default();
    let mounts = read("/proc/self/mountinfo").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mounted = |kind: &str| mounts.lines().any(|line| line.contains(&format!(" - {kind} ")));
    Host {
        btf: Path::new(VMLINUX).exists(),
        lockdown: read("/sys/kernel/security/lockdown").and_then(|text| active(&text)),
        cgroups: match (mounted("cgroup2"), mounted("cgroup")) {
            (true, false) => "v2",
            (true, true) => "v1 and v2 (hybrid)",
            (false, true) => "v1",
            (false, false) => "none mounted",
        },
        capabilities_missing: missing(effective(&status), &kernel),
        tracefs: if mounted("tracefs") { "mounted" } else { "not mounted; a private mount is used" },
        bpf_stats: read("/proc/sys/kernel/bpf_stats_enabled").map(|text| text.trim() == "1"),
        kernel,
    }
}

/// The word in brackets.
fn active(text: &str) -> Option<String> {
    text.split_once('[')?.1.split_once(']').map(|(mode, _)| mode.to_owned())
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

fn missing(effective: u64, kernel: &str) -> Vec<&'static str> {
    let mut version = kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
    CAPABILITIES
        .iter()
        .filter(|(name, bit)| effective >> bit & 1 == 0 && (*name != RESOURCE || version < (5, 11)))
        .map(|(name, _)| *name)
        .collect()
}

/// A program of a running instance, with the kernel's statistics.
#[derive(Debug, Serialize)]
pub(super) struct RunningProgram {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) run_count: u64,
    pub(super) run_time_ns: u64,
}

/// Programs with the names of ours that are loaded now. The kernel keeps 15 bytes of a name.
pub(super) fn running_programs() -> Vec<RunningProgram> {
    let names: Vec<_> = HOOKS.iter().flat_map(|hook| hook.ways.iter().map(Way::program)).collect();
    // Without the right to list programs there is nothing to tell; the capabilities above say so.
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter_map(|info| {
            let name = *names
                .iter()
                .find(|name| name.as_bytes().get(..15).unwrap_or(name.as_bytes()) == info.name())?;
            Some(RunningProgram {
                id: info.id(),
                name,
                run_count: info.run_count(),
                run_time_ns: u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lockdown_and_capabilities() {
        assert_eq!(active("none [integrity] confidentiality").as_deref(), Some("integrity"));
        assert_eq!(active(""), None);
        assert_eq!(effective("Name:\tx\nCapEff:\t000001fffeffffff\n"), 0x1ff_feff_ffff);
        assert_eq!(missing(0x1ff_feff_ffff, "6.18.0"), Vec::<&str>::new());
        assert_eq!(missing(0x1ff_feff_ffff, "5.10.0-1"), ["CAP_SYS_RESOURCE"]);
        assert_eq!(missing(0, "6.1.0").len(), 4);
    }
}
