//! What a system call, a mapping, a page fault and a process cost with memwatch attached, and with bpftrace.
//!
//! One process is measured throughout, on one processor. Each round has one block per arm (alone, memwatch, bpftrace, programs
//! that do nothing), in turning order, and a block short pieces of each operation. Two figures come of it. In pairs: each
//! block over the block without a tracer of the same round. In quiet: the lower tenth of all pieces of an arm over that of
//! those without a tracer. Neighbours on a shared machine only ever add time, for seconds on end, so the second is what a goal is
//! held against, and the first tells how far that can be trusted.
//!
//! Page faults cost more while another process has an fd table that can still be touched: memwatch sees each of them then. A
//! fifth arm has such a process, and is measured for them alone.

use std::{process::Stdio, thread, time::Duration};

use anyhow::{Result, bail};

use super::{
    Bench,
    bpftrace::{Bpftrace, Counting, FLOOR, HOOKS},
    journal::Table,
    load::Load,
    others,
    statistics::{Sample, change, verdict},
    tracer::{LANE, Tracer},
};
use crate::report;

/// What an operation may cost more.
enum Goal {
    /// Nanoseconds more than alone.
    Added(f64),
    /// Share of the time alone.
    Ratio(f64),
    /// None set.
    None,
}

/// An operation of the load, how long a block of it takes, and what it may cost.
struct Operation {
    name: &'static str,
    about: &'static str,
    milliseconds: u64,
    goal: Goal,
}

const OPERATIONS: [Operation; 8] = [
    Operation { name: "getpid", about: "getpid", milliseconds: 40, goal: Goal::Added(15.0) },
    Operation { name: "mmap", about: "mmap+munmap 64 KiB", milliseconds: 60, goal: Goal::Ratio(1.10) },
    Operation { name: FAULT, about: "first-touch fault", milliseconds: 80, goal: Goal::Ratio(1.03) },
    Operation {
        name: "exec",
        about: "fork+exec+exit of /bin/true",
        milliseconds: 400,
        goal: Goal::Ratio(1.03),
    },
    Operation {
        name: "exec-static",
        about: "fork+exec+exit of a static program",
        milliseconds: 300,
        goal: Goal::Ratio(1.03),
    },
    Operation { name: "close-closed", about: "close, not open", milliseconds: 40, goal: Goal::None },
    Operation { name: "dup-close", about: "dup+close", milliseconds: 40, goal: Goal::None },
    Operation {
        name: "prlimit",
        about: "prlimit64 (a record; bpftrace counts)",
        milliseconds: 40,
        goal: Goal::None,
    },
];

/// What is attached during a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Alone,
    Memwatch,
    Bpftrace,
    Floor,
    /// memwatch, while another process has an fd table.
    Standing,
}

impl Arm {
    /// Whether an operation is measured in it.
    fn has(self, operation: &Operation) -> bool {
        self != Self::Standing || operation.name == FAULT
    }
}

const ARMS: [Arm; 5] = [Arm::Alone, Arm::Memwatch, Arm::Bpftrace, Arm::Floor, Arm::Standing];

/// The operation that costs more while an fd table stands.
const FAULT: &str = "fault";

/// Nanoseconds of each operation in the pieces of one block.
type Block = [Vec<f64>; OPERATIONS.len()];

/// One round: a block per arm, in the order of [`ARMS`].
type Round = [Block; ARMS.len()];

/// Time of a piece of a block, in milliseconds.
const PIECE: u64 = 20;

/// Share of the pieces that are quicker than what is taken for quiet.
const QUIET: f64 = 0.1;

/// Time for what attaching or detaching left behind.
const SETTLE: Duration = Duration::from_millis(60);

/// How often a block is repeated while others trace on the machine.
const TRIES: usize = 3;

/// Measures every operation.
///
/// # Errors
/// A tracer or the load fails, or bpftrace cannot be had.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let bpftrace = Bpftrace::ensure()?;
    if others::are_tracing(&[]) {
        report::step("another tracer runs on this machine: end it, or what is measured alone is not alone");
    }
    let mut load = bench.load()?;
    let mut rounds = Vec::new();
    let mut disturbed = 0;
    for round in 0..bench.rounds {
        let mut blocks = Round::default();
        for turn in 0..ARMS.len() {
            let at = (turn + round) % ARMS.len();
            if let (Some(arm), Some(to)) = (ARMS.get(at), blocks.get_mut(at)) {
                let mut tries = 0;
                let mut alone = false;
                while !alone && tries < TRIES {
                    (*to, alone) = block(*arm, bench, &bpftrace, &mut load)?;
                    tries += 1;
                }
                disturbed += usize::from(!alone);
            }
        }
        rounds.push(blocks);
    }
    let mut table = Table::new(
        "What it costs",
        &format!(
            "{} rounds of one block alone, one with `memwatch trace --output none --attach {LANE}` on the whole host, \
             one with {} counting the same hooks per process, one with programs of its that do nothing, on the same system \
             calls (the floor: what the lane itself costs any tool), and for page faults one with memwatch while another process \
             has an fd table of which nothing is touched. Block: median over its pieces of {PIECE} ms, on one processor. \
             Change: each block over the block alone of its round, median and quartiles over the rounds. Quiet: the lower tenth \
             of all pieces over that of the pieces alone, which goals are held against. Blocks during which others traced \
             on the machine: {disturbed}.",
            bench.rounds,
            bpftrace.version()
        ),
        &["operation", "alone", "memwatch", "bpftrace", "floor", "goal", "", "no more than bpftrace"],
    );
    for (index, operation) in OPERATIONS.iter().enumerate() {
        table.row(row(operation, index, &rounds));
        if Arm::Standing.has(operation) {
            table.row(standing(operation, index, &rounds));
        }
    }
    Ok(table)
}

/// Measures one block; tells whether nobody else traced at its start or end.
fn block(arm: Arm, bench: &Bench, bpftrace: &Bpftrace, load: &mut Load) -> Result<(Block, bool)> {
    let (mut memwatch, mut other, mut holder) = (None, None, None);
    match arm {
        Arm::Alone => {}
        Arm::Memwatch => {
            let arguments = ["--output", "none", "--attach", LANE];
            memwatch = Some(Tracer::start(&bench.memwatch, &arguments, Stdio::null())?);
        }
        Arm::Standing => {
            // The table is as large as the limit of this machine makes it.
            let arguments = ["--output", "none", "--attach", LANE, "--min-table", "0"];
            memwatch = Some(Tracer::start(&bench.memwatch, &arguments, Stdio::null())?);
            holder.insert(bench.load()?).table()?;
        }
        Arm::Bpftrace => other = Some(bpftrace.start(HOOKS)?),
        Arm::Floor => other = Some(bpftrace.start(FLOOR)?),
    }
    let own: Vec<_> = memwatch.iter().map(Tracer::id).chain(other.iter().map(Counting::id)).collect();
    thread::sleep(SETTLE);
    let before = others::are_tracing(&own);
    let mut block = Block::default();
    for (operation, pieces) in OPERATIONS.iter().zip(&mut block).filter(|(operation, _)| arm.has(operation)) {
        for _ in 0..operation.milliseconds / PIECE {
            pieces.push(load.measure(operation.name, PIECE)?);
        }
    }
    let after = others::are_tracing(&own);
    if let Some(memwatch) = memwatch {
        let summary = memwatch.end()?;
        if holder.is_some() && summary.count("fd_table") == 0 {
            bail!("memwatch did not see the fd table that stood while page faults were measured");
        }
    }
    if let Some(other) = other {
        other.end()?;
    }
    Ok((block, !before && !after))
}

/// One operation's figures over the rounds.
struct Figures<'a> {
    rounds: &'a [Round],
    index: usize,
}

impl Figures<'_> {
    fn pieces(&self, arm: usize, round: &Round) -> Vec<f64> {
        round.get(arm).and_then(|block| block.get(self.index)).cloned().unwrap_or_default()
    }

    /// The median of an arm's block.
    fn of(&self, arm: usize, round: &Round) -> f64 {
        Sample::new(self.pieces(arm, round)).median()
    }

    fn quiet(&self, arm: usize) -> f64 {
        Sample::new(self.rounds.iter().flat_map(|round| self.pieces(arm, round))).quantile(QUIET)
    }

    fn alone(&self) -> String {
        let alone = Sample::new(self.rounds.iter().map(|round| self.of(0, round)));
        format!("{} ns; quiet {:.0} ns", alone.spread(|value| format!("{value:.0}")), self.quiet(0))
    }

    /// What an arm costs more, in pairs and in quiet.
    fn more(&self, arm: usize) -> String {
        let (of, rounds) = (|arm, round| self.of(arm, round), self.rounds);
        let ratio = Sample::new(rounds.iter().map(|round| of(arm, round) / of(0, round)));
        let added = Sample::new(rounds.iter().map(|round| of(arm, round) - of(0, round)));
        let in_pairs = added.spread(|value| format!("{value:+.0}"));
        let (quiet, alone) = (self.quiet(arm), self.quiet(0));
        let in_quiet = format!("{:+.0} ns, {}", quiet - alone, change(quiet / alone));
        format!("{in_pairs} ns, {}; quiet {in_quiet}", ratio.spread(change))
    }
}

fn row(operation: &Operation, index: usize, rounds: &[Round]) -> Vec<String> {
    let figures = Figures { rounds, index };
    let quiet = |arm| figures.quiet(arm);
    let (goal, reached) = match operation.goal {
        Goal::Added(limit) => {
            let figures = [quiet(1), quiet(3)].map(|figure| figure - quiet(0));
            (format!("<= {limit:+.0} ns"), verdict_with_floor(figures, limit))
        }
        Goal::Ratio(limit) => {
            let figures = [quiet(1), quiet(3)].map(|figure| figure / quiet(0));
            (format!("<= {}", change(limit)), verdict_with_floor(figures, limit))
        }
        Goal::None => (String::new(), String::new()),
    };
    let cheaper = Sample::new(rounds.iter().map(|round| figures.of(1, round) / figures.of(2, round)));
    vec![
        operation.about.to_owned(),
        figures.alone(),
        figures.more(1),
        figures.more(2),
        figures.more(3),
        goal,
        reached,
        format!(
            "{}; quiet {}, {}",
            cheaper.spread(change),
            change(quiet(1) / quiet(2)),
            verdict(quiet(1) <= quiet(2))
        ),
    ]
}

/// The same operation while an fd table stands, which has no goal of its own.
fn standing(operation: &Operation, index: usize, rounds: &[Round]) -> Vec<String> {
    let figures = Figures { rounds, index };
    let about = format!("{} while an fd table stands", operation.about);
    let empty = String::new;
    vec![about, figures.alone(), figures.more(4), empty(), empty(), empty(), empty(), empty()]
}

/// What is written of a goal that the lane itself may not reach.
fn verdict_with_floor([memwatch, floor]: [f64; 2], limit: f64) -> String {
    let is_below_floor = memwatch > limit && floor > limit;
    let floor = if is_below_floor { "; the floor is above it" } else { "" };
    format!("{}{floor}", verdict(memwatch <= limit))
}
