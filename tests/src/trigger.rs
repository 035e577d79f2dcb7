//! Drives `memwatch-trigger` apart from the tracer: started before it, told when to act.

use std::io::Write as _;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::scratch::Scratch;
use crate::syscall::process;
use crate::tracer::eventually;

/// A trigger that waits for the order to act.
pub struct Trigger {
    running: Running,
    input: Option<ChildStdin>,
    scratch: Scratch,
}

impl Trigger {
    /// Starts it; it does nothing yet.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ready(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::ready_as(arguments, |_| {})
    }

    /// The same with a limit of descriptors.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ready_with_descriptors(arguments: &[&str], number: u64) -> anyhow::Result<Self> {
        Self::ready_as(arguments, |command| process::limit_descriptors(command, number))
    }

    /// The same with changes to the command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ready_as(arguments: &[&str], change: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let mut command = Command::new(locate::trigger()?);
        command.args(arguments).args(["--on-stdin", "--hold"]).stdin(Stdio::piped());
        command.env("MEMWATCH_TRIGGER_REPORT", scratch.path().join("report"));
        change(&mut command);
        let mut running = Running::start(&mut command)?;
        let input = running.take_input();
        Ok(Self { running, input, scratch })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The id of its thread of this name: one that it was started with has it before it is told to act.
    ///
    /// # Errors
    /// It has none in time.
    pub fn thread(&self, name: &str) -> anyhow::Result<u32> {
        let folder = format!("/proc/{}/task", self.pid());
        let find = || {
            std::fs::read_dir(&folder).ok()?.flatten().find_map(|task| {
                let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
                if comm.trim_end() == name { task.file_name().to_str()?.parse().ok() } else { None }
            })
        };
        eventually(PATIENCE, "the trigger has its thread", || find().is_some())?;
        find().with_context(|| format!("the thread {name} is gone"))
    }

    /// Tells it to act; it stays alive afterwards.
    ///
    /// # Errors
    /// It is gone.
    pub fn act(&mut self) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the trigger was told to end")?;
        input.write_all(b"\n").and_then(|()| input.flush()).context("tell the trigger to act")
    }

    /// Tells it to act and waits until it has.
    ///
    /// # Errors
    /// It does not in time.
    pub fn act_and_hold(&mut self) -> anyhow::Result<()> {
        self.act()?;
        let report = self.scratch.path().join("report");
        eventually(PATIENCE, "the trigger has acted", || report.exists())
    }

    /// Lets it end and returns how it did, with what it reported.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn finish(mut self) -> anyhow::Result<(ExitStatus, Value)> {
        self.input = None;
        let status = self.running.wait(PATIENCE)?;
        let report = std::fs::read_to_string(self.scratch.path().join("report")).unwrap_or_default();
        Ok((status, serde_json::from_str(&report).unwrap_or_default()))
    }

    /// [`Trigger::act`] and [`Trigger::finish`] of a trigger that succeeds.
    ///
    /// # Errors
    /// It fails.
    pub fn run(mut self) -> anyhow::Result<Value> {
        self.act()?;
        let errors = |running: &mut Running| running.errors();
        self.input = None;
        let status = self.running.wait(PATIENCE)?;
        anyhow::ensure!(status.success(), "the trigger ended with {status}: {}", errors(&mut self.running));
        self.finish().map(|(_, report)| report)
    }
}
