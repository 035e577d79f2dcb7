//! Time and memory of `memwatch scan` on a host with many processes.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    statistics::{Sample, verdict},
};
use crate::process;

/// Processes that the goal speaks of.
const PROCESSES: u32 = 10_000;
/// Seconds for them.
const TIME_GOAL: f64 = 1.0;
/// KiB of resident memory.
const RSS_GOAL: u64 = 50 << 10;

/// A crowd, and how it is scanned.
struct Scene {
    what: &'static str,
    /// Areas of memory of each process, and the bytes of all of them; without a number one slot per descriptor.
    areas: u32,
    bytes: Option<u64>,
    options: &'static [&'static str],
}

/// From the usual host, where no process is large enough for a table, to one where each of them is a finding.
const SCENES: [Scene; 4] = [
    Scene { what: "small", areas: 0, bytes: Some(0), options: &[] },
    Scene {
        what: "small, each executable looked up",
        areas: 0,
        bytes: Some(0),
        options: &["--min-table", "8MiB"],
    },
    Scene {
        what: "128 MiB in 50 areas each, all areas read",
        areas: 50,
        bytes: Some(128 << 20),
        options: &[],
    },
    Scene {
        what: "each a finding, as JSON",
        areas: 1,
        bytes: None,
        options: &["--min-table", "1MiB", "--min-confidence", "low", "--output", "json"],
    },
];

/// What one scan took.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_kib: u64,
}

/// Measures each scene.
///
/// # Errors
/// The load or a scan fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "Scan",
        &format!(
            "`memwatch scan` beside processes that sleep, forked from one small static program: at most {PROCESSES}, \
             fewer where the machine refuses more. Memory is mapped and not touched. {} scans each, from start to end; \
             CPU seconds: those of all threads, which a busy machine stretches; memory: the \
             largest peak of resident memory (`ru_maxrss`). Where the limit of this machine is too low for any \
             known program, a lower `--min-table` makes the scan look up executables as it would under a huge limit.",
            bench.rounds
        ),
        &["processes", "how many", "seconds", "CPU seconds", "memory", "goal", ""],
    );
    let mut load = bench.load()?;
    for scene in &SCENES {
        let started = load.crowd(PROCESSES, scene.areas, scene.bytes.map_or_else(table_bytes, Ok)?)?;
        let runs = (0..bench.rounds).map(|_| scan(bench, scene)).collect::<Result<Vec<_>>>()?;
        let seconds = Sample::new(runs.iter().map(|run| run.seconds));
        let cpu_seconds = Sample::new(runs.iter().map(|run| run.cpu_seconds));
        let peak_kib = runs.iter().map(|run| run.peak_kib).max().unwrap_or(0);
        let share = f64::from(started) / f64::from(PROCESSES);
        let is_reached = seconds.median() <= TIME_GOAL * share && peak_kib <= RSS_GOAL;
        table.row(vec![
            scene.what.into(),
            started.to_string(),
            seconds.spread(|value| format!("{value:.3}")),
            cpu_seconds.spread(|value| format!("{value:.3}")),
            format!("{:.1} MiB", peak_kib as f64 / 1024.0),
            format!("<= {:.2} s and {} MiB", TIME_GOAL * share, RSS_GOAL >> 10),
            verdict(is_reached).into(),
        ]);
    }
    Ok(table)
}

/// A table by this process's limit, which the load inherits: of large elements where the limit is low.
fn table_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/limits").context("cannot read /proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|values| values.split_whitespace().next()?.parse::<u64>().ok());
    let soft = soft.context("/proc/self/limits does not tell the limit of open files")?;
    Ok((soft * if soft > 1 << 23 { 8 } else { 1024 }).next_multiple_of(4096))
}

fn scan(bench: &Bench, scene: &Scene) -> Result<Run> {
    let mut command = Command::new(&bench.load);
    command.arg("timed").arg(&bench.memwatch).arg("scan").args(scene.options);
    let told = process::output(&mut command)?;
    let mut words = told.split_whitespace();
    let mut next = || words.next().with_context(|| format!("memwatch-load told {told:?}"));
    let (seconds, cpu_seconds, peak, code) = (next()?, next()?, next()?, next()?);
    anyhow::ensure!(code != "2", "the scan failed: run `memwatch scan` to see why");
    Ok(Run { seconds: seconds.parse()?, cpu_seconds: cpu_seconds.parse()?, peak_kib: peak.parse()? })
}
