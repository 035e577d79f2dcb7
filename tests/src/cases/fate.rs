//! Tables that are given back, cut, moved or grown: the sums follow.

use anyhow::ensure;

use super::TRACING;
use super::table::{large_element, length, table};
use crate::case::Case;
use crate::need::Need;
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("fate::freed_table_counts_no_longer", TRACING, || is_left("free")),
    Case::new("fate::tail_stays", TRACING, || is_left("free-head")),
    Case::new("fate::head_stays", TRACING, || is_left("free-tail")),
    Case::new("fate::both_ends_stay", TRACING, || is_left("free-middle")),
    Case::new("fate::moved_table_stays", TRACING, || is_left("move")),
    Case::new("fate::moved_table_is_followed", TRACING, || is_left("move-and-free")),
    Case::new("fate::replaced_table_counts_no_longer", TRACING, || is_left("replace")),
    Case::new("fate::overlaid_table_counts_no_longer", TRACING, || is_left("overlay")),
    Case::new("fate::tables_beyond_those_followed_are_given_back", TRACING, || is_left("crowd")),
    Case::new("fate::pages_given_up_are_not_resident", TRACING, given_up),
    Case::new("fate::shrunk_table_stays_in_part", TRACING, || is_left("shrink")),
    Case::new("fate::realloc_keeps_what_was_touched", TRACING, realloc),
    Case::new("fate::what_is_left_is_reported_as_it_was_asked_for", TRACING, reported_in_part),
    Case::new("fate::others_stay_when_one_is_freed", TRACING, one_of_two),
    Case::new(
        "fate::freed_heap_counts_no_longer",
        &[Need::Root, Need::Tracing, Need::Descriptors(1 << 20)],
        heap,
    ),
];

/// A number of the process's exit record.
fn at_exit(run: &Run, key: &str) -> anyhow::Result<u64> {
    let pid = run.pid()?;
    run.one("exit", |line| line.pid() == pid)?.number(key)
}

/// What the tracer counts at the end is what is left.
fn is_left(fate: &str) -> anyhow::Result<()> {
    let run = table(&["--min-table", "0"], &["--then", fate])?.succeeded()?;
    let (counted, left) = (at_exit(&run, "fd_table_bytes")?, run.reported("left")?);
    ensure!(counted == left, "{counted} bytes of tables at exit, {left} are left after {fate}");
    Ok(())
}

/// A program that uses a little of its table at a time never has much of it.
fn given_up() -> anyhow::Result<()> {
    let element = large_element().to_string();
    let run = table(&["--min-table", "0"], &["--elements", &element, "--then", "reset"])?.succeeded()?;
    let touched = at_exit(&run, "fd_table_touched_bytes")?;
    // One mebibyte, what else the trigger has, and what the counters of other processors may hide.
    ensure!(touched <= 8 << 20, "{touched} bytes touched at exit, 1 MiB was resident at any time");
    Ok(())
}

fn realloc() -> anyhow::Result<()> {
    const TOUCH: u64 = 4 << 20;
    let element = large_element() / 2;
    let (element, touch) = (element.to_string(), TOUCH.to_string());
    let trigger = ["--elements", &element, "--touch", &touch, "--then", "double"];
    let run = table(&["--min-table", "0"], &trigger)?.succeeded()?;
    let total = at_exit(&run, "fd_table_bytes")?;
    ensure!(total == length(large_element()), "{total} bytes of tables after growing one");
    let touched = at_exit(&run, "fd_table_touched_bytes")?;
    ensure!(touched.abs_diff(TOUCH) <= 1 << 20, "{touched} bytes touched at exit, {TOUCH} were");
    Ok(())
}

/// Part of a table goes, or it moves: what is touched of it later is reported with the length that was asked for.
fn reported_in_part() -> anyhow::Result<()> {
    let element = large_element().to_string();
    for fate in ["free-tail", "free-head", "free-middle", "replace-tail", "move", "shrink"] {
        let trigger = ["--elements", &element, "--then", fate, "--touch-after", "4194304"];
        let rule = ["--min-table", "0", "--act", "signal-touched", "--act-touched", "1TiB"];
        let run = table(&rule, &trigger)?.succeeded()?;
        let pid = run.pid()?;
        let lines: Vec<_> = run.of("fd_table").into_iter().filter(|line| line.pid() == pid).collect();
        ensure!(lines.len() > 1, "what was touched after {fate} was not reported");
        for line in lines {
            line.expect(&[("bytes", length(large_element()).into())])?;
        }
    }
    Ok(())
}

fn one_of_two() -> anyhow::Result<()> {
    let run = table(&["--min-table", "0"], &["--elements", "56,664", "--then", "free"])?.succeeded()?;
    let total = at_exit(&run, "fd_table_bytes")?;
    ensure!(total == length(664), "{total} bytes of tables at exit, {} are left", length(664));
    Ok(())
}

fn heap() -> anyhow::Result<()> {
    let trigger = ["table", "--call", "brk", "--then", "lower-break"];
    let run = Tracer::new(&["--min-table", "0"])?.descriptors(1_000_003).trigger(&trigger)?.succeeded()?;
    ensure!(at_exit(&run, "fd_table_bytes")? == 0, "the heap was given back: {:?}", run.of("exit"));
    Ok(())
}
