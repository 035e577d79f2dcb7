//! Each way to attach gives the very same records, where the kernel has it.

use super::{limits, memory, oom};
use crate::case::Case;
use crate::need::Need;
use crate::tracer::with_ways;

macro_rules! needs {
    ($way:literal $(, $more:expr)*) => {
        &[Need::Root, Need::Tracing, Need::Way($way), $($more),*]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("ways::fentry", needs!("fentry"), || with_ways("fentry,raw-tracepoint,perf-event", every_hook)),
    Case::new("ways::tracepoint", needs!("tracepoint"), || {
        with_ways("tracepoint,raw-tracepoint,perf-event", every_hook)
    }),
    Case::new("ways::kprobe", needs!("kprobe"), || with_ways("kprobe,raw-tracepoint,perf-event", every_hook)),
    Case::new(
        "ways::oom_by_raw_tracepoint",
        needs!("raw-tracepoint", Need::Memory, Need::Feature("mark_victim_task")),
        || with_ways("raw-tracepoint", oom::limit_of_a_group),
    ),
    Case::new("ways::oom_by_fentry", needs!("fentry", Need::Memory), || {
        with_ways("fentry", oom::limit_of_a_group)
    }),
];

/// The hooks on system calls, each of which has several ways.
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
