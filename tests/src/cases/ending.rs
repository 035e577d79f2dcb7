//! How a trace ends when something is in its way, and what it leaves of the command and its status.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::TRACING;
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::syscall::terminal::Terminal;
use crate::tracer::Tracer;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::alone("ending::interrupted_with_a_stalled_reader", TRACING, || stalled(&[], Some(libc::SIGINT))),
    Case::alone("ending::terminated_with_a_stalled_reader", TRACING, || stalled(&[], Some(libc::SIGTERM))),
    Case::alone("ending::more_than_a_moment_s_records_left", TRACING, || {
        stalled(&["--ring-size", "64MiB"], Some(libc::SIGINT))
    }),
    Case::alone("ending::duration_with_a_stalled_reader", TRACING, || stalled(&["--duration", "10s"], None)),
    Case::new("ending::second_signal_with_a_slow_reader", TRACING, second_signal),
    Case::new("ending::closed_pipe_of_a_quiet_trace", TRACING, || abandoned(Stdio::piped(), None)),
    Case::new("ending::closed_socket_of_a_quiet_trace", TRACING, abandoned_socket),
    Case::new("ending::signal_at_any_moment_leaves_no_command", TRACING, early_signal),
    Case::new("ending::status_after_the_duration", TRACING, || status_later(&["--duration", "300ms"])),
    Case::new("ending::status_after_the_count", TRACING, || status_later(&["--count", "1"])),
    Case::new("ending::full_device_is_an_error", TRACING, full_device),
    Case::new("ending::full_device_and_a_command", TRACING, full_device_and_a_command),
    Case::new("ending::ignored_hang_up_stays_ignored", TRACING, ignored_hang_up),
    Case::new("ending::ignored_signals_stay_so_in_the_command", TRACING, ignored_in_command),
    Case::new("ending::a_terminal_s_interrupt_comes_once", TRACING, interrupt_by_terminal),
    Case::new("ending::an_interrupt_is_passed_on", TRACING, interrupt_passed_on),
];

/// Long before [`PATIENCE`], and long enough for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(20);

/// Lines and records of a flood that nobody reads until the tracer has ended: each is read then, or counted as lost.
fn stalled(options: &[&str], signal: Option<i32>) -> anyhow::Result<()> {
    const CALLS: u64 = 50_000;
    let trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", &CALLS.to_string()])?;
    let pid = trigger.pid().to_string();
    let options = [options, &["--pid", &pid, "--event", "mmap", "--min-bytes", "7000001"]].concat();
    let mut tracer = Tracer::new(&options)?.start_with(Stdio::piped())?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    trigger.run()?;
    if let Some(signal) = signal {
        tracer.signal(signal)?;
    }
    let status = tracer.wait(SOON)?;
    let errors = tracer.errors();
    ensure!(status.success(), "ended with {status}: {errors}");
    let mut text = String::new();
    tracer.take_output().context("a pipe")?.read_to_string(&mut text)?;
    ensure!(text.ends_with('\n'), "the output ends within a line: {:?}", text.lines().last());
    let read = text.lines().map(Line::parse).collect::<anyhow::Result<Vec<_>>>()?;
    let read = read.iter().filter(|line| line.name() == "mmap").count() as u64;
    let lost = |kind: &str| -> u64 {
        let line = errors.lines().find_map(|line| line.trim_start().strip_prefix(kind));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let (full, unread, unwritten) = (lost("ring_full "), lost("unread "), lost("unwritten "));
    ensure!(
        // Besides the calls that are shown, the end of the process is recorded.
        (CALLS..=CALLS + 1).contains(&(read + full + unread + unwritten)),
        "{read} read, {full} not recorded, {unread} not taken, {unwritten} not written of {CALLS}:\n{errors}"
    );
    ensure!(unwritten > 0, "nothing was left over: this test shows nothing");
    Ok(())
}

/// A reader that takes a line now and then keeps a tracer that was told to end; being told again, it ends.
fn second_signal() -> anyhow::Result<()> {
    let trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", "20000"])?;
    let pid = trigger.pid().to_string();
    let mut tracer = Tracer::new(&["--pid", &pid])?.start_with(Stdio::piped())?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    trigger.run()?;
    let mut output = tracer.take_output().context("a pipe")?;
    tracer.signal(libc::SIGINT)?;
    for _ in 0..40 {
        output.read_exact(&mut [0; 8192])?;
        sleep(Duration::from_millis(100));
    }
    let early = tracer.wait(Duration::ZERO);
    ensure!(early.is_err(), "it did not wait for a reader that reads: {early:?}");
    tracer.signal(libc::SIGINT)?;
    let status = tracer.wait(SOON)?;
    ensure!(status.success(), "ended with {status}: {}", tracer.errors());
    Ok(())
}

fn abandoned_socket() -> anyhow::Result<()> {
    let (reader, output) = UnixStream::pair()?;
    abandoned(OwnedFd::from(output).into(), Some(reader))
}

/// Nothing happens that would be written, and the other end of the output is closed.
fn abandoned(output: Stdio, reader: Option<UnixStream>) -> anyhow::Result<()> {
    // Of the whole host some loss would be told sooner or later, and a write fails.
    let idle = Trigger::ready(&["end"])?;
    let options = ["--pid", &idle.pid().to_string(), "--event", "oom_kill"];
    let mut tracer = Tracer::new(&options)?.start_with(output)?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    drop((reader, tracer.take_output()));
    let status = tracer.wait(SOON)?;
    let errors = tracer.errors();
    ensure!(status.success(), "ended with {status}: {errors}");
    ensure!(!errors.contains(" events in "), "not quiet: {errors}");
    Ok(())
}

/// A shell's test of a set of signals in its own status.
fn has_signals(set: &str, mask: u64) -> String {
    format!("$(( 0x$(sed -n 's/^{set}:[[:space:]]*//p' /proc/self/status) & {mask} )) -eq {mask}")
}

fn ignored_in_command() -> anyhow::Result<()> {
    for signal in [libc::SIGINT, libc::SIGPIPE, libc::SIGHUP] {
        let mask = 1 << (signal - 1);
        let is_ignored = has_signals("SigIgn", mask);
        let script = format!("test {is_ignored} && ! test {}", has_signals("SigBlk", mask));
        let words = ["sh", "-c", &script];
        let run = Tracer::new(&["--event", "exit"])?.ignoring(signal).command(words.map(OsStr::new))?;
        ensure!(run.status.success(), "signal {signal} is not ignored in the command: {}", run.errors);
        let script = format!("! test {is_ignored}");
        let words = ["sh", "-c", &script];
        let run = Tracer::new(&["--event", "exit"])?.command(words.map(OsStr::new))?;
        ensure!(run.status.success(), "signal {signal} is ignored in the command: {}", run.errors);
    }
    Ok(())
}

/// A command that says when it is ready and at each interrupt.
const COUNTS: &str = "trap 'echo interrupted >&2' INT; echo listening >&2; while :; do :; done";

fn interrupt_by_terminal() -> anyhow::Result<()> {
    let terminal = Terminal::open()?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["trace", "--output", "none", "--", "sh", "-c", COUNTS]);
    terminal.control(&mut command)?;
    let mut tracer = Running::start_with(&mut command, Stdio::null())?;
    tracer.wait_for_error_line("listening", PATIENCE)?;
    terminal.interrupt()?;
    tracer.wait_for_error_line("interrupted", PATIENCE)?;
    let again = tracer.wait_for_another_error_line("interrupted", Duration::from_secs(1));
    ensure!(again.is_err(), "one Ctrl-C interrupted the command twice");
    terminal.interrupt()?;
    let status = tracer.wait(SOON)?;
    ensure!(status.code() == Some(128 + libc::SIGKILL), "ended with {status}: {}", tracer.errors());
    Ok(())
}

fn interrupt_passed_on() -> anyhow::Result<()> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(["trace", "--output", "none", "--", "sh", "-c", COUNTS]).stdin(Stdio::null());
    let mut tracer = Running::start_with(&mut command, Stdio::null())?;
    tracer.wait_for_error_line("listening", PATIENCE)?;
    tracer.signal(libc::SIGINT)?;
    tracer.wait_for_error_line("interrupted", PATIENCE)?;
    sleep(Duration::from_secs(1));
    tracer.signal(libc::SIGINT)?;
    let status = tracer.wait(SOON)?;
    ensure!(status.code() == Some(128 + libc::SIGKILL), "ended with {status}: {}", tracer.errors());
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
