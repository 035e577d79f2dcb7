//! Floods: nothing is lost in silence, and memory stays bounded.

use anyhow::{Context as _, ensure};

use super::TRACING;
use crate::case::Case;
use crate::cgroup::Group;
use crate::limit;
use crate::need::Need;
use crate::tracer::{Run, Tracer};
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::alone("load::ten_thousand_short_lives", TRACING, short_lives),
    Case::alone("load::short_lives_that_execute", TRACING, short_lives_that_execute),
    Case::alone("load::tiny_ring_counts_exactly", TRACING, tiny_ring),
    Case::alone("load::groups_that_come_and_go", &[Need::Root, Need::Tracing, Need::Unified], groups),
    Case::alone("load::ends_that_no_program_saw", TRACING, unseen_ends),
    Case::alone("load::descendants_beyond_the_map_are_counted", TRACING, unmarked),
];

/// Resident memory of a tracer under a flood, rings included, in KiB.
const BOUND_KIB: u64 = 64 * 1024;

/// The most that a process had resident, in KiB.
pub(super) fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    status_kib(pid, "VmHWM:")
}

/// A size in the status of a process, in KiB.
pub(super) fn status_kib(pid: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name} in {path}"))?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("read {name}"))
}

/// Runs a burst under a tracer; returns the tracer's lines and its peak memory in KiB.
fn burst(options: &[&str], count: u32, exec: bool) -> anyhow::Result<(Run, u64)> {
    let count = count.to_string();
    let mut arguments = vec!["burst", "--count", count.as_str()];
    if exec {
        arguments.push("--exec");
    }
    let trigger = Trigger::ready(&arguments)?;
    let pid = trigger.pid().to_string();
    let options: Vec<&str> = [options, &["--tree", &pid]].concat();
    let mut tracer = Tracer::new(&options)?.attach()?;
    let root = u64::from(trigger.pid());
    trigger.run()?;
    tracer.wait_for("exit", |line| line.pid() == root)?;
    let peak = peak_kib(tracer.pid())?;
    Ok((tracer.interrupt()?.succeeded()?, peak))
}

fn short_lives() -> anyhow::Result<()> {
    let (run, peak) = burst(&["--event", "fork,exit"], 10_000, false)?;
    let (forks, exits, lost) = (run.of("fork").len(), run.of("exit").len(), run.lost("ring_full") as usize);
    // The trigger's own end makes one exit more than there are children.
    ensure!(forks + exits + lost == 20_001, "{forks} forks, {exits} exits, {lost} lost of 20001 records");
    ensure!(peak < BOUND_KIB, "the tracer took {peak} KiB");
    Ok(())
}

fn short_lives_that_execute() -> anyhow::Result<()> {
    // An emulated machine takes a tenth of a second for each.
    let count = if limit::in_guest() { 100 } else { 500 };
    let (run, peak) = burst(&["--event", "fork,exec,exit"], count, true)?;
    let seen = run.of("fork").len() + run.of("exec").len() + run.of("exit").len();
    let lost = run.lost("ring_full") as usize;
    let sent = 3 * count as usize + 1;
    ensure!(seen + lost == sent, "{seen} seen and {lost} lost of {sent} records");
    ensure!(peak < BOUND_KIB, "the tracer took {peak} KiB");
    // Every process that executed is named, though most were gone when their records were read.
    let trigger = crate::locate::trigger()?.to_string_lossy().into_owned();
    let nameless =
        run.of("exec").into_iter().find(|line| !line.is("process.executable.path", trigger.as_str()));
    ensure!(nameless.is_none(), "no path: {nameless:?}");
    Ok(())
}

fn tiny_ring() -> anyhow::Result<()> {
    const CALLS: u64 = 200_000;
    let trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", &CALLS.to_string()])?;
    let pid = trigger.pid().to_string();
    let options = ["--ring-size", "4096", "--pid", &pid, "--event", "mmap,exit", "--min-bytes", "7000001"];
    let tracer = Tracer::new(&options)?.attach()?;
    trigger.run()?;
    let run = tracer.interrupt()?.succeeded()?;
    let received = run.of("mmap").len() as u64 + run.of("exit").len() as u64;
    let lost = run.lost("ring_full");
    ensure!(received + lost == CALLS + 1, "{received} received and {lost} lost of {} sent", CALLS + 1);
    ensure!(lost > 0, "nothing was lost: the ring of one page was large enough, and this test shows nothing");
    Ok(())
}

fn groups() -> anyhow::Result<()> {
    // Room for half as many groups as processes; more than that come and go.
    let group = Group::new("churn")?;
    let below = group.path().to_str().context("a path that is text")?;
    let tracer = Tracer::new(&["--max-processes", "1024", "--event", "exec"])?.attach()?;
    Trigger::ready(&["churn-groups", "--below", below, "--count", "700"])?.run()?;
    let run = tracer.interrupt()?.succeeded()?;
    ensure!(run.lost("cgroup_map_full") == 0, "groups went uncounted: {}", run.errors);
    Ok(())
}

fn unseen_ends() -> anyhow::Result<()> {
    const BYTES: u64 = 7_000_001;
    // No process is seen to end: each of the burst stays in the map of processes until somebody looks.
    // An emulated machine takes a tenth of a second for each, and has fewer processes besides.
    let (room, lives) = if limit::in_guest() { ("150", "250") } else { ("400", "600") };
    let options = ["--without", "exit", "--max-processes", room, "--event", "mmap"];
    let mut tracer = Tracer::new(&options)?.attach()?;
    Trigger::ready(&["burst", "--count", lives, "--exec"])?.run()?;
    tracer.wait_for("lost", |line| line.is("kind", "process_map_full"))?;
    let trigger = Trigger::ready(&["map", "--bytes", &BYTES.to_string()])?;
    let pid = u64::from(trigger.pid());
    trigger.run()?;
    tracer.wait_for("mmap", |line| line.pid() == pid && line.is("bytes", BYTES))?;
    tracer.interrupt().map(drop)
}

/// More descendants at once than there is room for: each that is missing from the filter is counted, also where others have left
/// no room for what is kept of the processes themselves.
fn unmarked() -> anyhow::Result<()> {
    const ROOM: u64 = 64;
    const CHILDREN: u64 = 100;
    let count = CHILDREN.to_string();
    let mut others = Trigger::ready(&["burst", "--count", &count, "--alive", &count, "--for-ms", "8000"])?;
    let mut trigger = Trigger::ready(&["burst", "--count", &count, "--alive", &count, "--for-ms", "5000"])?;
    let (pid, room) = (trigger.pid().to_string(), ROOM.to_string());
    let options = ["--tree", &pid, "--max-processes", &room, "--event", "fork,exit"];
    let mut tracer = Tracer::new(&options)?.attach()?;
    others.act()?;
    tracer.wait_for("lost", |line| line.is("kind", "process_map_full"))?;
    trigger.act()?;
    tracer.wait_for("lost", |line| line.is("kind", "mark_map_full"))?;
    let (status, _) = trigger.finish()?;
    ensure!(status.success(), "the burst ended with {status}");
    others.finish()?;
    let run = tracer.interrupt()?.succeeded()?;
    // One place is the root's.
    let (lost, expected) = (run.lost("mark_map_full"), CHILDREN + 1 - ROOM);
    ensure!(lost == expected, "{lost} descendants were counted as missing, {expected} were");
    Ok(())
}
