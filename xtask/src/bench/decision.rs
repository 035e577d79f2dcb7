//! The policy engine: from a look at the host to a signal, among ten thousand processes.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    statistics::{Sample, verdict},
};
use crate::process;

/// Processes, and milliseconds for a decision.
const PROCESSES: u32 = 10_000;
const GOAL_MS: f64 = 5.0;
/// Decisions for each round of the task.
const DECISIONS_A_ROUND: usize = 20;

/// The two ways that lead to a signal, in the order in which they are told.
const WAYS: [&str; 2] =
    ["above the upper bound: one is killed", "between the bounds: the largest are asked to leave"];

/// Has the engine decide.
///
/// # Errors
/// The engine does not decide.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let times = bench.rounds * DECISIONS_A_ROUND;
    let mut table = Table::new(
        "Decision",
        &format!(
            "The engine alone, with {PROCESSES} processes in pools of 49 workers, each a candidate, under bounds of the host and of a \
             cgroup, limits of workers, of their sum and of single processes, growth and pressure: from a look at the host to \
             the signal, {times} times each. Allocations: counted by an allocator in place of the system's, the first four \
             decisions left out."
        ),
        &["", "median", "most", "goal", "", "allocations", "goal", ""],
    );
    let mut command = Command::new(&bench.load);
    command.args(["decide", &PROCESSES.to_string(), &times.to_string()]);
    let told = process::output(&mut command)?;
    for (way, line) in WAYS.into_iter().zip(told.lines()) {
        let mut numbers = line.split_whitespace().map(str::parse::<f64>);
        let allocations = numbers.next().and_then(Result::ok);
        let allocations = allocations.with_context(|| format!("memwatch-load told {line:?}"))?;
        let ms = Sample::new(numbers.collect::<Result<Vec<_>, _>>()?.into_iter().map(|ns| ns / 1e6));
        table.row(vec![
            way.into(),
            format!("{} ms", ms.spread(|ms| format!("{ms:.2}"))),
            format!("{:.2} ms", ms.quantile(1.0)),
            format!("<= {GOAL_MS} ms"),
            verdict(ms.median() <= GOAL_MS).into(),
            allocations.to_string(),
            "0".into(),
            verdict(allocations == 0.0).into(),
        ]);
    }
    Ok(table)
}
