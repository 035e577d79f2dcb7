//! `memwatch trace`, started and ended around what is measured.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// The ways every kernel has, whatever its configuration: the lane the goals are set for.
pub(super) const LANE: &str = "tracepoint,raw-tracepoint,perf-event";

/// What it says once it is attached.
const ATTACHED: &str = "memwatch: tracing with ";

/// A tracer that is attached; killed when dropped.
pub(super) struct Tracer {
    child: Child,
    messages: BufReader<ChildStderr>,
    /// From its start to being attached.
    pub(super) took: Duration,
}

impl Tracer {
    /// Starts `memwatch trace` with these arguments and waits until it is attached.
    ///
    /// # Errors
    /// It ends instead; its own message is part of the error.
    pub(super) fn start(memwatch: &Path, arguments: &[&str], output: Stdio) -> Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(memwatch)
            .arg("trace")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start memwatch")?;
        let mut messages = BufReader::new(child.stderr.take().context("memwatch has no messages")?);
        let mut said = String::new();
        loop {
            let before = said.len();
            if messages.read_line(&mut said).context("cannot read memwatch's messages")? == 0 {
                bail!("memwatch trace ended before it was attached: {}", said.trim_end());
            }
            if said.get(before..).is_some_and(|line| line.starts_with(ATTACHED)) {
                return Ok(Self { child, messages, took: started.elapsed() });
            }
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it writes, when its output is a pipe; to be taken once.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Ends it as Ctrl-C does and gives its summary.
    ///
    /// # Errors
    /// It fails; its own message is part of the error.
    pub(super) fn end(mut self) -> Result<Summary> {
        interrupt(&self.child)?;
        let mut text = String::new();
        for line in self.messages.by_ref().lines() {
            text.push_str(&line.context("cannot read memwatch's summary")?);
            text.push('\n');
        }
        let status = self.child.wait().context("cannot wait for memwatch")?;
        if !status.success() {
            bail!("memwatch trace failed ({status}): {}", text.trim_end());
        }
        Ok(Summary(text))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // After `end` there is nothing left to kill, which is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGINT to a child that has not been waited for, so that the id is still its own.
pub(super) fn interrupt(child: &Child) -> Result<()> {
    process::run(Command::new("sh").args(["-c", "kill -INT \"$1\"", "sh"]).arg(child.id().to_string()))
}

/// What memwatch said at its end.
pub(super) struct Summary(String);

impl Summary {
    /// The number that stands with a name, of an event or a loss; 0 where the name does not occur.
    pub(super) fn count(&self, name: &str) -> u64 {
        let mut lines = self.0.lines().map(|line| line.split_whitespace());
        let words = lines.find(|words| words.clone().any(|word| word == name));
        words.and_then(|mut words| words.find_map(|word| word.parse().ok())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn counts_stand_beside_their_names() {
        let summary = Summary("events\n  rlimit_read  1200\nlost\n  ring_full     7\n".into());
        assert_eq!(summary.count("rlimit_read"), 1200);
        assert_eq!(summary.count("ring_full"), 7);
        assert_eq!(summary.count("mmap"), 0);
    }
}
