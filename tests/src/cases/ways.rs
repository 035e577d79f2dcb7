//! Each way to attach gives the very same records, where the kernel has it.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{limits, memory};
use crate::case::Case;
use crate::need::{self, Need};
use crate::tracer::with_ways;

macro_rules! needs {
    ($way:literal) => {
        &[Need::Root, Need::Tracing, Need::Way($way)]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("ways::no_hook_is_refused", &[Need::Root, Need::Tracing, Need::OwnMachine], no_hook_is_refused),
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

/// The ways that hooks on system calls may have, and how many such hooks there are at least.
const SYSCALL_WAYS: [&str; 3] = ["fentry", "tracepoint", "kprobe"];
const SYSCALL_HOOKS: usize = 11;

/// On a kernel of the matrix: left to itself every hook attaches, and none is refused by a way that the kernel has.
fn no_hook_is_refused() -> anyhow::Result<()> {
    for hook in hooks(None)? {
        ensure!(text(&hook, "attached").is_some(), "not attached: {hook}");
    }
    let expected = std::env::var("MEMWATCH_WAYS").context("MEMWATCH_WAYS does not tell the kernel's ways")?;
    for way in expected.split(',').filter(|way| SYSCALL_WAYS.contains(way)) {
        let hooks = hooks(Some(way))?;
        let by_way = hooks.iter().filter(|hook| text(hook, "attached") == Some(way)).count();
        ensure!(by_way >= SYSCALL_HOOKS, "{by_way} hooks attach by {way}: {}", Value::from(hooks));
        for hook in hooks {
            let refused = hook.get("refused").and_then(Value::as_array).context("a list of refusals")?;
            ensure!(refused.is_empty(), "refused by {way}: {hook}");
        }
    }
    Ok(())
}

/// What the doctor says of each hook.
fn hooks(way: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let answer = need::doctor(way);
    answer.get("hooks").and_then(Value::as_array).cloned().with_context(|| format!("no hooks: {answer}"))
}

fn text<'a>(hook: &'a Value, key: &str) -> Option<&'a str> {
    hook.get(key).and_then(Value::as_str)
}
