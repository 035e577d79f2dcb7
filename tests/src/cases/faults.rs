//! Page faults counted per thread: by the kernel's own figures, over ids used again and an exec by any thread.

use anyhow::ensure;

use super::{TRACING, traced};
use crate::case::Case;
use crate::need::Need;
use crate::tracer::Run;

pub(super) const CASES: &[Case] = &[
    Case::new("faults::of_threads_that_come_and_go", TRACING, threads),
    Case::new("faults::of_a_reused_id_begin_anew", &[Need::Root, Need::Tracing, Need::InitialPids], reused),
    Case::new("faults::of_an_exec_by_another_thread_count_once", TRACING, exec_in_thread),
    Case::new("faults::of_threads_that_end_together", TRACING, end_together),
    Case::new("faults::of_threads_that_are_ended_together", TRACING, ended_together),
    Case::new("faults::of_too_many_threads_are_told_as_lost", TRACING, too_many),
];

const PAGE: u64 = 4096;
/// Faults that a small program takes besides those asked for: loader, stacks, heap.
const OTHERS: u64 = 2_000;

fn minor(run: &Run, pid: u64) -> anyhow::Result<Vec<u64>> {
    run.of("exit").iter().filter(|line| line.pid() == pid).map(|line| line.number("minor_faults")).collect()
}

fn threads() -> anyhow::Result<()> {
    let run = traced(&[], &["threads", "--count", "200", "--bytes", "409600", "--touch", "409600"])?;
    let counted: u64 = minor(&run, run.pid()?)?.iter().sum();
    let touched = 200 * 409_600 / PAGE;
    // A new thread's stack takes faults of its own, at most a dozen.
    ensure!((touched..touched + 200 * 12 + OTHERS).contains(&counted), "{counted} faults, {touched} pages");
    Ok(())
}

fn reused() -> anyhow::Result<()> {
    let touch = (8_000 * PAGE).to_string();
    let run = traced(&[], &["reuse-pid", "--first", &touch, "--second", "4096", "--touch-first", &touch])?;
    let counted = minor(&run, run.reported("reused")?)?;
    let [first, second] = counted.as_slice() else { anyhow::bail!("not two lives: {counted:?}") };
    ensure!((8_000..8_000 + OTHERS).contains(first), "{first} faults of the first life, 8000 pages");
    ensure!(*second < OTHERS, "{second} faults of the second life, which touched nothing");
    Ok(())
}

fn exec_in_thread() -> anyhow::Result<()> {
    let (first, other) = ((6_000 * PAGE).to_string(), (9_000 * PAGE).to_string());
    let run = traced(&[], &["exec-in-thread", "--first", &first, "--other", &other])?;
    let counted = minor(&run, run.pid()?)?;
    let [counted] = counted.as_slice() else { anyhow::bail!("not one end: {counted:?}") };
    let kernel = run.reported("minor")?;
    ensure!(kernel >= 15_000, "the kernel itself counted {kernel} faults only");
    // After its count the program writes its report and ends.
    ensure!((kernel..kernel + 300).contains(counted), "{counted} faults, the kernel counted {kernel}");
    Ok(())
}

/// Threads that end at the same moment each find the process without threads: whichever speaks for it counts them all.
fn end_together() -> anyhow::Result<()> {
    are_counted(300, &["--processes", "300", "--bytes", "81920"])
}

/// The same of more threads than there are processors, ended by one of them.
fn ended_together() -> anyhow::Result<()> {
    are_counted(20, &["--processes", "20", "--threads", "60", "--bytes", "20480", "--at-once"])
}

fn are_counted(processes: usize, how: &[&str]) -> anyhow::Result<()> {
    let run = traced(&[], &[&["end-together"], how].concat())?;
    let own = run.pid()?;
    let ends: Vec<_> = run.of("exit").into_iter().filter(|line| line.pid() != own).collect();
    ensure!(ends.len() == processes, "{} ends of {processes}", ends.len());
    let counted: u64 = ends.iter().map(|line| line.number("minor_faults")).sum::<anyhow::Result<u64>>()?;
    let kernel = run.reported("minor")?;
    ensure!(run.lost("threads") == 0, "threads were left out: {counted} faults, the kernel counted {kernel}");
    ensure!(counted == kernel, "{counted} faults, the kernel counted {kernel}");
    Ok(())
}

/// More threads are left at the end than the kernel side looks at, as a tracer holds on to them.
fn too_many() -> anyhow::Result<()> {
    let run = traced(
        &[],
        &["end-together", "--processes", "1", "--threads", "300", "--bytes", "8192", "--linger"],
    )?;
    let own = run.pid()?;
    let end = run.one("exit", |line| line.pid() != own)?;
    let (counted, kernel) = (end.number("minor_faults")?, run.reported("minor")?);
    ensure!(run.lost("threads") == 1, "{} ends are told as lost", run.lost("threads"));
    ensure!(counted > 0 && counted <= kernel, "{counted} faults, the kernel counted {kernel}");
    Ok(())
}
