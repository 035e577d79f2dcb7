//! Records per second into the daemon: the highest rate without loss, and whether losses are counted exactly.

use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    statistics::verdict,
    tracer::{LANE, Tracer},
};

/// Length of each flood.
const SECONDS: f64 = 5.0;

/// Events per second to be had without loss.
const GOAL: f64 = 1e6;

/// A ring that cannot hold what is sent.
const SMALL_RING: &str = "64KiB";

/// Looks for the highest rate: each halves what is not known.
const STEPS: u32 = 6;

/// One flood, as both ends saw it.
struct Flood {
    sent: u64,
    received: u64,
    lost: u64,
    seconds: f64,
}

impl Flood {
    fn rate(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    fn is_exact(&self) -> bool {
        self.sent == self.received + self.lost
    }

    fn row(&self, what: &str, goal: &str, reached: &str) -> Vec<String> {
        vec![
            what.to_owned(),
            format!("{:.0}", self.sent as f64 / self.seconds),
            format!("{:.0}", self.rate()),
            self.sent.to_string(),
            self.received.to_string(),
            self.lost.to_string(),
            verdict(self.is_exact()).replace("reached", "exact"),
            goal.to_owned(),
            reached.to_owned(),
        ]
    }
}

/// Measures the rates.
///
/// # Errors
/// The tracer or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "Records into the daemon",
        &format!(
            "Reads of a limit for {SECONDS} s each, by processes that count their calls; `memwatch trace --event rlimit_read` \
             of these processes, ring of the default size. Exact: sent = received + lost. Lane: {LANE}."
        ),
        &["flood", "sent/s", "received/s", "sent", "received", "lost", "sent = received + lost", "goal", ""],
    );
    let one = flood(bench, "none", 1, 0, &[])?;
    let two = flood(bench, "none", 2, 0, &[])?;
    let goal = format!(">= {GOAL:.0}/s without loss");
    table.row(one.row("one process, full speed", "", ""));
    table.row(two.row("two processes, full speed", "", ""));
    match highest_without_loss(bench, &one, &two)? {
        Best::OfTheSenders(rate) => table.row(vec![
            "highest rate without loss: bound by the senders".into(),
            String::new(),
            format!("{rate:.0}"),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            goal,
            verdict(rate >= GOAL).into(),
        ]),
        Best::Found(best) => {
            table.row(best.row("highest rate without loss", &goal, verdict(best.rate() >= GOAL)));
        }
    }
    let overflowing = flood(bench, "none", 2, 0, &["--ring-size", SMALL_RING])?;
    let exact = verdict(overflowing.is_exact() && overflowing.lost > 0);
    table.row(overflowing.row(
        &format!("two processes, a ring of {SMALL_RING}"),
        "losses, counted exactly",
        exact,
    ));
    table.row(flood(bench, "json", 1, 0, &[])?.row("one process, JSON lines to /dev/null", "", ""));
    Ok(table)
}

/// The highest rate without loss.
enum Best {
    /// More was not sent.
    OfTheSenders(f64),
    Found(Flood),
}

/// Halves the range of rates between none and what was sent with a loss.
fn highest_without_loss(bench: &Bench, one: &Flood, two: &Flood) -> Result<Best> {
    if one.lost == 0 && two.lost == 0 {
        return Ok(Best::OfTheSenders(one.rate().max(two.rate())));
    }
    let (processes, full) = if one.lost > 0 { (1, one) } else { (2, two) };
    let (mut low, mut high) = (0.0, full.sent as f64 / full.seconds);
    let mut best = None;
    for _ in 0..STEPS {
        let rate = f64::midpoint(low, high);
        let tried = flood(bench, "none", processes, rate as u64, &[])?;
        if tried.lost == 0 {
            low = rate;
            best = Some(tried);
        } else {
            high = rate;
        }
    }
    best.map(Best::Found).context("every rate that was tried lost records: is the machine overloaded?")
}

fn flood(bench: &Bench, output: &str, processes: u32, rate: u64, more: &[&str]) -> Result<Flood> {
    let mut load = bench.load()?;
    let root = load.id().to_string();
    let arguments = ["--output", output, "--attach", LANE, "--event", "rlimit_read", "--tree", &root];
    let arguments = [&arguments, more].concat();
    let tracer = Tracer::start(&bench.memwatch, &arguments, Stdio::null())?;
    let flooded = load.flood(processes, SECONDS, rate)?;
    let summary = tracer.end()?;
    Ok(Flood {
        sent: flooded.calls,
        received: summary.count("rlimit_read"),
        lost: summary.count("ring_full"),
        seconds: flooded.seconds,
    })
}
