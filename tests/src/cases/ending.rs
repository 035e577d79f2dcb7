//! How a trace ends when something is in its way, and what it leaves of the command and its status.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::TRACING;
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::tracer::Tracer;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("ending::interrupted_with_a_stalled_reader", TRACING, || stalled(libc::SIGINT)),
    Case::new("ending::terminated_with_a_stalled_reader", TRACING, || stalled(libc::SIGTERM)),
    Case::new("ending::signal_at_any_moment_leaves_no_command", TRACING, early_signal),
    Case::new("ending::status_after_the_duration", TRACING, || status_later(&["--duration", "300ms"])),
    Case::new("ending::status_after_the_count", TRACING, || status_later(&["--count", "1"])),
    Case::new("ending::full_device_is_an_error", TRACING, full_device),
    Case::new("ending::full_device_and_a_command", TRACING, full_device_and_a_command),
    Case::new("ending::ignored_hang_up_stays_ignored", TRACING, ignored_hang_up),
];

/// Long before [`PATIENCE`], and long enough for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(20);

fn stalled(signal: i32) -> anyhow::Result<()> {
    // Some 400 bytes a line: a pipe, the queue of buffers and the ring are full long before the last call.
    let trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", "100000"])?;
    let pid = trigger.pid().to_string();
    let mut tracer = Tracer::new(&["--pid", &pid])?.start_with(Stdio::piped())?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    trigger.run()?;
    tracer.signal(signal)?;
    let asked = Instant::now();
    let status = tracer.wait(SOON)?;
    let (took, errors) = (asked.elapsed(), tracer.errors());
    ensure!(status.success(), "ended with {status} after {took:?}: {errors}");
    ensure!(errors.contains("lost"), "the summary does not tell of losses: {errors}");
    Ok(())
}

fn early_signal() -> anyhow::Result<()> {
    for delay_ms in (0..600).step_by(60) {
        let mut tracer = Tracer::new(&[])?.run_held(&["--hold", "map", "--bytes", "4096"])?;
        sleep(Duration::from_millis(delay_ms));
        tracer.signal(libc::SIGTERM)?;
        tracer.wait(SOON)?;
        // The command has the same output, which ends when nobody holds it any more.
        let rest = tracer.rest(SOON);
        ensure!(
            rest.is_ok(),
            "a command outlives a tracer that was told to end after {delay_ms} ms: {rest:?}"
        );
    }
    Ok(())
}

fn status_later(ends: &[&str]) -> anyhow::Result<()> {
    let options = [ends, &["--event", "exec,exit"]].concat();
    let run = Tracer::new(&options)?.trigger(&["end", "--code", "41", "--after-ms", "1500"])?;
    ensure!(run.status.code() == Some(41), "ended with {}; {}", run.status, run.errors);
    run.none("exit", |_| true)
}

fn full_device() -> anyhow::Result<()> {
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    let mut trigger = Trigger::ready(&["map", "--bytes", "7000001", "--times", "10"])?;
    let pid = trigger.pid().to_string();
    let mut tracer: Running = Tracer::new(&["--pid", &pid])?.start_with(full.into())?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    trigger.act()?;
    let status = tracer.wait(SOON)?;
    let errors = tracer.errors();
    ensure!(status.code() == Some(1), "ended with {status}: {errors}");
    ensure!(errors.contains("standard output"), "the error does not say what failed: {errors}");
    trigger.finish().map(drop)
}

fn full_device_and_a_command() -> anyhow::Result<()> {
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["trace", "--output", "json", "--"]).arg(locate::trigger()?);
    command.args(["end", "--code", "41", "--after-ms", "300"]).stdin(Stdio::null());
    let mut tracer = Running::start_with(&mut command, full.into())?;
    let status = tracer.wait(SOON)?;
    let errors = tracer.errors();
    ensure!(status.code() == Some(41), "ended with {status}: {errors}");
    ensure!(errors.contains("standard output"), "the error does not say what failed: {errors}");
    Ok(())
}

fn ignored_hang_up() -> anyhow::Result<()> {
    let mut tracer = Tracer::new(&[])?.ignoring(libc::SIGHUP).start()?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    tracer.signal(libc::SIGHUP)?;
    let early = tracer.wait(Duration::from_secs(1));
    ensure!(early.is_err(), "a hang-up ended a tracer that was told to ignore it: {early:?}");
    tracer.signal(libc::SIGINT)?;
    let status = tracer.wait(SOON)?;
    ensure!(status.success(), "ended with {status}: {}", tracer.errors());
    Ok(())
}
