//! Programs that an operator has run before and after an act: a heap dump, a drain.
//!
//! They are started and waited for on a thread of their own, because starting a program can take as long as its file
//! system does. A hook has a process group of its own, which is killed at the deadline; the act itself does not wait for any
//! of this longer than the policy says. Should the daemon be killed, the kernel kills the hook; what that started goes with
//! the unit, under systemd.
//! Its environment is that of the daemon, without what systemd gave it, and:
//!
//! | variable | |
//! |---|---|
//! | `MEMWATCH_PID` | process id of whom the decision is about |
//! | `MEMWATCH_START_NS` | its start on the boot clock, in nanoseconds: the pair names it, the id alone may be another's by now |
//! | `MEMWATCH_DECISION` | number of the decision, as in the records |
//! | `MEMWATCH_WHEN` | `before` or `after` |
//! | `MEMWATCH_POOL` | name of the pool, when it is of one |

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::core::fact::ProcessKey;
use crate::core::policy::Outcome;
use crate::sys;

/// Hooks that are taken, and as many that wait to be.
const QUEUE: usize = 256;
/// Hooks that run at a time.
const AT_ONCE: usize = 16;

/// A hook to run.
#[derive(Clone, Debug)]
pub struct HookCall {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// For which decision.
    pub decision: u64,
    /// About whom.
    pub key: ProcessKey,
    /// Name of its pool.
    pub pool: Option<String>,
    /// Before the act, or after it.
    pub before: bool,
    /// Time it has, counted from the call.
    pub deadline: Duration,
}

/// The thread that runs hooks. It ends with this, and kills those that run.
#[derive(Debug)]
pub struct Hooks {
    calls: mpsc::Sender<(HookCall, Instant)>,
    ended: mpsc::Receiver<(u64, Outcome)>,
}

impl Hooks {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it or its reactor cannot be started.
    pub fn start() -> io::Result<Self> {
        let (calls, taken) = mpsc::channel(QUEUE);
        let (told, ended) = mpsc::channel(QUEUE);
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("memwatch-hooks".into())
            .spawn(move || reactor.block_on(run_each(taken, told)))?;
        Ok(Self { calls, ended })
    }

    /// Has a hook run, and returns at once: nothing when it was taken, else [`Outcome::HookFailed`].
    pub fn run(&self, call: HookCall) -> Option<Outcome> {
        let deadline = Instant::now() + call.deadline;
        let decision = call.decision;
        self.calls.try_send((call, deadline)).err().map(|_| {
            tracing::warn!(
                "the hook of decision {decision} is not run: {QUEUE} others wait; shorten their deadline"
            );
            Outcome::HookFailed
        })
    }

    /// The next hook that ended: for which decision, and how. Safe to give up waiting for.
    pub async fn ended(&mut self) -> (u64, Outcome) {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

async fn run_each(mut calls: mpsc::Receiver<(HookCall, Instant)>, told: mpsc::Sender<(u64, Outcome)>) {
    // The programs that are started inherit it.
    sys::usual_priority();
    let (taken, places) = (Arc::new(Semaphore::new(QUEUE)), Arc::new(Semaphore::new(AT_ONCE)));
    // While that many are taken, the channel fills and further ones are refused.
    while let Ok(one) = Arc::clone(&taken).acquire_owned().await
        && let Some((call, deadline)) = calls.recv().await
    {
        let (told, places) = (told.clone(), Arc::clone(&places));
        tokio::spawn(async move {
            let _one = one;
            let outcome = match timeout_at(deadline, places.acquire()).await {
                Ok(_place) => run(&call, deadline).await,
                Err(_) => Err(io::Error::other("others ran until its deadline")),
            };
            let outcome = outcome.map_or_else(
                |error| {
                    tracing::warn!(
                        "the hook {:?} of decision {} failed: {error}",
                        call.command,
                        call.decision
                    );
                    Outcome::HookFailed
                },
                |()| Outcome::HookEnded,
            );
            // Nobody listens when the daemon ends.
            let _ = told.send((call.decision, outcome)).await;
        });
    }
}

async fn run(call: &HookCall, deadline: Instant) -> io::Result<()> {
    let mut group = Group(start(call)?);
    match timeout_at(deadline, group.0.wait()).await {
        Ok(status) => match status? {
            status if status.success() => Ok(()),
            status => Err(io::Error::other(format!("it ended with {status}"))),
        },
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it was killed at its deadline")),
    }
}

fn start(call: &HookCall) -> io::Result<Child> {
    let (program, arguments) =
        call.command.split_first().ok_or_else(|| io::Error::other("it names no program"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("MEMWATCH_PID", call.key.tgid.to_string())
        .env("MEMWATCH_START_NS", call.key.start_ns.to_string())
        .env("MEMWATCH_DECISION", call.decision.to_string())
        .env("MEMWATCH_WHEN", if call.before { "before" } else { "after" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    for of_systemd in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"] {
        command.env_remove(of_systemd);
    }
    if let Some(pool) = &call.pool {
        command.env("MEMWATCH_POOL", pool);
    }
    sys::process::die_with_parent(&mut command);
    let child = command.spawn()?;
    // The daemon's own protection from the OOM killer is not for its hooks; raising the score is always allowed.
    let is_protected =
        std::fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with('-'));
    if is_protected && let Some(pid) = child.id() {
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
    }
    Ok(child)
}

/// A hook's process group. It is killed unless its first process has ended by itself: then its id may be another's.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.id() {
            sys::process::kill_group(leader);
        }
    }
}

#[cfg(test)]
mod tests;
