//! Manners: what is said where nothing was found, where an argument is wrong, and where something stays.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::table::{large_element, table};
use super::{TRACING, traced};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::need::Need;
use crate::syscall::process;
use crate::tracer::Tracer;

pub(super) const CASES: &[Case] = &[
    Case::new("manners::what_was_not_looked_for_is_not_denied", TRACING, not_looked_for),
    Case::new("manners::what_is_not_attached_is_named", TRACING, not_attached),
    Case::new("manners::lines_are_counted_as_written", TRACING, lines_counted),
    Case::new("manners::updates_are_short", TRACING, updates),
    Case::new("manners::wrong_arguments_meet_a_remedy", &[], wrong_arguments),
    Case::new("manners::commands_that_cannot_start", TRACING, cannot_start),
    Case::new("manners::a_guard_outlives_the_count", TRACING, guard_after_count),
    Case::new("manners::a_guard_outlives_the_reader", TRACING, guard_after_reader),
    Case::new("manners::a_burst_of_signals_is_one", TRACING, burst),
    Case::new("manners::a_summary_is_of_the_filter", TRACING, summary_of_filter),
    Case::new("manners::a_summary_names_who_has_ended", TRACING, summary_of_the_ended),
    Case::new("manners::log_tells_hooks_and_rules", TRACING, log),
    Case::new("manners::demo_without_a_finding_fails", TRACING, demo),
    Case::new("manners::doctor_lists_hooks_without_rights", &[Need::Root], doctor_without_rights),
    Case::new("manners::doctor_names_running_tracers", TRACING, doctor_names_tracers),
    Case::new("manners::completions_know_the_values", &[], completions),
];

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

fn summary_of_the_ended() -> anyhow::Result<()> {
    let run = traced(&["--event", "exit"], &["map", "--bytes", "50000001"])?;
    let pid = run.pid()?.to_string();
    let named = run.errors.lines().any(|line| line.split_whitespace().next() == Some(pid.as_str()));
    ensure!(named, "process {pid} is not named: {}", run.errors);
    Ok(())
}

/// What memwatch says when it is run to its end.
struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

fn say(arguments: &[&str], withhold: &'static [u32]) -> anyhow::Result<Said> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(arguments).stdin(Stdio::null());
    process::withhold_capabilities(&mut command, withhold);
    let mut running = Running::start(&mut command)?;
    let output = running.rest(PATIENCE)?.join("\n");
    let status = running.wait(PATIENCE)?;
    Ok(Said { code: status.code(), output, errors: running.errors() })
}

fn not_looked_for() -> anyhow::Result<()> {
    let run = traced(&["--event", "exit"], &["map", "--bytes", "4096"])?;
    ensure!(run.errors.contains("fd tables were not looked for"), "{}", run.errors);
    ensure!(!run.errors.contains("no fd table"), "{}", run.errors);
    let run =
        table(&[GUARD, &["--event", "action"]].concat(), &["--elements", &large_element().to_string()])?;
    run.one("action", |_| true)?;
    ensure!(!run.errors.contains("were not looked for"), "{}", run.errors);
    ensure!(run.errors.contains("only acted on"), "{}", run.errors);
    let run = traced(&["--min-table", "8MiB"], &["map", "--bytes", "4096"])?;
    ensure!(run.errors.contains("no fd table of 8.0 MiB or more found"), "{}", run.errors);
    Ok(())
}

fn not_attached() -> anyhow::Result<()> {
    let run = traced(&["--without", "prlimit64,mmap"], &["map", "--bytes", "4096"])?;
    ensure!(!run.errors.contains("nothing lost\n"), "{}", run.errors);
    ensure!(run.errors.contains("are not attached: fd tables may go unnoticed"), "{}", run.errors);
    Ok(())
}

fn lines_counted() -> anyhow::Result<()> {
    let run = table(&["--min-table", "0"], &["--elements", "8"])?.succeeded()?;
    let lines = run.lines.iter().filter(|line| line.name() != "lost").count();
    ensure!(run.errors.contains(&format!("\n{lines} events in ")), "{lines} lines, but:\n{}", run.errors);
    let counted = run.errors.lines().find(|line| line.trim_start().starts_with("fd_table "));
    let findings = run.of("fd_table").len().to_string();
    ensure!(
        counted.is_some_and(|line| line.ends_with(&format!(" {findings}"))),
        "{findings} findings, but {counted:?}"
    );
    Ok(())
}

fn updates() -> anyhow::Result<()> {
    let element = large_element().to_string();
    let run = ["table", "--elements", &element, "--touch", "4194304"];
    let mut running = Tracer::new(&["--output", "table", "--min-table", "0"])?
        .descriptors(crate::limit::table())
        .run_trigger(&run)?;
    let lines = running.rest(PATIENCE)?;
    let status = running.wait(PATIENCE)?;
    ensure!(status.success(), "ended with {status}: {}", running.errors());
    let count = |word: &str| lines.iter().filter(|line| line.starts_with(&format!("    {word} "))).count();
    let headlines =
        lines.iter().filter(|line| line.contains(" fd_table ") && line.contains("confidence")).count();
    ensure!(headlines >= 2, "no update:\n{}", lines.join("\n"));
    ensure!(count("advice") == 1 && count("limit") == 1, "told more than once:\n{}", lines.join("\n"));
    Ok(())
}

fn wrong_arguments() -> anyhow::Result<()> {
    for (arguments, said) in [
        (&["--pid", "x"][..], "is not a process id"),
        (&["--uid", "root"], "id -u NAME"),
        (&["--count", "0"], "whole number from 1 on"),
        (&["--ring-size", "3MiB"], "power of two"),
        (&["--comm", "a-name-that-is-too-long"], "the kernel keeps 15 bytes"),
        (&["--rss-limit", "0"], "0 is no bound"),
        (&["--act", "refuse", "--act-signal", "SIGTREM", "--", "true"], "'SIGTERM'"),
        (&["--act-signal", "SIGTERM", "--", "true"], "--act <ACT>"),
        (&["--act-min", "1MiB", "--", "true"], "--act <ACT>"),
        (&["--act", "refuse"], "COMMAND"),
        (&["--act", "refuse", "--cgroup", "/a"], "add --comm NAME"),
        (&["--act", "signal-mapped", "--cgroup", "/a", "--comm", "uwsgi*"], "add --comm NAME"),
        (&["--act", "signal-mapped", "--cgroup", "/a", "--comm", "a", "--comm", "b"], "add --comm NAME"),
        (&["--act-confidence", "low", "--", "true"], "--act <ACT>"),
        (&["--event", "fd_tables"], "'fd_table'"),
        (&["--event", "mmap,rss"], "--rss-limit SIZE"),
        (&["--event", "action"], "--act ACT"),
        (&["ls"], "write '-- ls'"),
        (&["--"], "no command after `--`"),
        (&["--comm", "a-name-*that-is-too-long"], "the kernel keeps 15 bytes"),
        (&["--duration", "0"], "would end before it begins"),
        (&["--duration", "-1s"], "is not a duration"),
        (&["--duration", "1M"], "minutes or months"),
        (&["--duration", "11years"], "longer than ten years"),
        (&["--count", "-1"], "whole number from 1 on"),
        (&["--pid", "-1"], "is not a process id"),
        (&["--uid", "-1"], "id -u NAME"),
        (&["--min-bytes", "-5"], "is not a size"),
        (&["--act-min", "-5", "--act", "refuse", "--", "true"], "is not a size"),
    ] {
        let said_of = say(&[&["trace"], arguments].concat(), &[])?;
        ensure!(said_of.code == Some(2), "{arguments:?} ended with {:?}: {}", said_of.code, said_of.errors);
        ensure!(said_of.errors.contains(said), "{arguments:?}: no {said:?} in:\n{}", said_of.errors);
        ensure!(!said_of.errors.contains("as a value, use"), "{arguments:?}: {}", said_of.errors);
    }
    Ok(())
}

fn cannot_start() -> anyhow::Result<()> {
    for (program, code) in [
        ("no-such-program-anywhere", 127),
        ("/no/such/file", 127),
        ("/proc/self/status", 126),
        ("/proc", 126),
    ] {
        let run = Tracer::new(&[])?.command([OsStr::new(program)])?;
        ensure!(run.status.code() == Some(code), "{program} ended with {}: {}", run.status, run.errors);
        ensure!(run.errors.contains(program) && run.errors.contains("; check "), "{}", run.errors);
    }
    Ok(())
}

/// A table that is asked for when tracing has long ended.
fn late_table() -> [String; 5] {
    let element = large_element().to_string();
    ["table".to_owned(), "--elements".to_owned(), element, "--delay-ms".to_owned(), "2000".to_owned()]
}

const GUARD: &[&str] = &["--min-table", "0", "--act", "signal-mapped", "--act-confidence", "low"];

fn guard_after_count() -> anyhow::Result<()> {
    let [_, arguments @ ..] = late_table();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = table(&[GUARD, &["--count", "1"]].concat(), &arguments)?;
    ensure!(run.lines.len() == 1, "{} lines after --count 1", run.lines.len());
    ensure!(run.status.code() == Some(128 + libc::SIGKILL), "ended with {}; {}", run.status, run.errors);
    ensure!(run.errors.contains("the rule of --act stays until the command ends"), "{}", run.errors);
    Ok(())
}

fn guard_after_reader() -> anyhow::Result<()> {
    let arguments = late_table();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let limit = crate::limit::table();
    let mut running = Tracer::new(GUARD)?.descriptors(limit).run_trigger(&arguments)?;
    running.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    running.close_output();
    let status = running.wait(PATIENCE)?;
    ensure!(status.code() == Some(128 + libc::SIGKILL), "ended with {status}; {}", running.errors());
    Ok(())
}

/// As timeout(1) ends what it started: its child, then the whole group, which the child is in.
fn burst() -> anyhow::Result<()> {
    let script = "trap 'sleep 1; exit 7' TERM; echo it listens >&2; while :; do sleep 0.1; done";
    let mut command = Command::new(locate::memwatch()?);
    command.args(["trace", "--output", "json", "--", "sh", "-c", script]).stdin(Stdio::null());
    let mut running = Running::start(&mut command)?;
    running.wait_for_error_line("it listens", PATIENCE)?;
    for _ in 0..2 {
        running.signal(libc::SIGTERM)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = running.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(7),
        "the command had no time to end by itself: {status}; {}",
        running.errors()
    );
    Ok(())
}

fn summary_of_filter() -> anyhow::Result<()> {
    let run = Tracer::new(&["--uid", "54321", "--duration", "1s"])?.attach()?.finish()?.succeeded()?;
    ensure!(!run.errors.contains("by memory asked for"), "others are in the summary:\n{}", run.errors);
    Ok(())
}

fn log() -> anyhow::Result<()> {
    let run = traced(&["-v", "--act", "signal-mapped"], &["map", "--bytes", "4096"])?;
    for word in
        ["hook mmap is attached by ", "rule 1 acts on fd tables of 64.0 MiB", "the command ended with"]
    {
        ensure!(run.errors.contains(word), "no {word:?} in:\n{}", run.errors);
    }
    let lines = traced(&["-vv"], &["map", "--bytes", "4096"])?.errors.lines().count();
    ensure!(lines < 150, "{lines} lines of -vv for one mapping");
    Ok(())
}

/// Without CAP_SYS_ADMIN system calls are seen where tracefs is mounted or trampolines are taken, and nowhere else.
fn demo() -> anyhow::Result<()> {
    let said = say(&["demo"], &[CAP_SYS_ADMIN])?;
    let has_finding = said.output.contains("one slot per descriptor");
    ensure!(has_finding == (said.code == Some(0)), "{:?}:\n{}\n{}", said.code, said.output, said.errors);
    ensure!(has_finding || said.errors.contains("memwatch doctor"), "{}", said.errors);
    Ok(())
}

fn doctor_without_rights() -> anyhow::Result<()> {
    let said = say(&["doctor", "--output", "table"], &[CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF])?;
    ensure!(said.code == Some(1), "ended with {:?}: {}", said.code, said.output);
    for word in
        ["tracing is not possible", "CAP_BPF to load", "\nmmap ", "lost: mapped bytes are not counted"]
    {
        ensure!(said.output.contains(word), "no {word:?} in:\n{}", said.output);
    }
    Ok(())
}

fn doctor_names_tracers() -> anyhow::Result<()> {
    let tracer = Tracer::new(&["--event", "oom_kill"])?.attach()?;
    let said = say(&["doctor", "--output", "json"], &[])?;
    let report: serde_json::Value = serde_json::from_str(&said.output).context("the doctor's JSON")?;
    let running =
        report.get("running").and_then(|running| running.as_array()).context("no list of programs")?;
    let pid = u64::from(tracer.pid());
    ensure!(
        running.iter().any(|program| program.get("pid").and_then(serde_json::Value::as_u64) == Some(pid)),
        "process {pid} is not among {running:?}"
    );
    tracer.interrupt()?.succeeded().map(drop)
}

fn completions() -> anyhow::Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let said = say(&["completions", shell], &[])?;
        ensure!(said.code == Some(0), "{shell}: {:?} {}", said.code, said.errors);
        for word in ["close_sweep", "signal-mapped", "SIGTERM", "raw-tracepoint"] {
            ensure!(said.output.contains(word), "{shell} does not complete {word}");
        }
    }
    Ok(())
}
