//! Each way to attach gives the very same records, where the kernel has it.

use anyhow::{Context as _, ensure};

use super::{life, limits, memory, oom};
use crate::case::Case;
use crate::need::Need;
use crate::tracer::{Tracer, with_ways};

macro_rules! needs {
    ($way:literal $(, $more:expr)*) => {
        &[Need::Root, Need::Tracing, Need::Way($way), $($more),*]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("ways::fentry", needs!("fentry"), || with_ways("fentry", every_hook)),
    Case::new("ways::tracepoint", needs!("tracepoint"), || with_ways("tracepoint", every_hook)),
    Case::new("ways::kprobe", needs!("kprobe"), || with_ways("kprobe", every_hook)),
    Case::new("ways::a_hook_without_a_wanted_way_keeps_its_own", needs!("raw-tracepoint"), keeps_own),
    Case::new(
        "ways::oom_by_raw_tracepoint",
        needs!("raw-tracepoint", Need::Memory, Need::Feature("mark_victim_task")),
        || with_ways("raw-tracepoint", oom::limit_of_a_group),
    ),
    Case::new("ways::oom_by_fentry", needs!("fentry", Need::Memory), || {
        with_ways("fentry", oom::limit_of_a_group)
    }),
];

/// What has no way that is asked for is attached all the same, and said to be.
fn keeps_own() -> anyhow::Result<()> {
    let run =
        Tracer::new(&["--attach", "raw-tracepoint"])?.trigger(&["map", "--bytes", "9000001"])?.succeeded()?;
    run.one("mmap", |line| line.is("bytes", 9_000_001))?;
    run.one("exit", |line| line.pid() == run.pid().unwrap_or(0))?;
    let own = run.errors.lines().find_map(|line| line.strip_prefix("memwatch: no way of --attach fits "));
    let own = own.with_context(|| format!("not told: {}", run.errors))?;
    let names: Vec<_> = own.split([':', ',']).map(str::trim).collect();
    ensure!(names.contains(&"mmap") && names.contains(&"sample") && !names.contains(&"exit"), "{own}");
    Ok(())
}

/// The hooks on system calls, each of which has several ways, and those on the life of processes, which keep their own.
fn every_hook() -> anyhow::Result<()> {
    life::fork()?;
    life::exit_code()?;
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
