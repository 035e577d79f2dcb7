//! What is left behind: nothing, however the tracer ends.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::TRACING;
use crate::case::Case;
use crate::syscall::bpf::{Object, exists};
use crate::tracer::{Attached, Tracer, eventually};
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("cleanup::after_interrupt", TRACING, || after(|tracer| tracer.interrupt().map(drop))),
    Case::new("cleanup::after_sigkill", TRACING, || after(|tracer| tracer.kill().map(drop))),
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
    // The kernel frees programs and maps in the background, after a grace period.
    eventually(Duration::from_secs(30), "every program, map and link is gone", || {
        ids.iter().all(|(object, id)| exists(*object, *id).is_ok_and(|exists| !exists))
    })?;
    let pins = std::fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten();
    let ours: Vec<_> =
        pins.map(|pin| pin.file_name()).filter(|name| name.to_string_lossy().contains("memwatch")).collect();
    ensure!(ours.is_empty(), "pinned objects are left: {ours:?}");
    trigger.finish().map(drop)
}
