//! Every program passes the verifier by every way that a kernel of the matrix has; how long that is, is recorded.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::case::Case;
use crate::need::{self, Need};

pub(super) const CASES: &[Case] = &[Case::new(
    "verifier::takes_every_program_by_every_way",
    &[Need::Root, Need::Tracing, Need::OwnMachine],
    takes_every_program,
)];

/// The ways that hooks on system calls may have, and how many such hooks there are at least.
const SYSCALL_WAYS: [&str; 3] = ["fentry", "tracepoint", "kprobe"];
const SYSCALL_HOOKS: usize = 11;

/// The file of the numbers of instructions, in the folder that a guest gives back.
const INSTRUCTIONS: &str = "instructions.json";

/// Left to itself every hook attaches, and none is refused by a way that the kernel has.
fn takes_every_program() -> anyhow::Result<()> {
    let (mut counts, mut attached) = (BTreeMap::new(), Vec::new());
    for hook in hooks(None)? {
        ensure!(text(&hook, "attached").is_some(), "not attached: {hook}");
        attached.extend(text(&hook, "program").map(str::to_owned));
        counts.extend(instructions(&hook));
    }
    let expected = std::env::var("MEMWATCH_WAYS").context("MEMWATCH_WAYS does not tell the kernel's ways")?;
    for way in expected.split(',').filter(|way| SYSCALL_WAYS.contains(way)) {
        let hooks = hooks(Some(way))?;
        let by_way = hooks.iter().filter(|hook| text(hook, "attached") == Some(way)).count();
        ensure!(by_way >= SYSCALL_HOOKS, "{by_way} hooks attach by {way}: {}", Value::from(hooks));
        for hook in hooks {
            // A hook that has no such way keeps its own, of which this kernel may lack one.
            let refused = hook.get("refused").and_then(Value::as_array).context("a list of refusals")?;
            ensure!(refused.iter().all(|it| text(it, "way") != Some(way)), "refused by {way}: {hook}");
            counts.extend(instructions(&hook));
        }
    }
    let of_syscalls = SYSCALL_HOOKS * expected.split(',').filter(|way| SYSCALL_WAYS.contains(way)).count();
    ensure!(counts.len() > of_syscalls, "instructions are known of {counts:?} only");
    let unknown: Vec<_> = attached.iter().filter(|program| !counts.contains_key(*program)).collect();
    ensure!(unknown.is_empty(), "instructions are not known of {unknown:?}");
    if let Some(folder) = std::env::var_os("MEMWATCH_OUT") {
        let path = std::path::Path::new(&folder).join(INSTRUCTIONS);
        let text = serde_json::to_string(&counts)?;
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// A hook's program and its number of instructions: those that the verifier walked through, else its own.
fn instructions(hook: &Value) -> Option<(String, u64)> {
    let count = |key| hook.get(key).and_then(Value::as_u64);
    let count = count("verified_instructions").or_else(|| count("translated_instructions"))?;
    Some((text(hook, "program")?.to_owned(), count))
}

/// What the doctor says of each hook.
fn hooks(way: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let answer = need::doctor(way);
    answer.get("hooks").and_then(Value::as_array).cloned().with_context(|| format!("no hooks: {answer}"))
}

fn text<'a>(hook: &'a Value, key: &str) -> Option<&'a str> {
    hook.get(key).and_then(Value::as_str)
}
