//! The kernel's descriptor table, and close sweeps.

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::line::Line;
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("descriptors::table_growth", TRACING, growth),
    Case::new("descriptors::growth_by_open", TRACING, growth_by_open),
    Case::new("descriptors::close_sweep", TRACING, sweep),
    Case::new("descriptors::close_sweep_downwards", TRACING, || is_swept("down")),
    Case::new("descriptors::close_sweep_ends_though_its_process_waits", TRACING, waits),
    Case::new("descriptors::close_sweep_before_an_exec", TRACING, before_an_exec),
    Case::new("descriptors::close_sweep_to_the_soft_limit", TRACING, to_the_soft_limit),
    Case::new("descriptors::close_sweep_past_open_ones", TRACING, || is_swept("interrupted")),
    Case::new("descriptors::closes_of_no_descriptor_are_no_sweep", TRACING, || is_no_sweep("negative")),
    Case::new("descriptors::closes_of_one_descriptor_are_no_sweep", TRACING, || is_no_sweep("same")),
    Case::new("descriptors::closes_done_twice_are_no_sweep", TRACING, || is_no_sweep("twice")),
    Case::new("descriptors::short_sweep_is_silent", TRACING, short_sweep),
    Case::new("descriptors::sweep_without_a_limit_read_is_silent", TRACING, unread_sweep),
];

pub(super) fn growth() -> anyhow::Result<()> {
    for by in ["dup2", "dup3", "fcntl"] {
        let tracer = Tracer::new(&[])?.descriptors(4567);
        let run = tracer.trigger(&["dup-high", "--fd", "4000", "--by", by])?.succeeded()?;
        let pid = run.pid()?;
        let line = run.one("fdtable_growth", |line| line.pid() == pid).with_context(|| by)?;
        // The kernel rounds up to a power of two of slots (fs/file.c, alloc_fdtable).
        line.expect(&[("new_slots", 4096.into()), ("bytes", (4096 * 8 + 4096 / 4 + 4096 / 512).into())])?;
        ensure!(line.number("old_slots")? < 4096, "the table was as large before {by}: {line}");
    }
    Ok(())
}

/// Calls that open have no hook, and the process ends before any sample is due.
fn growth_by_open() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&["open-many", "--count", "300"])?.succeeded()?;
    let pid = run.pid()?;
    let grown: Vec<_> = run.of("fdtable_growth").into_iter().filter(|line| line.pid() == pid).collect();
    // A sample may have come in between after all.
    let last = grown.last().context("no growth is told")?;
    // A pointer for each descriptor, two bits, and one of the bits that stand for 64 of them.
    last.expect(&[("new_slots", 512.into()), ("bytes", (4096 + 128 + 1).into())])?;
    ensure!(last.number("old_slots")? < 512, "the table was as large before: {last}");
    Ok(())
}

fn sweeps(run: &Run) -> anyhow::Result<Vec<&Line>> {
    let pid = run.pid()?;
    Ok(run.of("close_sweep").into_iter().filter(|line| line.pid() == pid).collect())
}

pub(super) fn sweep() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&["sweep", "--count", "5000"])?.succeeded()?;
    let lines = sweeps(&run)?;
    let phases: Vec<&str> = lines.iter().filter_map(|line| line.text("phase").ok()).collect();
    ensure!(phases == ["start", "progress", "progress", "end"], "phases {phases:?}");
    let counts: Vec<u64> = lines.iter().filter_map(|line| line.number("count").ok()).collect();
    ensure!(counts == [1024, 2048, 4096, 5000], "counts {counts:?}");
    for line in lines {
        line.expect(&[("limit", 4567.into())])?;
        let took = line.number("duration_ns")?;
        ensure!((1_000..10_000_000_000).contains(&took), "5000 closes took {took} ns");
    }
    Ok(())
}

/// What is closed hours later is no part of it, also when its numbers follow.
fn waits() -> anyhow::Result<()> {
    let trigger = ["sweep", "--count", "5000", "--pause", "3000"];
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&trigger)?.succeeded()?;
    let pid = run.pid()?;
    let ends: Vec<&Line> = sweeps(&run)?.into_iter().filter(|line| line.is("phase", "end")).collect();
    let [end] = ends[..] else { anyhow::bail!("{} ends of one sweep: {ends:?}", ends.len()) };
    end.expect(&[("count", 5000.into()), ("limit", 4567.into())])?;
    let took = end.number("duration_ns")?;
    ensure!((1_000..1_500_000_000).contains(&took), "5000 closes took {took} ns");
    let exit = run.one("exit", |line| line.pid() == pid)?;
    let left = exit.number("memwatch.boot_ns")?.saturating_sub(end.number("memwatch.boot_ns")?);
    ensure!(left > 100_000_000, "the end was told {left} ns before that of the process: {end}");
    Ok(())
}

/// An exec ends a sweep that was the last program's: its name is told, and passes the filter.
fn before_an_exec() -> anyhow::Result<()> {
    const NAME: &str = "memwatch-trigge";
    let tracer = Tracer::new(&["--event", "close_sweep,exec", "--comm", NAME])?.descriptors(4567);
    let run = tracer.trigger(&["sweep", "--count", "1500", "--exec"])?.succeeded()?;
    run.none("exec", |line| line.is("memwatch.process.comm", "exe"))?;
    let lines = run.of("close_sweep");
    let phases: Vec<&str> = lines.iter().filter_map(|line| line.text("phase").ok()).collect();
    ensure!(phases == ["start", "end"], "phases {phases:?}");
    for line in lines {
        line.expect(&[("thread.name", NAME.into()), ("memwatch.process.comm", NAME.into())])?;
    }
    Ok(())
}

/// The hard limit, which came along with the look-up, is not what it went by.
fn to_the_soft_limit() -> anyhow::Result<()> {
    for order in ["up", "down"] {
        let trigger = ["sweep", "--count", "3990", "--soft", "4096", "--order", order];
        let run = Tracer::new(&[])?.descriptors(20_000).trigger(&trigger)?.succeeded()?;
        let lines = sweeps(&run)?;
        ensure!(lines.len() == 3, "start, progress and end: {lines:?}");
        for line in lines {
            line.expect(&[("limit", 4096.into())])?;
        }
    }
    let trigger = ["sweep", "--count", "19900", "--soft", "4096"];
    let run = Tracer::new(&[])?.descriptors(20_000).trigger(&trigger)?.succeeded()?;
    let limits: Vec<u64> = sweeps(&run)?.iter().filter_map(|line| line.number("limit").ok()).collect();
    ensure!(limits == [4096, 4096, 20_000, 20_000, 20_000, 20_000], "limits {limits:?}");
    Ok(())
}

/// Runs a sweep of 1,500 in a given order.
fn in_order(order: &str) -> anyhow::Result<Run> {
    let trigger = ["sweep", "--count", "1500", "--order", order];
    Tracer::new(&[])?.descriptors(4567).trigger(&trigger)?.succeeded()
}

fn is_swept(order: &str) -> anyhow::Result<()> {
    let run = in_order(order)?;
    let counts: Vec<u64> = sweeps(&run)?.iter().filter_map(|line| line.number("count").ok()).collect();
    ensure!(counts == [1024, 1500], "counts {counts:?}");
    Ok(())
}

fn is_no_sweep(order: &str) -> anyhow::Result<()> {
    let run = in_order(order)?;
    ensure!(sweeps(&run)?.is_empty(), "1500 closes that go nowhere: {:?}", sweeps(&run)?);
    Ok(())
}

fn short_sweep() -> anyhow::Result<()> {
    let run = traced(&[], &["sweep", "--count", "1000"])?;
    ensure!(sweeps(&run)?.is_empty(), "1000 closes are a habit, not a sweep");
    Ok(())
}

fn unread_sweep() -> anyhow::Result<()> {
    let run = traced(&[], &["sweep", "--count", "5000", "--unread"])?;
    ensure!(sweeps(&run)?.is_empty(), "nothing was learned that the sweep could follow from");
    Ok(())
}
