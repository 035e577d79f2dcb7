//! Who would go now, and why: what the engine answers when it is asked. Asking changes nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::Signal;
use super::decision::{Cause, Gravity, Standing};
use super::guard::Guard;
use super::input::{Figures, Host};
use super::queue::{Queue, Way};
use super::settings::{Mode, Reach};
use super::who::Who;
use crate::core::fact::ProcessKey;

/// How things stand at one moment, in numbers; memory is in bytes.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Whether what is decided is done.
    pub mode: Mode,
    /// The host, once it was looked at.
    pub host: Option<Host>,
    /// Processes known.
    pub processes: usize,
    /// Decisions that have not ended.
    pub open: usize,
    /// Kills in the window of the budget.
    pub kills: u32,
    /// How many the budget allows.
    pub kill_budget: u32,
    /// Scopes with bounds whose use is known.
    pub scopes: Vec<ScopeGauges>,
    /// Pools, in the order of their names.
    pub pools: Vec<PoolState>,
}

/// How a scope stands to its bounds.
#[derive(Clone, Debug)]
pub struct ScopeGauges {
    /// Its name.
    pub name: String,
    /// Bytes in use.
    pub used: u64,
    /// Its memory.
    pub memory: u64,
    /// The lower bound.
    pub lower: u64,
    /// The upper bound.
    pub upper: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// About everybody.
    All,
    /// About the holder of a process id.
    Process(u32),
    /// About the pools of a name.
    Pool(String),
}

/// The answer: how things stand at one moment. Times are of the boot clock, in nanoseconds; memory is in bytes.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// When.
    pub time_ns: u64,
    /// Whether what is decided is done.
    pub mode: Mode,
    /// The host, once it was looked at.
    pub host: Option<Host>,
    /// Processes known.
    pub processes: usize,
    /// The kill budget.
    pub budget: Spending,
    /// What is under way, in the order of the decisions.
    pub under_way: Vec<UnderWay>,
    /// The scopes that are asked about, with their candidates.
    pub scopes: Vec<ScopeState>,
    /// The pools that are asked about.
    pub pools: Vec<PoolState>,
    /// Who is no candidate, threads of the kernel left out unless they are asked about.
    pub refused: Vec<Refused>,
}

/// The kill budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Kills in the window that ends now.
    pub kills: u32,
    /// How many there may be.
    pub of: u32,
    /// Length of the window.
    pub window_ns: u64,
    /// Until when nobody is killed.
    pub closed_until_ns: Option<u64>,
}

/// Where a decision stands that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The hook before the act runs.
    Hook,
    /// It was asked to leave.
    Asked,
    /// It was killed.
    Killed,
    /// It was told to change the size of its pool.
    Told,
    /// It has ended, and its memory is waited for.
    Ended,
}

/// A decision that is being carried out.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// Its number.
    pub decision: u64,
    /// The policy.
    pub rule: &'static str,
    /// Name of the policy's entry in the configuration.
    pub entry: Option<String>,
    /// Why.
    pub cause: Cause,
    /// How far it goes.
    pub gravity: Gravity,
    /// What is sent.
    pub means: String,
    /// About whom.
    pub key: ProcessKey,
    /// What is known of it, while it lives.
    pub who: Option<Arc<Who>>,
    /// Where it stands.
    pub step: Step,
    /// When the next step is due.
    pub due_ns: u64,
    /// Whether the next kill waits for it.
    pub holds_kills: bool,
}

/// What a scope's use asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// That so many be on their way out.
    Recycle(u32),
    /// That one after another be killed.
    Kill,
}

/// How a scope stands.
#[derive(Clone, Debug)]
pub struct ScopeState {
    /// Its name.
    pub name: String,
    /// What it reaches over.
    pub reach: Reach,
    /// Bytes in use; `None`: nothing is known of the host yet.
    pub used: Option<u64>,
    /// Its memory.
    pub memory: Option<u64>,
    /// The lower bound.
    pub lower: Option<u64>,
    /// The upper bound.
    pub upper: Option<u64>,
    /// What use asks for.
    pub demand: Demand,
    /// The decision that the next kill waits for.
    pub waits_for: Option<u64>,
    /// Candidates, of all of them.
    pub ranked: usize,
    /// Those that are asked about, the first to go first.
    pub candidates: Vec<Ranked>,
}

/// A candidate.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Its place among all of the scope's, from 1.
    pub place: usize,
    /// Who.
    pub who: Arc<Who>,
    /// Name of its pool.
    pub pool: Option<String>,
    /// Its figures now.
    pub figures: Figures,
    /// Whether it may be chosen.
    pub standing: Standing,
    /// What stands in its way, or puts it behind others.
    pub obstacle: Option<Obstacle>,
    /// Whether it would go now.
    pub goes: bool,
}

/// A pool as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Process id of its master.
    pub master: u32,
    /// Workers.
    pub workers: usize,
    /// Those on their way out.
    pub leaving: usize,
    /// Bytes of all workers, by the measure of the pool's limits where that is known of a worker, else RSS.
    pub memory: u64,
    /// The most resident bytes that a worker that is there ever had.
    pub peak: u64,
    /// Resident bytes a second by which the pool has grown over the last minute, or shrunk; `None`: it was not seen for long enough.
    pub growth: Option<i64>,
    /// How many are left alone.
    pub min_alive: u32,
    /// What asks a worker to leave.
    pub signal: Option<Signal>,
    /// Bytes of a worker from which on it is asked to leave.
    pub soft: Option<u64>,
    /// Bytes of a worker from which on it is killed.
    pub hard: Option<u64>,
    /// Bytes of all workers from which on the largest is asked to leave.
    pub total: Option<u64>,
    /// What waits at its sockets, once they were looked at.
    pub queue: Option<QueueState>,
}

/// The queue of a pool as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// As it was read.
    pub queue: Queue,
    /// When that was.
    pub time_ns: u64,
    /// Workers that waited for a client when they were last looked at.
    pub idle: u32,
    /// Those that did not.
    pub busy: u32,
    /// How long the one that has waited longest has done so at each glance.
    pub longest_idle_ns: Option<u64>,
    /// How long the one that has been busy longest was so at each glance: no less than its request takes.
    pub longest_busy_ns: Option<u64>,
    /// Workers when the pool was first seen.
    pub first: u32,
    /// Workers that would have gone, where nothing was done.
    pub spared: i32,
    /// Bytes that fewer workers than at first have spared, on average.
    pub mean_saved: u64,
    /// The most that the pool may have; `None`: its size is left as it is.
    pub max_workers: Option<u32>,
    /// Why its size does not change; `None`: it may.
    pub stays: Option<Stays>,
}

/// Why the size of a pool does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// The configuration has no `size` for it.
    Unasked,
    /// Nothing tells a master of its kind.
    NoOrder,
    /// This master cannot be told.
    Closed(Way),
    /// It has no handler for the signal, or cannot be looked at.
    Deaf(Signal),
    /// It did not follow, or could not be told.
    Rests {
        /// Until when it is left alone.
        until_ns: u64,
    },
}

/// A process that is no candidate.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who.
    pub who: Arc<Who>,
    /// Its resident bytes, where they are followed.
    pub resident: Option<u64>,
    /// Why not.
    pub obstacle: Obstacle,
}

/// What stands in the way of acting on a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is guarded.
    Guarded {
        /// By what.
        guard: Guard,
        /// What its program is to the host, where that is why.
        program: Option<&'static str>,
    },
    /// It is in no scope.
    OutOfScope,
    /// It is the master of a pool, and its scope takes only workers.
    Master,
    /// It is no worker of a pool, and its scope takes only those.
    NoWorker,
    /// A decision about it is being carried out.
    UnderWay {
        /// Which.
        decision: u64,
    },
    /// It was observed, or the act was refused: it is left alone for a while.
    Rests {
        /// Until when.
        until_ns: u64,
    },
    /// Its master started its victims again and again, and nothing more is done about them.
    Stopped {
        /// The master.
        master: u32,
    },
    /// The pool would have too few workers without it.
    Needed {
        /// Workers of the pool.
        alive: usize,
        /// Those on their way out.
        leaving: usize,
        /// How many are left alone.
        min_alive: u32,
    },
    /// It is young, and goes when no older one is left.
    Young {
        /// Its age.
        age_ns: u64,
        /// What makes it old enough.
        min_lifetime_ns: u64,
    },
    /// It has no handler for the signal that would ask it to leave.
    Deaf {
        /// The signal.
        signal: Option<Signal>,
    },
}
