//! How far use is above a bound when it is decided what is done about it: memwatch beside others, deciding and never acting.

mod tool;

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};

use self::tool::{Bound, TOOLS, Tool, Watching};
use super::{
    Bench,
    journal::Table,
    load::{Hog, Load},
    statistics::{Sample, verdict},
};
use crate::report;

pub(super) const MIB: u64 = 1 << 20;
/// What the hog may take until the bound, and what it takes and holds.
const BOUND: u64 = 1024 * MIB;
const ALL: u64 = 3072 * MIB;
/// After this a tool that was started watches.
const SETTLE: Duration = Duration::from_secs(2);
/// From the hog's start to its first page, spread over the rounds so that it meets no tool's interval in step.
const WAIT_MS: u64 = 200;
const SPREAD_MS: u64 = 130;
/// memwatch's overshoot as a share of that of each other tool.
const GOAL: f64 = 0.2;

/// Where the table is published.
const PAGE: &str = "docs/overshoot.md";
const TITLE: &str = "# Overshoot\n\nHow much memory is in use above the bound by the time that a tool decides to act, and how \
                     long that takes. A tool that looks once in a while decides late by what is taken between two looks.\n\n";

/// What came of one hog.
struct Decision {
    /// Bytes above the bound when it was made.
    above: f64,
    /// Milliseconds from the crossing.
    after_ms: f64,
    /// Whether the hog had all by then: it would have been more.
    is_late: bool,
}

/// All decisions of one tool.
struct Outcome {
    name: String,
    decisions: Vec<Decision>,
    /// Why there are none.
    reason: String,
}

/// Lets every tool watch hogs, in turns.
///
/// # Errors
/// A peer's package cannot be had, or memwatch or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let tools = TOOLS.iter().map(|tool| (tool.prepare)(bench)).collect::<Result<Vec<_>>>()?;
    let mut load = bench.load()?;
    let mut speed = Vec::new();
    let mut outcomes: Vec<Outcome> = tools
        .iter()
        .map(|tool| Outcome { name: tool.name.clone(), decisions: Vec::new(), reason: String::new() })
        .collect();
    for round in 0..bench.rounds {
        for (tool, outcome) in tools.iter().zip(&mut outcomes) {
            if round >= tool.rounds || !outcome.reason.is_empty() {
                continue;
            }
            match decision(tool, &mut load, round as u64, &mut speed)? {
                Ok(decision) => outcome.decisions.push(decision),
                Err(reason) => {
                    report::step(&format!("{}: {reason}", tool.name));
                    outcome.reason = reason;
                }
            }
        }
    }
    Ok(table(&outcomes, &Sample::new(speed)).published(PAGE, TITLE))
}

/// One tool and one hog; the reason when the tool decides nothing.
fn decision(
    tool: &Tool,
    load: &mut Load,
    round: u64,
    speed: &mut Vec<f64>,
) -> Result<Result<Decision, String>> {
    let before = Memory::read()?;
    let bound = Bound {
        total: before.total,
        available: before.available.saturating_sub(BOUND),
        of_process: BOUND,
        parent: load.id(),
    };
    let watching = Watching::start(tool, &bound)?;
    thread::sleep(SETTLE);
    let hog = load.hog(ALL, WAIT_MS + round * 37 % SPREAD_MS)?;
    speed.extend(hog.speed());
    let told = watching.told(tool.patience);
    load.rest()?;
    let course = if tool.is_of_process { Course::of_process(&hog) } else { Course::of_host(&hog, &bound) };
    let Some(crossed_ns) = course.crossed_ns() else {
        return Ok(Err("the bound was never reached".into()));
    };
    Ok(told.map(|told_ns| Decision {
        above: course.above(told_ns),
        after_ms: (told_ns as f64 - crossed_ns as f64) / 1e6,
        is_late: hog.times.last().is_none_or(|last| told_ns > *last),
    }))
}

/// Bytes above the bound, negative below it, over the boot clock.
struct Course(Vec<(u64, f64)>);

impl Course {
    fn of_process(hog: &Hog) -> Self {
        let touched = (1..).zip(&hog.times);
        Self(touched.map(|(mib, time)| (*time, (hog.before + mib * MIB) as f64 - BOUND as f64)).collect())
    }

    fn of_host(hog: &Hog, bound: &Bound) -> Self {
        let looks = hog.looks.iter();
        Self(looks.map(|(time, available)| (*time, bound.available as f64 - *available as f64)).collect())
    }

    fn crossed_ns(&self) -> Option<u64> {
        self.0.iter().find(|(_, above)| *above >= 0.0).map(|(time, _)| *time)
    }

    fn above(&self, time_ns: u64) -> f64 {
        self.0.iter().rfind(|(time, _)| *time <= time_ns).map_or(0.0, |(_, above)| *above)
    }
}

fn table(outcomes: &[Outcome], speed: &Sample) -> Table {
    let mut table = Table::new(
        "Overshoot of decisions",
        &format!(
            "A process touches {} MiB, page after page of 4 KiB, at {} GB/s, and holds them. Each tool is given the same bound in turn, {} \
             MiB below what was available before, and only says what it would do (memwatch `mode = \"observe\"`, earlyoom and \
             systemd-oomd `--dryrun`); psutil stands for the loop of a known incident, which looks at a worker's RSS every 45 s. \
             In use above the bound when the tool's line arrived: by MemAvailable, read every millisecond; for psutil, by the pages \
             that the process counted. Median and quartiles, and the most.",
            ALL / MIB,
            speed.spread(|speed| format!("{:.1}", speed / 1e9)),
            BOUND / MIB
        ),
        &[
            "tool",
            "decisions",
            "in use above the bound",
            "most",
            "bound to decision",
            "memwatch's share",
            "goal",
            "",
        ],
    );
    // Where memwatch's own figure is a lower bound no share is known.
    let own = outcomes.first().filter(|own| !own.decisions.is_empty() && !own.is_late());
    let own = own.map(|own| own.above().median());
    for (place, outcome) in outcomes.iter().enumerate() {
        if outcome.decisions.is_empty() {
            table.row(vec![outcome.name.clone(), format!("none: {}", outcome.reason)]);
            continue;
        }
        let late = outcome.is_late();
        let at_least = if late { ">= " } else { "" };
        let mebibytes = |bytes: f64| format!("{:.1}", bytes / MIB as f64);
        let above = outcome.above();
        let after = Sample::new(outcome.decisions.iter().map(|decision| decision.after_ms));
        let mut row = vec![
            outcome.name.clone(),
            outcome.decisions.len().to_string(),
            format!("{at_least}{} MiB", above.spread(mebibytes)),
            format!("{at_least}{} MiB", mebibytes(above.quantile(1.0))),
            format!("{} ms", after.spread(|ms| format!("{ms:.1}"))),
        ];
        if let Some(own) = own.filter(|_| place > 0) {
            row.extend(share(own, above.median(), late));
        }
        table.row(row);
    }
    table
}

/// memwatch's share of another's overshoot, the goal, and whether it is reached. Of one that is known to be at least so much the share
/// is at most that.
pub(super) fn share(own: f64, other: f64, is_at_least: bool) -> [String; 3] {
    let share = own.max(0.0) / other.max(1.0);
    let at_most = if is_at_least { "<= " } else { "" };
    let told = if is_at_least && share > GOAL { "not known" } else { verdict(share <= GOAL) };
    [format!("{at_most}{share:.3}"), format!("<= {GOAL}"), told.to_owned()]
}

impl Outcome {
    /// Whether a hog had all before the tool decided.
    fn is_late(&self) -> bool {
        self.decisions.iter().any(|decision| decision.is_late)
    }

    fn above(&self) -> Sample {
        Sample::new(self.decisions.iter().map(|decision| decision.above))
    }
}

/// Memory of the host, in bytes.
struct Memory {
    total: u64,
    available: u64,
}

impl Memory {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("/proc/meminfo has no {name}"))
        };
        Ok(Self { total: bytes("MemTotal:")?, available: bytes("MemAvailable:")? })
    }
}
