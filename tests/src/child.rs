//! A child process in bounded time: its lines as they come, its end by a deadline, its death with its owner.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long anything may take on a slow, emulated machine before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A child with its output read by threads, so that neither side ever blocks the other.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    errors_seen: String,
}

impl Running {
    /// Starts a command with its output and errors taken.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut running = Self::start_with(command, Stdio::piped())?;
        running.lines = read_lines(running.child.stdout.take().context("the child has no output")?);
        Ok(running)
    }

    /// The same with another place for its output. A pipe stays open and unread: writing to it blocks once it is full.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(command: &mut Command, output: Stdio) -> anyhow::Result<Self> {
        // Errors are compared and shown: they are to be the message only.
        command.env_remove("RUST_BACKTRACE").stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let errors = read_lines(child.stderr.take().context("the child has no errors")?);
        let (_, lines) = mpsc::channel();
        Ok(Self { child, lines, errors, errors_seen: String::new() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once, when it was started with one.
    pub fn take_input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Its output, once, when it was started with a pipe that nobody reads.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The next line of its output.
    ///
    /// # Errors
    /// None came in this time, or the output ended.
    pub fn next_line(&mut self, within: Duration) -> anyhow::Result<String> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("no line came within {within:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.wait(Duration::from_secs(5));
                bail!("the output ended ({status:?}); errors:\n{}", self.errors())
            }
        }
    }

    /// Lines that came already or come until the output ends.
    ///
    /// # Errors
    /// The output does not end in time.
    pub fn rest(&mut self, within: Duration) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + within;
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(lines),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the output did not end within {within:?}; last line: {:?}", lines.last())
                }
            }
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It was waited for already.
    pub fn signal(&self, signal: i32) -> anyhow::Result<()> {
        crate::syscall::process::signal(self.child.id(), signal).context("signal the child")
    }

    /// Closes the reading end of its output, as `| head -1` does.
    pub fn close_output(&mut self) {
        let (_, nothing) = mpsc::channel();
        self.lines = nothing;
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the child")? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the child did not end within {within:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for a line on standard error that contains this text.
    ///
    /// # Errors
    /// None comes in time; the message shows those that came.
    pub fn wait_for_error_line(&mut self, text: &str, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !self.errors_seen.contains(text) {
            match self.errors.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.keep_error(&line),
                Err(reason) => bail!("no line with {text:?} came ({reason}); errors:\n{}", self.errors_seen),
            }
        }
        Ok(())
    }

    /// The same for a line that has not come yet.
    ///
    /// # Errors
    /// None comes in time.
    pub fn wait_for_another_error_line(&mut self, text: &str, within: Duration) -> anyhow::Result<()> {
        self.errors_seen.clear();
        self.wait_for_error_line(text, within)
    }

    /// What it wrote to standard error; waits for the end of it, for a while.
    pub fn errors(&mut self) -> String {
        while let Ok(line) = self.errors.recv_timeout(Duration::from_secs(5)) {
            self.keep_error(&line);
        }
        self.errors_seen.clone()
    }

    /// Whether a line with this text is among those that were waited through.
    #[must_use]
    pub fn has_said(&self, text: &str) -> bool {
        self.errors_seen.contains(text)
    }

    fn keep_error(&mut self, line: &str) {
        self.errors_seen.push_str(line);
        self.errors_seen.push('\n');
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // Bytes that are no UTF-8 stay visible as such and fail the JSON parser.
            if sender.send(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}
