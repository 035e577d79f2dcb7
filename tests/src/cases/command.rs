//! `memwatch trace` as a command: what it runs, when it ends, what it says at the end.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::syscall::process;
use crate::tracer::Tracer;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("command::passes_exit_status", TRACING, exit_status),
    Case::new("command::passes_death_by_signal", TRACING, death_by_signal),
    Case::new("command::traces_from_first_instruction", TRACING, first_instruction),
    Case::new("command::has_the_limits_of_the_tracer_s_parent", TRACING, same_limits),
    Case::new("command::descendants_are_traced_when_it_has_ended", TRACING, descendants),
    Case::new("command::an_interrupt_ends_tracing_of_descendants", TRACING, descendants_interrupted),
    Case::new("command::duration_ends_tracing_of_descendants", TRACING, descendants_for_a_time),
    Case::new("command::no_such_program", TRACING, no_such_program),
    Case::new("command::count_ends_it", TRACING, count),
    Case::new("command::duration_ends_it", TRACING, duration),
    Case::new("command::interrupt_ends_with_summary", TRACING, interrupt),
    Case::new("command::closed_pipe_ends_quietly", TRACING, closed_pipe),
    Case::new("command::table_for_people", TRACING, table_output),
];

fn exit_status() -> anyhow::Result<()> {
    for code in [0, 1, 41, 255] {
        let run = Tracer::new(&[])?.trigger(&["end", "--code", &code.to_string()])?;
        ensure!(run.status.code() == Some(code), "{code} became {}; {}", run.status, run.errors);
    }
    Ok(())
}

fn death_by_signal() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.trigger(&["end", "--signal", "15"])?;
    // As a shell: 128 and the signal's number.
    ensure!(run.status.code() == Some(128 + 15), "death by SIGTERM became {}; {}", run.status, run.errors);
    Ok(())
}

fn first_instruction() -> anyhow::Result<()> {
    let run = traced(&["--min-bytes", "0"], &["map", "--bytes", "4096"])?;
    let pid = run.pid()?;
    let mut own = run.lines.iter().filter(|line| line.pid() == pid).map(crate::line::Line::name);
    let after_exec: Vec<&str> = own.by_ref().skip_while(|name| *name != "exec").take(2).collect();
    // The loader's first system call is brk(0), which moves nothing; its first mapping follows.
    ensure!(after_exec == ["exec", "mmap"], "the first lines of the command are {after_exec:?}");
    Ok(())
}

/// What the tracer raises for itself does not reach the command.
fn same_limits() -> anyhow::Result<()> {
    let script =
        "ulimit -S -l 48 && exec \"$0\" trace --output none -- /bin/sh -c 'test $(ulimit -S -l) = 48'";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(locate::memwatch()?).stdin(Stdio::null());
    let mut tracer = Running::start_with(&mut shell, Stdio::null())?;
    let status = tracer.wait(PATIENCE)?;
    ensure!(
        status.success(),
        "the command has another limit of locked memory: {status}; {}",
        tracer.errors()
    );
    Ok(())
}

/// What is said when the command of these tests has ended.
const ENDED: &str = "memwatch: the command has ended (exit status: 5); tracing goes on for ";

/// As a server does that goes into the background: a session of its own, and the parent ends. What comes after that is seen,
/// also of a grandchild whose parent has ended.
fn descendants() -> anyhow::Result<()> {
    let script = "setsid sh -c '(sleep 0.5; exec /bin/true) & sleep 0.2' >/dev/null 2>&1 & exit 5";
    let run = Tracer::new(&["--event", "exec,exit"])?.command(["sh", "-c", script].map(OsStr::new))?;
    ensure!(run.status.code() == Some(5), "ended with {}; {}", run.status, run.errors);
    let last = run.one("exec", |line| line.is("filename", "/bin/true"))?.pid();
    run.one("exit", |line| line.pid() == last)?;
    let told = run.errors.lines().filter(|line| line.starts_with(ENDED)).count();
    ensure!(told == 1, "told {told} times:\n{}", run.errors);
    Ok(())
}

/// A command that ends at once and leaves a process that nobody waits for. How the tracer is ended then is up to `end`.
fn with_one_left(options: &[&str], end: impl Fn(&Running) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let script = "sleep 60 >/dev/null 2>&1 & echo \"left:$!\" >&2; exit 5";
    let mut command = Command::new(locate::memwatch()?);
    command.args(["trace", "--output", "none"]).args(options).args(["--", "sh", "-c", script]);
    let mut tracer = Running::start_with(command.stdin(Stdio::null()), Stdio::null())?;
    tracer.wait_for_error_line(&format!("{ENDED}1 descendant; Ctrl-C ends it"), PATIENCE)?;
    let begun = Instant::now();
    end(&tracer)?;
    let status = tracer.wait(PATIENCE);
    let took = begun.elapsed();
    let errors = tracer.errors();
    let left = errors.lines().find_map(|line| line.strip_prefix("left:")?.parse().ok());
    // It was not signalled, and is there to be.
    process::signal(left.context("no pid was told")?, libc::SIGKILL).context("signal what was left")?;
    let status = status?;
    ensure!(status.code() == Some(5), "ended with {status}: {errors}");
    ensure!(took < Duration::from_secs(50), "it waited for what was left: {took:?}");
    Ok(())
}

fn descendants_interrupted() -> anyhow::Result<()> {
    with_one_left(&[], |tracer| tracer.signal(libc::SIGINT))?;
    with_one_left(&[], |tracer| tracer.signal(libc::SIGTERM))
}

fn descendants_for_a_time() -> anyhow::Result<()> {
    with_one_left(&["--duration", "3s"], |_| Ok(()))
}

fn no_such_program() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.command([OsStr::new("/no/such/program")])?;
    ensure!(run.status.code() == Some(127), "ended with {}", run.status);
    ensure!(run.errors.contains("/no/such/program"), "the error does not name it: {}", run.errors);
    Ok(())
}

fn count() -> anyhow::Result<()> {
    let mut trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", "50"])?;
    let pid = trigger.pid().to_string();
    let tracer = Tracer::new(&["--pid", &pid, "--count", "5", "--event", "mmap"])?.attach()?;
    trigger.act()?;
    let run = tracer.finish()?.succeeded()?;
    ensure!(run.of("mmap").len() == 5, "{} events after --count 5", run.of("mmap").len());
    trigger.finish().map(drop)
}

fn duration() -> anyhow::Result<()> {
    let start = Instant::now();
    let trigger = Trigger::ready(&["map", "--bytes", "4096"])?;
    let tracer = Tracer::new(&["--pid", &trigger.pid().to_string(), "--duration", "1500ms"])?.attach()?;
    tracer.finish()?.succeeded()?;
    let took = start.elapsed();
    ensure!((Duration::from_millis(1500)..Duration::from_secs(30)).contains(&took), "ended after {took:?}");
    Ok(())
}

fn interrupt() -> anyhow::Result<()> {
    let mut trigger = Trigger::ready(&["map", "--bytes", "7000001"])?;
    let pid = trigger.pid().to_string();
    let mut tracer = Tracer::new(&["--pid", &pid, "--min-bytes", "1048576"])?.attach()?;
    trigger.act()?;
    tracer.wait_for("mmap", |line| line.is("bytes", 7_000_001))?;
    let run = tracer.interrupt()?.succeeded()?;
    for word in ["event", "lost"] {
        ensure!(run.errors.contains(word), "no {word} in the summary:\n{}", run.errors);
    }
    run.none("lost", |_| true)
}

fn closed_pipe() -> anyhow::Result<()> {
    let mut trigger = Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", "5000"])?;
    let pid = trigger.pid().to_string();
    let tracer = Tracer::new(&["--pid", &pid])?.attach()?;
    let mut running = tracer.close_output();
    trigger.act()?;
    let status = running.wait(PATIENCE)?;
    let errors = running.errors();
    ensure!(status.success(), "ended with {status}: {errors}");
    ensure!(!errors.to_lowercase().contains("pipe") && !errors.contains("panic"), "not quiet: {errors}");
    Ok(())
}

fn table_output() -> anyhow::Result<()> {
    let mut tracer = Tracer::new(&["--output", "table", "--min-bytes", "1048576"])?
        .run_trigger(&["map", "--bytes", "7000001"])?;
    let lines = tracer.rest(PATIENCE)?;
    let status = tracer.wait(PATIENCE)?;
    ensure!(status.success(), "ended with {status}: {}", tracer.errors());
    ensure!(lines.iter().any(|line| line.contains("mmap")), "no mmap in the table:\n{}", lines.join("\n"));
    ensure!(lines.iter().all(|line| !line.starts_with('{')), "JSON in the table:\n{}", lines.join("\n"));
    Ok(())
}
