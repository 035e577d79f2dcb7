//! Each way to attach gives the very same records, where the kernel has it.

use super::{limits, memory};
use crate::case::Case;
use crate::need::Need;
use crate::tracer::with_ways;

macro_rules! needs {
    ($way:literal) => {
        &[Need::Root, Need::Tracing, Need::Way($way)]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("ways::fentry", needs!("fentry"), || with_ways("fentry,raw-tracepoint,perf-event", every_hook)),
    Case::new("ways::tracepoint", needs!("tracepoint"), || {
        with_ways("tracepoint,raw-tracepoint,perf-event", every_hook)
    }),
    Case::new("ways::kprobe", needs!("kprobe"), || with_ways("kprobe,raw-tracepoint,perf-event", every_hook)),
];

/// The hooks that have several ways: those on system calls.
fn every_hook() -> anyhow::Result<()> {
    memory::mmap()?;
    memory::mmap_failed()?;
    memory::munmap()?;
    memory::mremap()?;
    memory::brk()?;
    limits::read("getrlimit")?;
    limits::read("prlimit")?;
    limits::set("setrlimit")?;
    super::descriptors::growth()?;
    super::descriptors::sweep()
}
