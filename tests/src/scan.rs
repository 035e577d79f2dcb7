//! Drives `memwatch scan`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;

/// What a scan said.
pub struct Scan {
    /// Its exit status.
    pub code: i32,
    /// Its lines, in order.
    pub lines: Vec<Line>,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Scan {
    /// Runs `memwatch scan` with these options and JSON lines.
    ///
    /// # Errors
    /// It does not end in time, or a line is not what a line must be.
    pub fn run(options: &[&str]) -> anyhow::Result<Self> {
        Self::run_as(&locate::memwatch()?, options, |_| {})
    }

    /// The same by a copy of the program, with changes to the command.
    ///
    /// # Errors
    /// As [`Scan::run`].
    pub fn run_as(
        program: &Path,
        options: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["scan", "--output", "json"]).args(options).stdin(Stdio::null());
        change(&mut command);
        let mut running = Running::start(&mut command)?;
        let lines = running.rest(PATIENCE)?.iter().map(|line| Line::parse(line)).collect::<Result<_, _>>()?;
        let code = running.wait(PATIENCE)?.code().context("the scan was killed")?;
        Ok(Self { code, lines, errors: running.errors() })
    }

    /// The line about a process.
    ///
    /// # Errors
    /// There is none, or there are two.
    pub fn of(&self, pid: u64) -> anyhow::Result<&Line> {
        let mut lines = self.lines.iter().filter(|line| line.pid() == pid);
        let line = lines.next().with_context(|| {
            let all: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
            format!("no line of process {pid} ({}) in\n{}", self.errors.trim(), all.join("\n"))
        })?;
        anyhow::ensure!(lines.next().is_none(), "process {pid} has more than one line");
        Ok(line)
    }
}
