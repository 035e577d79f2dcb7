//! Records of what was decided, why, and what became of it.

use serde::{Deserialize, Serialize};

use super::command::{Order, Signal};
use super::input::Figures;
use super::sizing::Resize;
use crate::core::fact::ProcessKey;

/// How far an act goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// Tell a master to change its number of workers.
    Resize,
    /// Refuse the process a mapping; it is left to make the best of that.
    Refuse,
    /// Ask the process to leave.
    Graceful,
    /// Have systemd stop its unit, which is not started again then.
    StopUnit,
    /// Kill it.
    Kill,
    /// Kill its whole cgroup.
    KillCgroup,
}

impl Gravity {
    /// Of a signal to one process.
    pub(super) fn of(signal: Signal) -> Self {
        if signal == Signal::KILL { Self::Kill } else { Self::Graceful }
    }
}

/// The finding behind a decision, with its numbers: bytes and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// A scope's use lies between its bounds.
    AboveLower {
        /// Bytes in use.
        used: u64,
        /// The lower bound.
        lower: u64,
        /// The upper bound.
        upper: u64,
        /// Workers to recycle at this use.
        wanted: u32,
    },
    /// A scope's use is at or above its upper bound.
    AboveUpper {
        /// Bytes in use.
        used: u64,
        /// The upper bound.
        upper: u64,
    },
    /// A worker passed a limit.
    WorkerLimit {
        /// Its bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The workers of a pool passed its total.
    PoolTotal {
        /// Their bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An fd table.
    FdTable {
        /// The limit N.
        limit: u64,
        /// Bytes of the tables.
        bytes: u64,
        /// Bytes of them that are resident.
        touched: u64,
        /// Touched bytes from which on the rule acts.
        bound: u64,
    },
    /// Pressure, and memory is short.
    Pressure {
        /// Full pressure in hundredths of a percent.
        full: u32,
        /// Available bytes.
        available: u64,
        /// Available bytes below which memory is short.
        below: u64,
    },
    /// A scope or pool reaches its limit soon.
    Growth {
        /// Bytes now.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// Bytes a second.
        rate: u64,
        /// Until the limit is reached.
        reached_in_ns: u64,
    },
    /// The queue of a pool asks for another number of workers.
    Queue(Turn),
    /// A master started its victims again and again.
    Respawns {
        /// How often.
        rounds: u32,
    },
}

/// A change of a pool's size, with what it was decided by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// Which way.
    pub step: Resize,
    /// Workers now.
    pub workers: u32,
    /// Those that wait for a client.
    pub idle: u32,
    /// Connections that wait to be accepted.
    pub waiting: u64,
    /// How many may wait at the sockets.
    pub bound: u64,
    /// How long that has lasted.
    pub lasting_ns: u64,
    /// The most that a worker of the pool has held of its own.
    pub peak: Option<u64>,
    /// Bytes that all workers and one more may take beyond what they hold, should each come to hold that.
    pub worst: Option<u64>,
    /// Bytes that may be taken.
    pub room: Option<u64>,
}

/// Why a process is, or is not, one that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Eligible,
    /// It may when nobody else is left: it is younger than the pool's `min_lifetime`.
    Young,
    /// It has no handler for the signal that asks it to leave. In a pool that the settings describe it may go when nobody
    /// else is left, by SIGKILL after the deadline; in one found by itself it is no worker.
    Deaf,
    /// Something is being done about it already.
    Handled,
    /// The pool would have too few workers without it.
    Needed,
}

/// One process in a decision's ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Which.
    pub key: ProcessKey,
    /// Its figures at that moment.
    pub figures: Figures,
    /// Whether it may be chosen.
    pub standing: Standing,
}

/// Who is to go, and why.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Its number, from 1.
    pub id: u64,
    /// Boot clock, nanoseconds.
    pub time_ns: u64,
    /// The rule's kind: the name of its row.
    pub rule: &'static str,
    /// Number of the rule's entry in the settings: a scope, a pool, an fd-table rule; `None` for a pool found by itself
    /// and for rules that have no entries.
    pub entry: Option<usize>,
    /// Why.
    pub cause: Cause,
    /// How far it goes.
    pub gravity: Gravity,
    /// Who.
    pub key: ProcessKey,
    /// What is sent.
    pub signal: Signal,
    /// What its master is told instead: the pool is to change its size, or a worker to go whom no other replaces.
    pub order: Option<Order>,
    /// Who else was ranked: from this place in [`super::Outbox::candidates`] …
    pub first_candidate: usize,
    /// … this many, the first to go first.
    pub candidates: usize,
}

impl Decision {
    /// Whether a worker is to go by an order to its master, which starts no other in its place.
    #[must_use]
    pub fn is_unreplaced(&self) -> bool {
        self.order.is_some() && self.gravity == Gravity::Graceful
    }

    /// What is sent, in words.
    #[must_use]
    pub fn means(&self) -> String {
        if self.gravity == Gravity::Refuse {
            return "ENOMEM".to_owned();
        }
        if self.gravity == Gravity::StopUnit {
            return "systemctl stop".to_owned();
        }
        self.order.map_or_else(|| self.signal.to_string(), |order| order.to_string())
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The signal was sent, the cgroup killed, or systemd asked.
    Sent,
    /// It would have been: nothing is enforced.
    WouldSend,
    /// The process had ended, or its id is another's by now.
    Gone,
    /// The actuator's own guard refused.
    Guarded,
    /// The kernel refused, with this error number.
    Failed(i32),
    /// A hook ended.
    HookEnded,
    /// A hook was killed at its deadline, or could not be started.
    HookFailed,
}

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The process ended and its memory is back.
    Returned,
    /// The process ended; its memory did not come back in time.
    NotReturned,
    /// It did not end, not even by SIGKILL, in time.
    Stuck,
    /// The mapping was refused; what the process made of it is not followed.
    Refused,
    /// Nothing was enforced.
    Observed,
    /// It was gone before anything was sent.
    Gone,
    /// It could not be carried out.
    Failed,
    /// The pool has the number of workers that was asked for.
    Resized,
    /// The master did not follow in time; it is left alone for a while.
    Ignored,
}

/// A decision's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// Which decision.
    pub decision: u64,
    /// Boot clock, nanoseconds.
    pub time_ns: u64,
    /// Whom it was about.
    pub key: ProcessKey,
    /// How it ended.
    pub ending: Ending,
    /// Whether SIGKILL was needed.
    pub was_killed: bool,
    /// Bytes that the scope has more than before; `None` when it was not measured.
    pub returned_bytes: Option<u64>,
    /// From the decision to the first signal, in nanoseconds.
    pub sent_after_ns: Option<u64>,
    /// From the decision to the process's end, in nanoseconds.
    pub ended_after_ns: Option<u64>,
}

/// What grows towards its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grows {
    /// A scope, by its number in the settings.
    Scope(usize),
    /// A pool.
    Pool {
        /// Its number in the settings; `None`: it was found by itself.
        entry: Option<usize>,
        /// Its master.
        master: ProcessKey,
    },
}

/// Something that an operator should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// The kill budget is spent: nothing is killed until then.
    BudgetSpent {
        /// Kills in the window.
        kills: u32,
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
    /// A pool or master starts its victims again and again: nothing more is done about it.
    Stopped {
        /// The last victim.
        key: ProcessKey,
        /// Rounds.
        rounds: u32,
    },
    /// A whole cgroup was to be killed, and is not.
    CgroupSpared {
        /// Who was to go with it.
        key: ProcessKey,
        /// Who in it, or below it, may not be touched; `None`: which cgroup it is was not known.
        by: Option<ProcessKey>,
    },
    /// Something has to go and nobody may.
    NobodyLeft {
        /// Number of the scope.
        scope: usize,
        /// Bytes in use.
        used: u64,
        /// The bound.
        bound: u64,
    },
    /// A scope or pool reaches its limit soon.
    Growing {
        /// Which.
        grows: Grows,
        /// Bytes now.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// Until it is reached, in nanoseconds.
        reached_in_ns: u64,
    },
    /// A scope reads pages in again and again, and waits for them.
    Thrashing {
        /// Number of the scope.
        scope: usize,
        /// Pages a second that were read in again.
        refaults: u64,
        /// Faults a second that waited for a disk.
        major_faults: u64,
        /// Pages a second taken back on the spot.
        reclaimed: Option<u64>,
        /// Share of the time in which a task waited, in hundredths of a percent.
        stalled: Option<u32>,
    },
    /// A cgroup is charged for clearly less than it holds.
    UnderCharged {
        /// Number of the cgroup; [`super::Engine::cgroup`] knows its path.
        cgroup: u64,
        /// What it truly uses, in bytes.
        used: u64,
        /// What it is charged for.
        charged: u64,
        /// What of its use is charged elsewhere.
        missing: u64,
        /// Its limit.
        limit: Option<u64>,
    },
    /// What came of an earlier warning of growth: the limit was to be reached at one time and was at another, or not at all.
    Forecast {
        /// Boot clock that was foretold, nanoseconds.
        foretold_ns: u64,
        /// When it was reached; `None`: it was not.
        reached_ns: Option<u64>,
    },
    /// An fd table that a rule asks to report.
    FdTable {
        /// Its process.
        key: ProcessKey,
        /// Its bytes.
        bytes: u64,
        /// Bytes of it that are resident.
        touched: u64,
    },
}
