//! One load by each way to attach: line by line the same records.

use std::ffi::OsStr;

use anyhow::ensure;
use serde_json::Value;

use crate::case::Case;
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::tracer::{Tracer, with_ways};

pub(super) const CASES: &[Case] = &[Case::new(
    "ways::give_the_same_records",
    &[Need::Root, Need::Tracing, Need::Way("tracepoint"), Need::Way("kprobe")],
    same,
)];

/// The ways that hooks on system calls have; the others keep their own.
const WAYS: [&str; 3] = ["tracepoint", "kprobe", "fentry"];

/// What the trigger does, one call of it each: every hook that has several ways is met.
const ACTS: &str = "
    t=$0
    $t map --bytes 9000001 --unmap
    $t map --bytes 9000001 --fail
    $t remap --from 2097152 --to 9437184
    $t brk --bytes 3145728
    $t table --elements 56,664 --forks 2
    $t table --by prlimit --call mremap --elements 664
    $t table --by sysconf --call brk --elements 664 --exec
    $t set-limit --by setrlimit --soft 1111 --hard 2222
    $t set-limit --by prlimit --soft 1111 --hard 2222
    $t sweep --count 5000
    $t dup-high --fd 4000 --by dup2
    $t dup-high --fd 4000 --by dup3
    $t dup-high --fd 4000 --by fcntl
";

/// How many lines that makes at least.
const LINES: usize = 100;

/// Ends of the names of keys that tell when, where, by whom, or how much was resident: no two runs agree on them.
/// The reasons of a finding are among them, as some are signs of time, and its advice, which names an ancestor. A program that
/// ended before `/proc` could be looked at goes by the name that it was run by, and where its limit came from is not told.
const VARYING: [&str; 16] = [
    "timestamp",
    ".time",
    "_ns",
    "pid",
    "tid",
    "thread.id",
    "faults",
    "rss_bytes",
    "touched_bytes",
    "reasons",
    "reason_texts",
    "advice",
    "executable.name",
    "executable.path",
    "limit_origin",
    "limit_origin_comm",
];

fn same() -> anyhow::Result<()> {
    let mut first: Option<(&str, Vec<String>)> = None;
    for way in WAYS {
        if Need::Way(way).missing().is_some() {
            continue;
        }
        let found = records(way)?;
        ensure!(found.len() >= LINES, "only {} lines by {way}", found.len());
        let Some((other, expected)) = &first else {
            first = Some((way, found));
            continue;
        };
        let only = |lines: &[String], others: &[String]| {
            lines.iter().filter(|line| !others.contains(line)).take(5).cloned().collect::<Vec<_>>().join("\n")
        };
        ensure!(
            found == *expected,
            "{} lines by {way}, {} by {other}; only by {way}:\n{}\nonly by {other}:\n{}",
            found.len(),
            expected.len(),
            only(&found, expected),
            only(expected, &found)
        );
    }
    Ok(())
}

/// What the tracer says of the trigger by this way, without what differs from run to run, sorted.
fn records(way: &'static str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    with_ways(way, || {
        let trigger = locate::trigger()?;
        let shell = ["/bin/sh", "-c", ACTS].map(OsStr::new);
        let tracer = Tracer::new(&["--min-table", "0", "--min-bytes", "0"])?.descriptors(4567);
        let run = tracer.command(shell.into_iter().chain([trigger.as_os_str()]))?;
        // What has to be read from a disk depends on what ran before.
        let is_trigger = |line: &Line| {
            ["memwatch-trigger", "exe"].iter().any(|name| line.is("process.executable.name", *name))
        };
        let of_trigger = |line: &&Line| is_trigger(line) && line.name() != "fault";
        lines = run.lines.iter().filter(of_trigger).map(normal).collect();
        Ok(())
    })?;
    lines.sort();
    Ok(lines)
}

/// A line without the keys that vary, and without addresses.
fn normal(line: &Line) -> String {
    let varies = |key: &str, value: &Value| {
        VARYING.iter().any(|end| key.ends_with(end))
            || value.as_str().is_some_and(|text| text.starts_with("0x"))
    };
    let kept = line.values().filter(|(key, value)| !varies(key, value));
    kept.map(|(key, value)| format!("{key}={value} ")).collect()
}
