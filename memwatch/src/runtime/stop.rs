//! What ends the loop from outside: signals, and the end of the traced command.

use std::process::ExitStatus;

use anyhow::Context;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys;

/// Signals and the command.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    command: Option<Child>,
    status: Option<ExitStatus>,
    asked: u32,
}

impl Stop {
    /// Listens for SIGINT, SIGTERM and SIGHUP. To be called before a command is started: a signal in between would end
    /// this program and leave the command alone.
    ///
    /// # Errors
    /// When a signal cannot be listened for.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            command: None,
            status: None,
            asked: 0,
        })
    }

    /// Stops when this command has ended, too.
    pub fn with(&mut self, command: Option<Child>) {
        self.command = command;
    }

    /// Ends when it is time to stop. A signal goes to the command first and tracing goes on until it ends; a second
    /// signal kills the command.
    pub(super) async fn told(&mut self) {
        loop {
            let asked = tokio::select! {
                biased;
                status = ended(&mut self.command) => {
                    self.status = status;
                    self.command = None;
                    return;
                }
                asked = asked(&mut self.interrupt, &mut self.terminate, &mut self.hang_up) => asked,
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

    /// Whether the command still runs, as far as is known.
    #[must_use]
    pub const fn has_command(&self) -> bool {
        self.command.is_some()
    }

    /// Ends at the next signal.
    pub(super) async fn signalled(&mut self) {
        asked(&mut self.interrupt, &mut self.terminate, &mut self.hang_up).await;
    }

    /// Waits for the command, when it still runs: its status is passed on. Signals reach it as before.
    pub async fn wait_for_command(&mut self) -> Option<ExitStatus> {
        while self.command.is_some() {
            self.told().await;
        }
        self.status
    }
}

async fn asked(interrupt: &mut Signal, terminate: &mut Signal, hang_up: &mut Signal) -> libc::c_int {
    tokio::select! {
        _ = interrupt.recv() => libc::SIGINT,
        _ = terminate.recv() => libc::SIGTERM,
        _ = hang_up.recv() => libc::SIGHUP,
    }
}

async fn ended(command: &mut Option<Child>) -> Option<ExitStatus> {
    match command {
        Some(command) => command.wait().await.ok(),
        None => std::future::pending().await,
    }
}
