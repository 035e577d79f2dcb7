//! What ends the loop from outside: signals, and the end of the traced command.

use std::process::ExitStatus;

use anyhow::Context;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys;

/// Signals and the command.
#[derive(Debug)]
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    command: Option<Child>,
    status: Option<ExitStatus>,
    asked: u32,
}

impl Stop {
    /// Listens for SIGINT, SIGTERM and SIGHUP.
    pub(super) fn new(command: Option<Child>) -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            command,
            status: None,
            asked: 0,
        })
    }

    /// Ends when it is time to stop. A signal goes to the command first and tracing goes on until it ends; a second
    /// signal kills the command.
    pub(super) async fn told(&mut self) {
        loop {
            let asked = tokio::select! {
                biased;
                status = ended(&mut self.command) => {
                    self.status = status;
                    return;
                }
                _ = self.interrupt.recv() => libc::SIGINT,
                _ = self.terminate.recv() => libc::SIGTERM,
                _ = self.hang_up.recv() => libc::SIGHUP,
            };
            let Some(command) = &mut self.command else { return };
            self.asked += 1;
            if self.asked > 1 {
                // Not yet waited for, so the id is still the command's.
                let _ = command.start_kill();
            } else if let Some(pid) = command.id() {
                sys::signal_child(pid, asked);
            }
        }
    }

    /// Status of the command, when it ended.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.status
    }
}

async fn ended(command: &mut Option<Child>) -> Option<ExitStatus> {
    match command {
        Some(command) => command.wait().await.ok(),
        None => std::future::pending().await,
    }
}
