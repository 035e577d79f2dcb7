//! The host as far as tracing depends on it.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::probe::btf::VMLINUX;
use crate::probe::lockdown;
use crate::probe::tracefs::Tracefs;
use crate::rights::{self, Missing, Situation};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Host {
    pub(super) kernel: String,
    pub(super) btf: bool,
    /// The active lockdown mode.
    pub(super) lockdown: Option<String>,
    /// Why that is not known.
    #[serde(skip)]
    pub(super) lockdown_failure: Option<String>,
    pub(super) cgroups: &'static str,
    #[serde(serialize_with = "names")]
    pub(super) capabilities_missing: Vec<Missing>,
    pub(super) tracefs: String,
    /// Whether the kernel keeps run counts and times of BPF programs.
    pub(super) bpf_stats: Option<bool>,
}

fn names<S: Serializer>(missing: &[Missing], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(missing.iter().map(|missing| missing.name))
}

/// Looks at the host. To read trace events is tried, not guessed.
pub(super) fn look() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let status = read("/proc/self/status").unwrap_or_default();
    let mounts = read("/proc/self/mountinfo").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mounted = |kind: &str| mounts.lines().any(|line| line.contains(&format!(" - {kind} ")));
    let tracefs = Tracefs::open();
    let situation = Situation {
        effective: rights::effective(&status),
        uid: rights::effective_user(&status),
        kernel: rights::version(&kernel),
        tracefs_mounted: mounted("tracefs"),
    };
    let (lockdown, lockdown_failure) = match lockdown::read() {
        Ok(mode) => (mode, None),
        Err(error) => (None, Some(format!("securityfs cannot be read: {error}"))),
    };
    Host {
        btf: Path::new(VMLINUX).exists(),
        lockdown,
        lockdown_failure,
        cgroups: match (mounted("cgroup2"), mounted("cgroup")) {
            (true, false) => "v2",
            (true, true) => "v1 and v2 (hybrid)",
            (false, true) => "v1",
            (false, false) => "none mounted",
        },
        capabilities_missing: rights::missing(situation),
        tracefs: told(&tracefs, situation.tracefs_mounted),
        bpf_stats: has_bpf_stats(),
        kernel,
    }
}

/// Whether the kernel keeps run counts and times of BPF programs, if it tells.
pub(super) fn has_bpf_stats() -> Option<bool> {
    let text = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").ok()?;
    Some(text.trim() == "1")
}

/// What became of the attempt to read trace events.
fn told(tracefs: &std::io::Result<Tracefs>, is_mounted: bool) -> String {
    let state = if is_mounted { "mounted, but not readable here" } else { "not mounted" };
    match tracefs {
        Ok(tracefs) => match tracefs.mounted_at() {
            Some(place) => format!("mounted at {}", place.display()),
            None => format!("{state}; memwatch mounted it for itself alone, which worked"),
        },
        Err(error) => format!("{state}; to mount it for memwatch alone was refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_mount_is_told() {
        let refused = Err(std::io::Error::from_raw_os_error(1));
        assert!(
            told(&refused, false)
                .starts_with("not mounted; to mount it for memwatch alone was refused: Oper")
        );
        assert!(told(&refused, true).starts_with("mounted, but not readable here"));
    }
}
