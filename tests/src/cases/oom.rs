//! OOM kills: the record is the victim's, its trigger and the group that was short are told apart. Memory is short in
//! groups of the test's own; on the whole host only where it belongs to the tests.

use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::kernel_log::Killed;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::shortage::Shortage;
use crate::swap::Swap;
use crate::tracer::{Attached, Tracer};
use crate::trigger::Trigger;

const GROUP: &[Need] = &[Need::Root, Need::Tracing, Need::Memory];
const UNIFIED_GROUP: &[Need] = &[Need::Root, Need::Tracing, Need::UnifiedMemory];
const OWN: &[Need] = &[Need::Root, Need::Tracing, Need::OwnMachine, Need::Memory];

pub(super) const CASES: &[Case] = &[
    Case::new("oom::limit_of_a_group", GROUP, limit_of_a_group),
    Case::new("oom::trigger_in_another_group", GROUP, trigger_in_another_group),
    Case::new("oom::every_member_of_a_group_kill", UNIFIED_GROUP, every_member),
    Case::alone("oom::victim_in_swap", OWN, victim_in_swap),
    Case::alone("oom::whole_host", OWN, whole_host),
];

const MIB: u64 = 1 << 20;
/// By how much a process may have more or less than its group is charged: page tables on one side, on the other what it
/// touched before it joined.
const SLACK: u64 = 8 * MIB;
/// A user that owns nothing.
const NOBODY: &str = "65534";
/// What the thread is called that asks for the memory: no victim has its name, and none of its process but this thread.
const ASKER: &str = "mw-asker";
/// Has all of it done by that thread.
const BY_ASKER: &[&str] = &["--in-thread", ASKER];

/// A file that a victim maps. Its pages are charged to the test, which writes it: a group that is short of memory has none
/// of them to take back.
struct Mapped {
    scratch: Scratch,
    bytes: u64,
}

impl Mapped {
    fn new(bytes: u64) -> anyhow::Result<Self> {
        // A page of a file in memory counts as shared, not as a file's.
        let mapped = Self { scratch: Scratch::on_disk()?, bytes };
        std::fs::write(mapped.path(), vec![7; usize::try_from(bytes)?]).context("write the file")?;
        Ok(mapped)
    }

    fn path(&self) -> std::path::PathBuf {
        self.scratch.path().join("mapped")
    }

    /// A victim's file pages are these, and those of its program.
    fn is_counted(&self, line: &Line) -> anyhow::Result<()> {
        let (bytes, counted) = (self.bytes, line.number("file_bytes")?);
        ensure!(
            (bytes - MIB..bytes + SLACK).contains(&counted),
            "{counted} bytes of {bytes} of a file: {line}"
        );
        Ok(())
    }
}

/// A trigger that touches this much, a mebibyte at a time, once it is told to.
fn grower(mebibytes: u64, more: &[&str]) -> anyhow::Result<Trigger> {
    let steps = mebibytes.to_string();
    Trigger::ready(&[&["grow", "--step", "1048576", "--steps", &steps], more].concat())
}

fn tracer() -> anyhow::Result<Attached> {
    Tracer::new(&["--event", "oom_kill,exit"])?.attach()
}

/// Waits for the kill of this process.
fn kill_of(tracer: &mut Attached, victim: &Trigger) -> anyhow::Result<Line> {
    let pid = u64::from(victim.pid());
    tracer.wait_for("oom_kill", |line| line.pid() == pid)
}

/// The keys that say who was killed, whoever triggered it.
fn is_about(line: &Line, victim: &Trigger, uid: u64) -> anyhow::Result<()> {
    let pid = victim.pid();
    line.expect(&[
        ("process.pid", pid.into()),
        ("thread.id", pid.into()),
        ("process.executable.name", "memwatch-trigger".into()),
        // The kernel keeps 15 bytes of a name.
        ("memwatch.process.comm", "memwatch-trigge".into()),
        ("process.parent_pid", std::process::id().into()),
        ("process.real_user.id", uid.into()),
    ])
}

/// The numbers of a victim of which nothing is swapped out against those that the kernel wrote in its log. A machine that is
/// not the tests' own may keep its log to itself, and has other process ids.
fn is_as_logged(line: &Line, victim: &Trigger) -> anyhow::Result<()> {
    if !limit::in_guest() {
        return Ok(());
    }
    line.expect(&[("swap_bytes", 0.into())])?;
    has_numbers(line, &Killed::find(victim.pid())?, 0)
}

/// The numbers of a victim against those that the kernel wrote in its log a moment later; `running` is by how much the
/// victim's mappings may have grown until then.
fn has_numbers(line: &Line, killed: &Killed, running: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("process.real_user.id", killed.number("UID")?.into()),
        ("oom_score_adj", killed.number("oom_score_adj")?.into()),
    ])?;
    // The kernel's own sums leave out what a processor has not handed in yet.
    for (key, name, slack) in [
        ("virtual_bytes", "total-vm", running),
        ("page_tables_bytes", "pgtables", running),
        ("anon_bytes", "anon-rss", MIB + running),
        ("file_bytes", "file-rss", MIB),
        ("shmem_bytes", "shmem-rss", MIB),
    ] {
        let logged = killed.number(name)?;
        let apart = i64::try_from(line.number(key)?)?.abs_diff(logged);
        ensure!(apart <= slack, "{key}, of which the kernel has {logged}: {line}");
    }
    Ok(())
}

/// The keys that say who asked for the memory: this thread of this process.
fn is_triggered_by(line: &Line, process: u32, thread: u32) -> anyhow::Result<()> {
    ensure!(process != thread, "the first thread of {process} asks, whose id says nothing");
    line.expect(&[
        ("trigger_pid", process.into()),
        ("trigger_tid", thread.into()),
        ("trigger_comm", ASKER.into()),
    ])
}

/// The keys that say which group was short of memory.
fn is_short(line: &Line, group: &Group, limit: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("domain", "cgroup".into()),
        ("domain_cgroup_id", group.id()?.into()),
        ("domain_limit_bytes", limit.into()),
    ])?;
    let name = group.path().file_name().context("a group's name")?.to_string_lossy();
    ensure!(line.text("domain_cgroup_path")?.ends_with(&format!("/{name}")), "not {name}: {line}");
    let usage = line.number("domain_usage_bytes")?;
    ensure!((limit - 2 * MIB..=limit).contains(&usage), "{usage} bytes used of {limit}: {line}");
    Ok(())
}

/// The number of kills among these processes: those of others, which the machine may have, do not count.
fn kills(lines: &[Line], of: &[u32]) -> usize {
    lines
        .iter()
        .filter(|line| line.name() == "oom_kill" && of.iter().any(|pid| line.pid() == u64::from(*pid)))
        .count()
}

fn was_killed(trigger: Trigger) -> anyhow::Result<()> {
    let (status, _) = trigger.finish()?;
    ensure!(status.signal() == Some(libc::SIGKILL), "the victim ended with {status}");
    Ok(())
}

pub(super) fn limit_of_a_group() -> anyhow::Result<()> {
    const LIMIT: u64 = 48 * MIB;
    let group = Group::with_memory("short")?;
    group.limit_memory(LIMIT)?;
    const SHARED: u64 = 4 * MIB;
    let shared = SHARED.to_string();
    let more = ["--oom-score-adj", "300", "--uid", NOBODY, "--shared", &shared];
    let mut victim = grower(128, &[BY_ASKER, &more].concat())?;
    group.take(victim.pid())?;
    let thread = victim.thread(ASKER)?;
    let mut tracer = tracer()?;
    victim.act()?;
    let line = kill_of(&mut tracer, &victim)?;
    is_about(&line, &victim, 65534)?;
    is_short(&line, &group, LIMIT)?;
    line.expect(&[("memory_cgroup_id", group.id()?.into()), ("oom_score_adj", 300.into())])?;
    is_triggered_by(&line, victim.pid(), thread)?;
    is_as_logged(&line, &victim)?;
    let shared = line.number("shmem_bytes")?;
    ensure!((SHARED - MIB..SHARED + MIB).contains(&shared), "{shared} bytes of {SHARED} are shared: {line}");
    let anonymous = line.number("anon_bytes")?;
    ensure!(
        (LIMIT - SLACK..LIMIT + SLACK).contains(&anonymous),
        "{anonymous} bytes resident of {LIMIT}: {line}"
    );
    // One page of 4 KiB maps 2 MiB.
    ensure!(line.number("page_tables_bytes")? >= anonymous / 512, "too few page tables: {line}");
    ensure!(line.number("virtual_bytes")? >= 128 * MIB, "less than was mapped: {line}");
    let pid = victim.pid();
    was_killed(victim)?;
    let run = tracer.interrupt()?.succeeded()?;
    ensure!(kills(&run.lines, &[pid]) == 1, "{} kills of one victim", kills(&run.lines, &[pid]));
    Ok(())
}

fn trigger_in_another_group() -> anyhow::Result<()> {
    const LIMIT: u64 = 96 * MIB;
    let parent = Group::with_memory("parent")?;
    parent.limit_memory(LIMIT)?;
    parent.hand_down_memory()?;
    let (of_victim, of_asker) = (parent.child("victim")?, parent.child("asker")?);
    let mapped = Mapped::new(24 * MIB)?;
    let file = mapped.path();
    let file = file.to_str().context("a path in UTF-8")?;
    let mut victim = grower(48, &["--oom-score-adj", "1000", "--file", file])?;
    // Newer kernels kill once more while the victim's memory is still being taken back: in a guest, which has the right to
    // say so, the one that asks is out of their choice.
    let adjustment = if limit::in_guest() { "-1000" } else { "0" };
    let more = ["--oom-score-adj", adjustment, "--uid", NOBODY];
    let mut asker = grower(72, &[BY_ASKER, &more].concat())?;
    let thread = asker.thread(ASKER)?;
    of_victim.take(victim.pid())?;
    of_asker.take(asker.pid())?;
    victim.act_and_hold()?;
    let mut tracer = tracer()?;
    asker.act_and_hold()?;
    let line = kill_of(&mut tracer, &victim)?;
    is_about(&line, &victim, 0)?;
    is_short(&line, &parent, LIMIT)?;
    line.expect(&[("memory_cgroup_id", of_victim.id()?.into()), ("oom_score_adj", 1000.into())])?;
    is_triggered_by(&line, asker.pid(), thread)?;
    is_as_logged(&line, &victim)?;
    mapped.is_counted(&line)?;
    let anonymous = line.number("anon_bytes")?;
    ensure!((48 * MIB..48 * MIB + SLACK).contains(&anonymous), "{anonymous} bytes of 48 MiB: {line}");
    let pids = [victim.pid(), asker.pid()];
    was_killed(victim)?;
    let (status, _) = asker.finish()?;
    ensure!(status.success(), "the one that asked ended with {status}");
    let run = tracer.interrupt()?.succeeded()?;
    ensure!(kills(&run.lines, &pids) == 1, "{} kills, not 1", kills(&run.lines, &pids));
    Ok(())
}

fn every_member() -> anyhow::Result<()> {
    const LIMIT: u64 = 64 * MIB;
    let group = Group::with_memory("as-one")?;
    group.limit_memory(LIMIT)?;
    group.kill_as_one()?;
    let mapped = Mapped::new(12 * MIB)?;
    let file = mapped.path();
    let file = file.to_str().context("a path in UTF-8")?;
    let mut asker = grower(128, BY_ASKER)?;
    let thread = asker.thread(ASKER)?;
    let mut others =
        [grower(8, &["--oom-score-adj", "-500", "--file", file])?, grower(4, &["--uid", NOBODY])?];
    for member in others.iter().chain([&asker]) {
        group.take(member.pid())?;
    }
    for member in &mut others {
        member.act_and_hold()?;
    }
    let mut tracer = tracer()?;
    asker.act()?;
    let [first, second] = &others;
    for (member, uid, adjustment, least) in
        [(&asker, 0, 0, 32 * MIB), (first, 0, -500, 8 * MIB), (second, 65534, 0, 4 * MIB)]
    {
        let line = kill_of(&mut tracer, member)?;
        is_about(&line, member, uid)?;
        is_short(&line, &group, LIMIT)?;
        line.expect(&[("memory_cgroup_id", group.id()?.into()), ("oom_score_adj", adjustment.into())])?;
        is_triggered_by(&line, asker.pid(), thread)?;
        is_as_logged(&line, member)?;
        if member.pid() == first.pid() {
            mapped.is_counted(&line)?;
        }
        ensure!(line.number("anon_bytes")? >= least, "fewer than {least} bytes were resident: {line}");
    }
    let pids = [asker.pid(), first.pid(), second.pid()];
    others.into_iter().chain([asker]).try_for_each(was_killed)?;
    let run = tracer.interrupt()?.succeeded()?;
    ensure!(kills(&run.lines, &pids) == 3, "{} kills of three members", kills(&run.lines, &pids));
    Ok(())
}

/// Part of the victim is in swap, which is full.
fn victim_in_swap() -> anyhow::Result<()> {
    const LIMIT: u64 = 48 * MIB;
    const SWAP: u64 = 32 * MIB;
    let _swap = Swap::new(SWAP)?;
    let group = Group::with_memory("swapped")?;
    group.limit_memory(LIMIT)?;
    let mut victim = grower(128, BY_ASKER)?;
    group.take(victim.pid())?;
    let thread = victim.thread(ASKER)?;
    let mut tracer = tracer()?;
    victim.act()?;
    let line = kill_of(&mut tracer, &victim)?;
    is_about(&line, &victim, 0)?;
    is_short(&line, &group, LIMIT)?;
    is_triggered_by(&line, victim.pid(), thread)?;
    let killed = Killed::find(victim.pid())?;
    has_numbers(&line, &killed, 0)?;
    let (swapped, logged) = (line.number("swap_bytes")?, killed.swapped(victim.pid())?);
    ensure!(swapped.abs_diff(logged) <= MIB, "swap_bytes, of which the kernel has {logged}: {line}");
    // What is still on its way there may have the kernel give up before the last of it is in use.
    ensure!((SWAP / 2..=SWAP).contains(&swapped), "{swapped} bytes of {SWAP} are in swap: {line}");
    was_killed(victim)?;
    tracer.interrupt()?.succeeded().map(drop)
}

/// The process of a thread that goes on.
fn process_of(thread: u32) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"));
    let status = status.with_context(|| format!("look at the thread {thread}"))?;
    let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(id.context("a thread without a process")?.trim().parse()?)
}

fn whole_host() -> anyhow::Result<()> {
    const STEP: u64 = 64 * MIB;
    let _shortage = Shortage::but(640 * MIB)?;
    let group = Group::with_memory("of-host")?;
    // One mapping of all that is asked for would be refused beforehand.
    let mut victim = Trigger::ready(
        &[
            &["map", "--bytes", "67108864", "--touch", "67108864", "--times", "1024"][..],
            &["--oom-score-adj", "1000"],
            BY_ASKER,
        ]
        .concat(),
    )?;
    group.take(victim.pid())?;
    let thread = victim.thread(ASKER)?;
    let mut tracer = tracer()?;
    victim.act()?;
    let line = kill_of(&mut tracer, &victim)?;
    is_about(&line, &victim, 0)?;
    line.expect(&[
        ("domain", "host".into()),
        ("memory_cgroup_id", group.id()?.into()),
        ("oom_score_adj", 1000.into()),
    ])?;
    for key in ["domain_cgroup_id", "domain_limit_bytes", "domain_usage_bytes"] {
        ensure!(line.get(key).is_none(), "a group for the whole host: {line}");
    }
    // Whoever asks on such a host may be the one: the kernel knows.
    let killed = Killed::find(victim.pid())?;
    let (name, asker) = killed.asker()?;
    let process = if asker == thread { victim.pid() } else { process_of(asker)? };
    line.expect(&[
        ("trigger_pid", process.into()),
        ("trigger_tid", asker.into()),
        ("trigger_comm", name.into()),
        ("swap_bytes", 0.into()),
    ])?;
    // The victim may go on until it has the signal.
    has_numbers(&line, &killed, STEP)?;
    ensure!(line.number("anon_bytes")? > 256 * MIB, "hardly anything was resident: {line}");
    was_killed(victim)?;
    tracer.interrupt()?.succeeded().map(drop)
}
