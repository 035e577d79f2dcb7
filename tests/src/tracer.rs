//! Drives `memwatch trace`: on a command of its own, or attached while a test acts.

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::scratch::Scratch;
use crate::syscall::process;

thread_local! {
    static FORCED_WAYS: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs a test with every tracer that its thread starts asked for these ways to attach.
///
/// # Errors
/// What the test says.
pub fn with_ways(ways: &'static str, test: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    FORCED_WAYS.set(Some(ways));
    let result = test();
    FORCED_WAYS.set(None);
    result
}

/// A tracer to be started.
pub struct Tracer {
    command: Command,
    scratch: Scratch,
}

/// What a tracer said from start to end.
pub struct Run {
    /// How it ended; for a traced command the command's own status, passed on.
    pub status: ExitStatus,
    /// Its lines, in order.
    pub lines: Vec<Line>,
    /// What it wrote to standard error.
    pub errors: String,
    /// What the trigger reported; null when there was none.
    pub report: Value,
}

/// A tracer that is attached.
pub struct Attached {
    running: Running,
    lines: Vec<Line>,
}

impl Tracer {
    /// `memwatch trace` with these options, and JSON lines unless they say otherwise.
    ///
    /// # Errors
    /// The program is not found.
    pub fn new(options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(locate::memwatch()?);
        command.arg("trace").args(options).stdin(Stdio::null());
        if !options.contains(&"--output") {
            command.args(["--output", "json"]);
        }
        if let Some(ways) = FORCED_WAYS.get() {
            command.args(["--attach", ways]);
        }
        let scratch = Scratch::new()?;
        command.env("MEMWATCH_TRIGGER_REPORT", scratch.path().join("report"));
        Ok(Self { command, scratch })
    }

    /// The tracer, and what it starts, may have this many descriptors, and knows no other number.
    #[must_use]
    pub fn descriptors(mut self, number: u64) -> Self {
        process::limit_descriptors(&mut self.command, number);
        self
    }

    /// The tracer lacks these capabilities.
    #[must_use]
    pub fn without(mut self, capabilities: &'static [u32]) -> Self {
        process::withhold_capabilities(&mut self.command, capabilities);
        self
    }

    /// The tracer finds these folders empty.
    #[must_use]
    pub fn hiding(mut self, folders: &'static [&'static CStr]) -> Self {
        process::hide(&mut self.command, folders);
        self
    }

    /// The tracer starts with this signal ignored, as `nohup` has it.
    #[must_use]
    pub fn ignoring(mut self, signal: i32) -> Self {
        process::ignore(&mut self.command, signal);
        self
    }

    /// Runs the trigger under the tracer until both end.
    ///
    /// # Errors
    /// It does not end in time, or a line is not what a line must be.
    pub fn trigger(self, arguments: &[&str]) -> anyhow::Result<Run> {
        let trigger = locate::trigger()?;
        self.command(std::iter::once(trigger.as_os_str()).chain(arguments.iter().map(OsStr::new)))
    }

    /// Starts the trigger under the tracer and leaves its output, of whatever form, to the caller.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_trigger(mut self, arguments: &[&str]) -> anyhow::Result<Running> {
        self.command.arg("--").arg(locate::trigger()?).args(arguments).env_remove("MEMWATCH_TRIGGER_REPORT");
        self.start()
    }

    /// Runs a command under the tracer until both end.
    ///
    /// # Errors
    /// It does not end in time, or a line is not what a line must be.
    pub fn command<'a>(mut self, command: impl IntoIterator<Item = &'a OsStr>) -> anyhow::Result<Run> {
        self.command.arg("--").args(command);
        let mut running = Running::start(&mut self.command)?;
        let lines = parse(running.rest(PATIENCE * 2)?)?;
        let status = running.wait(PATIENCE)?;
        let report = std::fs::read_to_string(self.scratch.path().join("report")).unwrap_or_default();
        let report = serde_json::from_str(&report).unwrap_or_default();
        Ok(Run { status, lines, errors: running.errors(), report })
    }

    /// Starts the tracer and waits until it is attached.
    ///
    /// # Errors
    /// It ends or says nothing of that in time.
    pub fn attach(mut self) -> anyhow::Result<Attached> {
        let mut running = Running::start(&mut self.command)?;
        running.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
        Ok(Attached { running, lines: Vec::new() })
    }

    /// Starts the tracer with another place for its output; a pipe that nobody reads among them.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(mut self, output: Stdio) -> anyhow::Result<Running> {
        Running::start_with(&mut self.command, output)
    }

    /// Starts the trigger under the tracer with an input that stays open as long as the caller keeps it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_held(mut self, arguments: &[&str]) -> anyhow::Result<Running> {
        self.command.stdin(Stdio::piped());
        self.run_trigger(arguments)
    }

    /// Starts the tracer without expecting anything of it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut self) -> anyhow::Result<Running> {
        Running::start(&mut self.command)
    }
}

impl Attached {
    /// The tracer's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Lines seen so far.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Waits for a line of this name that fits; lines before it are kept.
    ///
    /// # Errors
    /// None comes in time.
    pub fn wait_for(&mut self, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<Line> {
        if let Some(line) = self.lines.iter().find(|line| line.name() == name && fits(line)) {
            return Ok(line.clone());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let text = self.running.next_line(left).with_context(|| format!("wait for a line {name}"))?;
            let line = Line::parse(&text)?;
            self.lines.push(line.clone());
            if line.name() == name && fits(&line) {
                return Ok(line);
            }
        }
    }

    /// Ends it as Ctrl-C does and returns all it said.
    ///
    /// # Errors
    /// It does not end in time, or a line is not what a line must be.
    pub fn interrupt(self) -> anyhow::Result<Run> {
        self.end(libc::SIGINT)
    }

    /// Kills it without a chance to clean up.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn kill(self) -> anyhow::Result<Run> {
        self.end(libc::SIGKILL)
    }

    /// Stops reading its output.
    #[must_use]
    pub fn close_output(mut self) -> Running {
        self.running.close_output();
        self.running
    }

    /// Waits until it ends by itself and returns all it said.
    ///
    /// # Errors
    /// It does not end in time, or a line is not what a line must be.
    pub fn finish(mut self) -> anyhow::Result<Run> {
        self.lines.extend(parse(self.running.rest(PATIENCE)?)?);
        let status = self.running.wait(PATIENCE)?;
        Ok(Run { status, lines: self.lines, errors: self.running.errors(), report: Value::Null })
    }

    fn end(self, signal: i32) -> anyhow::Result<Run> {
        self.running.signal(signal)?;
        self.finish()
    }
}

impl Run {
    /// Fails unless the status is success.
    ///
    /// # Errors
    /// Shows the status and the errors written.
    pub fn succeeded(self) -> anyhow::Result<Self> {
        ensure!(self.status.success(), "ended with {}; errors:\n{}", self.status, self.errors);
        Ok(self)
    }

    /// A whole number that the trigger reported.
    ///
    /// # Errors
    /// It did not.
    pub fn reported(&self, key: &str) -> anyhow::Result<u64> {
        match self.report.get(key).and_then(Value::as_u64) {
            Some(number) => Ok(number),
            None => bail!("the trigger reported no {key}: {}; errors:\n{}", self.report, self.errors),
        }
    }

    /// The process id that the trigger reported.
    ///
    /// # Errors
    /// It did not.
    pub fn pid(&self) -> anyhow::Result<u64> {
        self.reported("pid")
    }

    /// The one line of a name that fits.
    ///
    /// # Errors
    /// See [`crate::line::one`].
    pub fn one(&self, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<&Line> {
        crate::line::one(&self.lines, name, fits)
            .with_context(|| format!("{} lines in all; errors:\n{}", self.lines.len(), self.errors))
    }

    /// The first line of a name that fits.
    ///
    /// # Errors
    /// None does; the message shows the lines of that name.
    pub fn first(&self, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<&Line> {
        crate::line::first(&self.lines, name, fits)
            .with_context(|| format!("{} lines in all; errors:\n{}", self.lines.len(), self.errors))
    }

    /// No line of a name fits.
    ///
    /// # Errors
    /// See [`crate::line::none`].
    pub fn none(&self, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<()> {
        crate::line::none(&self.lines, name, fits)
    }

    /// How much of a kind was lost, by the lines that tell of it.
    #[must_use]
    pub fn lost(&self, kind: &str) -> u64 {
        self.of("lost")
            .iter()
            .filter(|line| line.is("kind", kind))
            .filter_map(|line| line.number("count").ok())
            .sum()
    }

    /// The lines of a name.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<&Line> {
        self.lines.iter().filter(|line| line.name() == name).collect()
    }
}

fn parse(lines: Vec<String>) -> anyhow::Result<Vec<Line>> {
    lines.iter().map(|line| Line::parse(line)).collect()
}

/// Polls until a condition holds.
///
/// # Errors
/// It does not in this time; the message is `what`.
pub fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    while !holds() {
        ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
