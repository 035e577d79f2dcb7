//! Time from start to attached, and resident memory, of `memwatch trace` as a user starts it.

use std::{fs, process::Stdio, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    statistics::{Sample, verdict},
    tracer::Tracer,
};

/// Without `--attach`: refused ways are part of what a start takes.
const ARGUMENTS: [&str; 2] = ["--output", "none"];

/// Seconds from start to attached.
const START_GOAL: f64 = 0.5;

/// KiB of resident memory, the ring's pages included.
const RSS_GOAL: u64 = 25 << 10;

/// After this a start has settled.
const SETTLE: Duration = Duration::from_secs(2);

/// Resident memory in KiB.
pub(super) struct Resident {
    pub(super) all: u64,
    ring: u64,
}

/// Measures starts and memory.
///
/// # Errors
/// The tracer or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "Start and memory",
        &format!(
            "`memwatch trace --output none` on the whole host with every way to attach allowed; {} starts, each from \
             the start of the process to its line that says it traces. Memory: sum of Rss in /proc/PID/smaps; ring: its \
             mappings of BPF maps, whose data pages are mapped twice and so counted twice. Most: VmHWM in /proc/PID/status.",
            bench.rounds
        ),
        &["", "measured", "goal", ""],
    );
    let starts = (0..bench.rounds).map(|_| start(bench)).collect::<Result<Vec<_>>>()?;
    let starts = Sample::new(starts);
    table.row(vec![
        "start to attached".into(),
        format!("{} s", starts.spread(|value| format!("{value:.2}"))),
        format!("<= {START_GOAL} s"),
        verdict(starts.median() <= START_GOAL).into(),
    ]);
    let mut load = bench.load()?;
    let tracer = Tracer::start(&bench.memwatch, &ARGUMENTS, Stdio::null())?;
    thread::sleep(SETTLE);
    let idle = resident(tracer.id())?;
    let peak = peak(tracer.id())?;
    let flooded = load.flood(1, 1.0, 100_000)?;
    thread::sleep(SETTLE);
    let after = resident(tracer.id())?;
    tracer.end()?;
    table.row(vec![
        "most memory at any moment of the start".into(),
        format!("{:.1} MiB", mebibytes(peak)),
        format!("<= {} MiB", RSS_GOAL >> 10),
        verdict(peak <= RSS_GOAL).into(),
    ]);
    for (what, resident) in
        [("memory, idle".to_owned(), idle), (format!("memory after {} records", flooded.calls), after)]
    {
        table.row(vec![
            what,
            format!("{:.1} MiB, of which ring {:.1} MiB", mebibytes(resident.all), mebibytes(resident.ring)),
            format!("<= {} MiB", RSS_GOAL >> 10),
            verdict(resident.all <= RSS_GOAL).into(),
        ]);
    }
    Ok(table)
}

fn start(bench: &Bench) -> Result<f64> {
    let tracer = Tracer::start(&bench.memwatch, &ARGUMENTS, Stdio::null())?;
    let took = tracer.took.as_secs_f64();
    tracer.end()?;
    Ok(took)
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Resident memory of a process.
///
/// # Errors
/// It has ended, or is somebody else's.
pub(super) fn resident(pid: u32) -> Result<Resident> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(sum(&text))
}

/// The most that a process had resident at a time, in KiB.
fn peak(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    most(&text).with_context(|| format!("{path} has no VmHWM"))
}

/// The line of the peak.
fn most(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Sums the `Rss` lines; those below a mapping of a BPF map are the ring's.
fn sum(smaps: &str) -> Resident {
    let mut resident = Resident { all: 0, ring: 0 };
    let mut is_ring = false;
    for line in smaps.lines() {
        if let Some(kib) = line.strip_prefix("Rss:") {
            let kib = kib.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            resident.all += kib;
            resident.ring += if is_ring { kib } else { 0 };
        } else if line.split_whitespace().next().is_some_and(|word| !word.ends_with(':')) {
            is_ring = line.contains("bpf-map") || line.contains("bpf_map");
        }
    }
    resident
}

#[cfg(test)]
mod tests {
    use super::{most, sum};

    #[test]
    fn the_peak_is_read() {
        assert_eq!(
            most("Name:\tx\nVmPeak:\t   9 kB\nVmHWM:\t   25600 kB\nVmRSS:\t 17000 kB\n"),
            Some(25_600)
        );
        assert_eq!(most("Name:\tx\n"), None);
    }

    #[test]
    fn ring_pages_are_told_apart() {
        let smaps = "1000-2000 rw-p 00000000 00:00 0 [heap]\nSize: 8 kB\nRss:             100 kB\nVmFlags: rd wr\n\
                     3000-4000 rw-s 00000000 00:0e 10 anon_inode:bpf-map\nRss:               4 kB\n\
                     5000-6000 r-xp 00000000 00:00 0\nRss: 20 kB\n";
        let resident = sum(smaps);
        assert_eq!((resident.all, resident.ring), (124, 4));
    }
}
