//! What ends the loop from outside: signals, and the end of the traced command and of all that descend from it.

use std::io::Write;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::time::{Interval, MissedTickBehavior};

use crate::core::quantity::Counted;
use crate::probe::marks::Marks;
use crate::sys;
use crate::sys::signals::{Signals, Told};

/// Signals and the command.
#[derive(Debug)]
pub struct Stop {
    signals: AsyncFd<Signals>,
    /// Whether whoever started this program had it ignore SIGINT, as a shell does for what it starts with `&`.
    ignores_interrupt: bool,
    command: Option<Child>,
    descendants: Option<Descendants>,
    status: Option<ExitStatus>,
    asked: u32,
    last_asked: Option<Instant>,
}

/// Signals this close together are one: timeout(1) signals its child and then the whole group.
const BURST: Duration = Duration::from_millis(500);

/// Pause between looks at who still descends from a command that has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Those who descend from the command: processes that the kernel side has marked, all in the tree of the command.
#[derive(Debug)]
struct Descendants {
    marks: Marks,
    looks: Interval,
}

impl Descendants {
    fn of(marks: Marks) -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { marks, looks }
    }

    /// How many live; none, when that cannot be told.
    fn living(&self) -> usize {
        self.marks.count().unwrap_or_else(|error| {
            tracing::warn!("cannot tell whether descendants of the command live: {error}");
            0
        })
    }
}

impl Stop {
    /// Listens for SIGINT, SIGTERM and, unless it is ignored, SIGHUP. To be called before a command is started: a signal in
    /// between would end this program and leave the command alone. And before threads are: they must not take signals.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn listen() -> anyhow::Result<Self> {
        let mut heard = vec![libc::SIGINT, libc::SIGTERM];
        if !sys::is_ignored(libc::SIGHUP) {
            heard.push(libc::SIGHUP);
        }
        let signals = Signals::listen(&heard).context("cannot listen for signals")?;
        #[expect(unsafe_code, reason = "the reactor asks for a promise about the descriptor")]
        // SAFETY: the signals own the descriptor, keep it open as long as they live, and never exchange it.
        let signals = unsafe { AsyncFd::register(signals) }.context("cannot wait for signals")?;
        Ok(Self {
            signals,
            ignores_interrupt: sys::is_ignored(libc::SIGINT),
            command: None,
            descendants: None,
            status: None,
            asked: 0,
            last_asked: None,
        })
    }

    /// Has a command start with the signals as whoever started this program left them.
    pub fn leave_as_found(&self, command: &mut Command) {
        self.signals.get_ref().leave_as_found(command);
    }

    /// Stops when this command has ended, too, and with it all that have its marks: a server that goes into the background is
    /// traced on. Without marks nobody is known to descend from it.
    pub fn with(&mut self, command: Option<Child>, marks: Option<Marks>) {
        self.command = command;
        self.descendants = marks.filter(|_| self.command.is_some()).map(Descendants::of);
    }

    /// Ends when it is time to stop. A signal goes to the command first and tracing goes on until it ends; a second
    /// signal kills the command. Once it has ended, a signal is for this program alone.
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
                    if !self.goes_on() {
                        return;
                    }
                    continue;
                }
                () = all_ended(&mut self.descendants), if self.command.is_none() => return,
                asked = asked(&self.signals, self.ignores_interrupt) => asked,
            };
            self.heed(asked);
            if self.command.is_none() {
                return;
            }
        }
    }

    /// Whether tracing goes on without the command, for its descendants; says so. Not when it ended at a signal: the end was
    /// asked for.
    fn goes_on(&self) -> bool {
        let living = self.descendants.as_ref().map_or(0, Descendants::living);
        if self.asked > 0 || living == 0 {
            return false;
        }
        let how = self.status.map(|status| format!(" ({status})")).unwrap_or_default();
        // Nobody to tell is no reason to fail.
        let _ = writeln!(
            std::io::stderr(),
            "memwatch: the command has ended{how}; tracing goes on for {}; Ctrl-C ends it",
            Counted(living, "descendant")
        );
        true
    }

    /// Counts a signal and passes it on to the command; false when it belongs to the one before.
    fn heed(&mut self, asked: Told) -> bool {
        tracing::info!("got signal {}", asked.signal);
        let is_same = self.last_asked.is_some_and(|last| last.elapsed() < BURST);
        self.last_asked = Some(Instant::now());
        if is_same {
            return false;
        }
        self.asked += 1;
        let Some(command) = &mut self.command else { return true };
        if self.asked > 1 {
            // Not yet waited for, so the id is still the command's.
            let _ = command.start_kill();
        } else if let Some(pid) = command.id()
            // A terminal signals the whole group in its foreground, which the command is in unless it left.
            && !(asked.by_kernel && sys::is_in_own_group(pid))
        {
            sys::signal_child(pid, asked.signal);
        }
        true
    }

    /// Whether the command still runs, as far as is known.
    #[must_use]
    pub const fn has_command(&self) -> bool {
        self.command.is_some()
    }

    /// How often the end was asked for by signals.
    pub(super) const fn asked(&self) -> u32 {
        self.asked
    }

    /// Ends at the next signal that does not belong to the one before.
    pub(super) async fn impatient(&mut self) {
        loop {
            let asked = asked(&self.signals, self.ignores_interrupt).await;
            if self.heed(asked) {
                return;
            }
        }
    }

    /// Waits for the command, when it still runs, and not for its descendants: its status is passed on. Signals reach it as
    /// before.
    pub async fn wait_for_command(&mut self) -> Option<ExitStatus> {
        self.descendants = None;
        while self.command.is_some() {
            self.told().await;
        }
        self.status
    }
}

/// The next signal. One that a terminal gives is none where it is to be ignored; one that a process sends is meant.
async fn asked(signals: &AsyncFd<Signals>, ignores_interrupt: bool) -> Told {
    loop {
        let told = match signals.readable().await {
            Ok(mut ready) => {
                let told = ready.get_inner().next();
                if told.is_none() {
                    ready.clear_ready();
                }
                told
            }
            Err(error) => {
                tracing::warn!("cannot wait for signals: {error}");
                std::future::pending().await
            }
        };
        if let Some(told) = told
            && !(told.by_kernel && told.signal == libc::SIGINT && ignores_interrupt)
        {
            return told;
        }
    }
}

async fn ended(command: &mut Option<Child>) -> Option<ExitStatus> {
    match command {
        Some(command) => command.wait().await.ok(),
        None => std::future::pending().await,
    }
}

/// Ends when nobody descends from the command any more; never, when nobody is known to.
async fn all_ended(descendants: &mut Option<Descendants>) {
    let Some(descendants) = descendants else { return std::future::pending().await };
    loop {
        descendants.looks.tick().await;
        if descendants.living() == 0 {
            tracing::info!("the last descendant of the command ended");
            return;
        }
    }
}
