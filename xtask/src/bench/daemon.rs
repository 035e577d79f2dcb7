//! `memwatch daemon`, started and ended around what is measured.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// What it says once it has taken in what runs.
const AT_WORK: &str = "processes known";

/// A daemon at work; killed when dropped.
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it with a policy and waits until it is at work. Nobody reads what it decides.
    ///
    /// # Errors
    /// It ends instead; its own message is part of the error.
    pub(super) fn start(memwatch: &Path, policy: &str) -> Result<Self> {
        let mut child = command(memwatch, policy)?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start memwatch")?;
        let mut messages = BufReader::new(child.stderr.take().context("memwatch has no messages")?);
        let daemon = Self(child);
        let mut said = String::new();
        while !said.contains(AT_WORK) {
            if messages.read_line(&mut said).context("cannot read memwatch's messages")? == 0 {
                bail!("memwatch daemon ended before it was at work: {}", said.trim_end());
            }
        }
        // Nobody else may let the pipe run full.
        thread::spawn(move || std::io::copy(&mut messages, &mut std::io::sink()));
        Ok(daemon)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It leaves nothing behind, however it ends.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command that keeps a policy, which is written below the target folder.
///
/// # Errors
/// It cannot be written.
pub(super) fn command(memwatch: &Path, policy: &str) -> Result<Command> {
    let path = workspace::target()?.join("bench-policy.toml");
    fs::write(&path, policy).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = Command::new(memwatch);
    command.args(["daemon", "--output", "json", "--config"]).arg(path).stdin(Stdio::null());
    Ok(command)
}
