//! What ends the loop from outside: signals, and the end of the traced command.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys;

/// How long a reader may take for what is left after a signal: one that reads at all needs a fraction of it.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Signals and the command.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where whoever started this program had it ignore hang-ups, as `nohup` does.
    hang_up: Option<Signal>,
    command: Option<Child>,
    status: Option<ExitStatus>,
    asked: u32,
    last_asked: Option<Instant>,
}

/// Signals this close together are one: timeout(1) signals its child and then the whole group.
const BURST: Duration = Duration::from_millis(500);

impl Stop {
    /// Listens for SIGINT, SIGTERM and, unless it is ignored, SIGHUP. To be called before a command is started: a signal in between would end
    /// this program and leave the command alone.
    ///
    /// # Errors
    /// When a signal cannot be listened for.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: if sys::is_ignored(libc::SIGHUP) { None } else { Some(listen(SignalKind::hangup())?) },
            command: None,
            status: None,
            asked: 0,
            last_asked: None,
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
                    if let Some(status) = status {
                        tracing::info!("the command ended with {status}");
                    }
                    self.status = status;
                    self.command = None;
                    return;
                }
                asked = asked(&mut self.interrupt, &mut self.terminate, &mut self.hang_up) => asked,
            };
            tracing::info!("got signal {asked}");
            let is_same = self.last_asked.is_some_and(|last| last.elapsed() < BURST);
            self.last_asked = Some(Instant::now());
            self.asked += u32::from(!is_same);
            let Some(command) = &mut self.command else { return };
            if is_same {
                continue;
            }
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

    /// Ends when what is left to write is to be given up: soon after the next signal, which may belong to the one before,
    /// and a while after an earlier one.
    pub(super) async fn impatient(&mut self) {
        let again = async {
            asked(&mut self.interrupt, &mut self.terminate, &mut self.hang_up).await;
            tokio::time::sleep(BURST).await;
        };
        if self.asked > 0 {
            let _ = tokio::time::timeout(LAST_WRITE, again).await;
        } else {
            again.await;
        }
    }

    /// Waits for the command, when it still runs: its status is passed on. Signals reach it as before.
    pub async fn wait_for_command(&mut self) -> Option<ExitStatus> {
        while self.command.is_some() {
            self.told().await;
        }
        self.status
    }
}

async fn asked(interrupt: &mut Signal, terminate: &mut Signal, hang_up: &mut Option<Signal>) -> libc::c_int {
    tokio::select! {
        _ = interrupt.recv() => libc::SIGINT,
        _ = terminate.recv() => libc::SIGTERM,
        () = hung_up(hang_up) => libc::SIGHUP,
    }
}

async fn hung_up(hang_up: &mut Option<Signal>) {
    match hang_up {
        Some(hang_up) => drop(hang_up.recv().await),
        None => std::future::pending().await,
    }
}

async fn ended(command: &mut Option<Child>) -> Option<ExitStatus> {
    match command {
        Some(command) => command.wait().await.ok(),
        None => std::future::pending().await,
    }
}
