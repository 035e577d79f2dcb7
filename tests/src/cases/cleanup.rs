//! What is left behind: nothing, however the tracer ends.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::TRACING;
use super::daemon::{NEEDS, POOL, Stage, children, policy, pool};
use crate::case::Case;
use crate::child::PATIENCE;
use crate::syscall::bpf::{Object, exists};
use crate::tracer::{Attached, Tracer, eventually};
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("cleanup::after_interrupt", TRACING, || after(|tracer| tracer.interrupt().map(drop))),
    Case::new("cleanup::after_sigkill", TRACING, || after(|tracer| tracer.kill().map(drop))),
    Case::new("cleanup::of_a_daemon_that_was_acting", NEEDS, of_a_daemon),
];

/// Ids of the programs, maps and links that a process holds descriptors of.
fn held(pid: u32) -> anyhow::Result<BTreeSet<(Object, u32)>> {
    let mut ids = BTreeSet::new();
    let folder = format!("/proc/{pid}/fdinfo");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        // A descriptor may be closed between listing and reading.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else { continue };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let object = match key {
                "prog_id" => Object::Program,
                "map_id" => Object::Map,
                "link_id" => Object::Link,
                _ => continue,
            };
            ids.insert((object, value.trim().parse().context("read an id")?));
        }
    }
    Ok(ids)
}

fn after(end: impl FnOnce(Attached) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let trigger = Trigger::ready(&["map", "--bytes", "4096"])?;
    let tracer = Tracer::new(&["--pid", &trigger.pid().to_string()])?.attach()?;
    let ids = held(tracer.pid())?;
    let programs = ids.iter().filter(|(object, _)| *object == Object::Program).count();
    ensure!(programs >= 5, "an attached tracer holds {programs} programs only");
    end(tracer)?;
    are_gone(&ids)?;
    trigger.finish().map(drop)
}

/// Every one of them is gone, and nothing is pinned.
fn are_gone(ids: &BTreeSet<(Object, u32)>) -> anyhow::Result<()> {
    // The kernel frees programs and maps in the background, after a grace period.
    eventually(Duration::from_secs(30), "every program, map and link is gone", || {
        ids.iter().all(|(object, id)| exists(*object, *id).is_ok_and(|exists| !exists))
    })?;
    let pins = std::fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten();
    let ours: Vec<_> =
        pins.map(|pin| pin.file_name()).filter(|name| name.to_string_lossy().contains("memwatch")).collect();
    ensure!(ours.is_empty(), "pinned objects are left: {ours:?}");
    Ok(())
}

/// Killed after it asked a worker to leave and before it kills it for staying: nothing goes on without it, and the next daemon
/// takes the pool up as it runs.
fn of_a_daemon() -> anyhow::Result<()> {
    const LIMIT: &str =
        "[[process_limit]]\nname = \"hog\"\nmatch = { exe = \"memwatch-trigger\" }\nlimit = \"192MiB\"\n";
    const MIB: u64 = 1 << 20;
    let pool = pool(16 * MIB, 160 * MIB, &["--deaf"])?;
    let root = pool.pid();
    let rules = |deadline| {
        let pool = POOL.replace("deadline = \"1s\"", deadline);
        policy("enforce", root, &format!("{pool}{LIMIT}"))
    };
    let mut stage = Stage::new((), &rules("deadline = \"2min\""), &[])?;
    let asked = u32::try_from(stage.wait_for("decision", |_| true)?.pid())?;
    let ids = held(stage.pid())?;
    let programs = ids.iter().filter(|(object, _)| *object == Object::Program).count();
    ensure!(programs >= 5, "an enforcing daemon holds {programs} programs only");
    stage.kill()?;
    are_gone(&ids)?;
    let workers = children(root);
    ensure!(workers.len() == 2 && workers.contains(&asked), "{workers:?} live, asked was {asked}");
    for pid in workers.iter().chain([&root]) {
        let state = state(*pid)?;
        ensure!(matches!(state, 'R' | 'S' | 'D'), "process {pid} is in state {state}");
    }
    let mut stage = Stage::new((), &rules("deadline = \"1s\""), &[])?;
    let closing = stage.wait_for("closing", |_| true)?;
    closing.expect(&[
        ("memwatch.closing.was_killed", true.into()),
        ("memwatch.closing.ending", "returned".into()),
    ])?;
    let taken = u32::try_from(closing.pid())?;
    ensure!(workers.contains(&taken), "{taken} was taken, {workers:?} were there");
    eventually(PATIENCE, "the master starts another worker", || children(root).len() == 2)?;
    stage.end().map(drop)
}

/// The letter of a process's state.
fn state(pid: u32) -> anyhow::Result<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read the state")?;
    let rest = text.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    rest.and_then(|rest| rest.chars().next()).context("no state")
}
