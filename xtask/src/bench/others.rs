//! Tracers of others on the machine: they make the system calls of everybody slower.

use std::{fs, path::Path};

/// What a tracer holds open: an event it attached to.
const EVENT: &str = "anon_inode:[perf_event]";

/// Whether a process other than `own` is tracing.
pub(super) fn are_tracing(own: &[u32]) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes
        .flatten()
        .filter(|entry| {
            let id: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            id.is_some_and(|id| !own.contains(&id))
        })
        .any(|entry| holds_an_event(&entry.path().join("fd")))
}

/// One that has ended meanwhile holds nothing.
fn holds_an_event(descriptors: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(descriptors) else { return false };
    descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(EVENT)))
}
