//! What the table of kernels says of a kernel of the matrix, held against the kernel itself.

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::need::{self, Need};

pub(super) const CASES: &[Case] = &[Case::new(
    "kernels::are_what_the_table_says",
    &[Need::Root, Need::Tracing, Need::OwnMachine, Need::Unified],
    are_what_the_table_says,
)];

/// Ways to attach, as the doctor names them.
const WAYS: [&str; 5] = ["tracepoint", "raw-tracepoint", "perf-event", "kprobe", "fentry"];

fn are_what_the_table_says() -> anyhow::Result<()> {
    let ways = WAYS.map(|way| (way, need::attaches(&need::doctor(Some(way)), way)));
    agree("MEMWATCH_WAYS", &ways)?;
    let group = Group::new("kernels")?;
    let hook =
        |way, hook| need::way_of(&need::doctor(Some(way)), hook).is_some_and(|attached| attached == way);
    let features = [
        ("fmod_ret_security", hook("fentry", "refuse")),
        ("mark_victim_task", hook("raw-tracepoint", "oom")),
        ("cgroup_kill", group.path().join("cgroup.kill").exists()),
    ];
    agree("MEMWATCH_FEATURES", &features)
}

/// Each of these is told of the kernel exactly if it was found, and nothing is told that is not looked for.
fn agree(variable: &str, found: &[(&str, bool)]) -> anyhow::Result<()> {
    let told = std::env::var(variable).with_context(|| format!("{variable} does not tell of the kernel"))?;
    let told: Vec<&str> = told.split(',').collect();
    for (name, is_there) in found {
        let is_told = told.contains(name);
        ensure!(is_told == *is_there, "{name}: the table says {is_told}, the kernel {is_there}");
    }
    let unknown: Vec<_> = told.iter().filter(|name| !found.iter().any(|(known, _)| known == *name)).collect();
    ensure!(unknown.is_empty(), "nothing looks for {unknown:?}");
    Ok(())
}
