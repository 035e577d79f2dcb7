//! How fast `memwatch audit` reads pages beside what the kernel gives, what a sample of a large index takes, and how
//! often the interval of a sample holds the truth.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Bench,
    journal::Table,
    load::Load,
    statistics::{Sample, verdict},
};

/// Pages a second of an exact audit.
const RATE_GOAL: f64 = 8e6;
/// Share of what the kernel gives when pagemap and kpagecgroup are read in order and nothing is done with them.
const SHARE_GOAL: f64 = 0.7;
/// Seconds of a sample of an index of [`LARGE`] bytes.
const SAMPLE_GOAL: f64 = 1.0;
/// Samples, and how many intervals are to hold the truth.
const SAMPLES: usize = 100;
const HOLD_GOAL: usize = 95;
/// The index of the incident.
const LARGE: u64 = 44 << 30;
/// Pages for each that is drawn of it, as an audit by itself chooses where all of it is resident.
const ONE_IN: u64 = 64;
const GIB: u64 = 1 << 30;

/// Measures it all.
///
/// # Errors
/// The load or an audit fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "Audit",
        &format!(
            "An index is a file in memory that one process maps and has read. Exact: `memwatch audit --exact` of the whole \
             host, pages and CPU time as it states them, {} runs. What the kernel gives: \
             entries of pagemap and kpagecgroup read in order in pieces of 256 KiB, each the best of three, in CPU time \
             too, as 1 / (1/pagemap + 1/kpagecgroup). Samples: one page in {ONE_IN}, which is what audit chooses where 44 GiB \
             are resident; time of the whole command.",
            bench.rounds
        ),
        &["", "measured", "goal", ""],
    );
    let mut load = bench.load()?;
    let dense = (available()? / 3 / GIB).clamp(1, 8) * GIB;
    load.index(dense, dense, 1)?;
    exact(bench, &mut load, dense, &mut table)?;
    // The same pages mapped over and over stand for an index larger than the memory of this machine.
    let times = LARGE.div_ceil(4 * GIB);
    load.index(4 * GIB, 4 * GIB, times)?;
    sampled(bench, &format!("4 GiB mapped {times} times, all resident"), &["audit"], &mut table)?;
    load.index(LARGE, 4 * GIB, 1)?;
    let rate = ONE_IN.to_string();
    let options = ["audit", "--sample", &rate];
    sampled(bench, "sparse index of 44 GiB, 4 GiB of it resident", &options, &mut table)?;
    coverage(bench, &load, &mut table)?;
    Ok(table)
}

fn exact(bench: &Bench, load: &mut Load, bytes: u64, table: &mut Table) -> Result<()> {
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    let (mut pagemap, mut owners) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let (of_pagemap, of_owners) = load.kernel_rates()?;
        let lines = audit(&bench.memwatch, &["audit", "--exact"])?;
        let summary = line(&lines, "memwatch.audit")?;
        let rate = number(summary, "memwatch.audit.pages")? as f64 * 1e9
            / number(summary, "memwatch.audit.cpu")? as f64;
        rates.push(rate);
        shares.push(rate * (1.0 / of_pagemap + 1.0 / of_owners));
        pagemap.push(of_pagemap);
        owners.push(of_owners);
    }
    let millions = |value: f64| format!("{:.1} M/s", value / 1e6);
    for (what, rates) in [("pagemap alone", pagemap), ("kpagecgroup alone", owners)] {
        table.row(vec![format!("the kernel: {what}"), Sample::new(rates).spread(millions)]);
    }
    let (rates, shares) = (Sample::new(rates), Sample::new(shares));
    table.row(vec![
        format!("exact, an index of {} GiB", bytes / GIB),
        rates.spread(millions),
        format!(">= {} M/s", RATE_GOAL / 1e6),
        verdict(rates.median() >= RATE_GOAL).into(),
    ]);
    table.row(vec![
        "the same, in what the kernel gives for both".into(),
        shares.spread(|value| format!("{:.0} %", value * 100.0)),
        format!(">= {:.0} %", SHARE_GOAL * 100.0),
        verdict(shares.median() >= SHARE_GOAL).into(),
    ]);
    Ok(())
}

fn sampled(bench: &Bench, what: &str, options: &[&str], table: &mut Table) -> Result<()> {
    let (mut seconds, mut of_cpu) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let started = std::time::Instant::now();
        let lines = audit(&bench.memwatch, options)?;
        seconds.push(started.elapsed().as_secs_f64());
        of_cpu.push(number(line(&lines, "memwatch.audit")?, "memwatch.audit.cpu")? as f64 / 1e9);
    }
    let (seconds, of_cpu) = (Sample::new(seconds), Sample::new(of_cpu));
    let write = |value| format!("{value:.2}");
    table.row(vec![
        format!("a sample: {what}"),
        format!("{} s, {} s of CPU", seconds.spread(write), of_cpu.spread(write)),
        format!("<= {SAMPLE_GOAL} s"),
        verdict(seconds.median() <= SAMPLE_GOAL).into(),
    ]);
    Ok(())
}

/// The truth is what an exact audit says before and after.
fn coverage(bench: &Bench, load: &Load, table: &mut Table) -> Result<()> {
    let exact = |key: &str| -> Result<u64> {
        let lines = audit(&bench.memwatch, &["audit", "--exact"])?;
        number(cgroup_of(&lines, load.id())?, key)
    };
    let key = "memwatch.audit.held.shmem";
    let before = exact(key)?;
    let rate = ONE_IN.to_string();
    let (mut inside, mut widths) = (0, Vec::new());
    for _ in 0..SAMPLES {
        let lines = audit(&bench.memwatch, &["audit", "--sample", &rate])?;
        let found = cgroup_of(&lines, load.id())?;
        let (low, high) = (number(found, &format!("{key}_low"))?, number(found, &format!("{key}_high"))?);
        inside += usize::from((low..=high).contains(&before));
        widths.push((high - low) as f64 / 2.0 / before.max(1) as f64);
    }
    let changed = exact(key)?.abs_diff(before);
    table.row(vec![
        format!("of {SAMPLES} samples of the sparse index, intervals that hold the truth"),
        format!(
            "{inside}; half an interval {}; the truth changed by {} KiB",
            Sample::new(widths).spread(|width| format!("{:.1} %", width * 100.0)),
            changed >> 10
        ),
        format!(">= {HOLD_GOAL}"),
        verdict(inside >= HOLD_GOAL).into(),
    ]);
    Ok(())
}

/// Runs an audit; gives its lines. Its status tells of findings and not of success.
fn audit(memwatch: &Path, options: &[&str]) -> Result<Vec<Value>> {
    let output = Command::new(memwatch).args(options).args(["--output", "json"]).output();
    let output = output.context("cannot start memwatch")?;
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
    if lines.is_empty() {
        anyhow::bail!("memwatch audit: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(lines)
}

fn line<'a>(lines: &'a [Value], name: &str) -> Result<&'a Value> {
    let found = lines.iter().find(|line| line.get("event.name").and_then(Value::as_str) == Some(name));
    found.with_context(|| format!("memwatch audit wrote no line {name}"))
}

fn number(line: &Value, key: &str) -> Result<u64> {
    line.get(key).and_then(Value::as_u64).with_context(|| format!("memwatch audit wrote no {key}"))
}

/// The line of the cgroup that a process is charged in.
fn cgroup_of(lines: &[Value], pid: u32) -> Result<&Value> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).context("cannot find the load's cgroup")?;
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    let memory = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    });
    let path = memory.or(unified).context("the load is in no cgroup")?;
    let found = lines.iter().filter(|line| {
        line.get("event.name").and_then(Value::as_str) == Some("memwatch.audit.cgroup")
            && line.get("memwatch.cgroup.path").and_then(Value::as_str).is_some_and(|it| path.starts_with(it))
    });
    found
        .max_by_key(|line| line.get("memwatch.cgroup.path").and_then(Value::as_str).map_or(0, str::len))
        .context("memwatch audit does not tell of the load's cgroup")
}

/// Memory to be had, in bytes.
fn available() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    Ok(kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) << 10)
}
