//! From a system call to its JSON line on a pipe.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    statistics::{Sample, verdict},
    tracer::{LANE, Tracer},
};

/// Calls per second, and for how long.
const RATE: u64 = 1_000;
const SECONDS: f64 = 3.0;

/// At most this many repetitions: each is thousands of calls.
const RUNS: usize = 5;

/// Goals in nanoseconds.
const P50: f64 = 0.3e6;
const P99: f64 = 5e6;

/// Measures how late lines arrive.
///
/// # Errors
/// The tracer or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let runs = (0..RUNS.min(bench.rounds)).map(|_| arrivals(bench)).collect::<Result<Vec<_>>>()?;
    let lines: f64 = runs.iter().map(|run| run.lines).sum();
    let mut table = Table::new(
        "System call to JSON line on a pipe",
        &format!(
            "{RATE} reads of a limit per second for {SECONDS} s, {} times, {lines} lines: boot clock at the reader of the \
             pipe less the event's time. Median run and quartiles. Lane: {LANE}.",
            runs.len()
        ),
        &["", "measured", "goal", ""],
    );
    let milliseconds = |value: f64| format!("{:.3}", value / 1e6);
    for (name, sample, goal) in [
        ("p50", Sample::new(runs.iter().map(|run| run.p50)), Some(P50)),
        ("p99", Sample::new(runs.iter().map(|run| run.p99)), Some(P99)),
        ("maximum", Sample::new(runs.iter().map(|run| run.maximum)), None),
    ] {
        table.row(vec![
            name.to_owned(),
            format!("{} ms", sample.spread(milliseconds)),
            goal.map_or_else(String::new, |goal| format!("<= {} ms", goal / 1e6)),
            goal.map_or("", |goal| verdict(sample.median() <= goal)).to_owned(),
        ]);
    }
    Ok(table)
}

/// What the reader of the pipe saw, in nanoseconds.
struct Run {
    lines: f64,
    p50: f64,
    p99: f64,
    maximum: f64,
}

fn arrivals(bench: &Bench) -> Result<Run> {
    let mut load = bench.load()?;
    let root = load.id().to_string();
    let arguments = ["--output", "json", "--attach", LANE, "--event", "rlimit_read", "--tree", &root];
    let mut tracer = Tracer::start(&bench.memwatch, &arguments, Stdio::piped())?;
    let reader = Command::new(&bench.load)
        .arg("arrivals")
        .stdin(tracer.output().context("memwatch has no output")?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start memwatch-load")?;
    load.flood(1, SECONDS, RATE)?;
    tracer.end()?;
    let told = reader.wait_with_output().context("cannot read memwatch-load's answer")?.stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let numbers: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match *numbers.as_slice() {
        [lines, p50, p99, maximum] if lines > 0.0 => Ok(Run { lines, p50, p99, maximum }),
        _ => anyhow::bail!("no line arrived: memwatch-load says {told:?}"),
    }
}
