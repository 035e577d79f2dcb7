//! What waits at the sockets of a pool, as it was read, and what came of it.

use serde::{Deserialize, Serialize};

use super::sizing::Resize;
use crate::core::fact::ProcessKey;

/// The listen queue of a pool: what all sockets have together at which its workers take connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The pool's master.
    pub master: ProcessKey,
    /// Sockets that listen.
    pub sockets: u32,
    /// How many of them are of the Unix family, whose queue leaves out who still waits to be let in.
    #[serde(default)]
    pub unix: u32,
    /// Whether each worker has a socket of its own (`SO_REUSEPORT`): a connection waits for that one worker.
    #[serde(default)]
    pub is_per_worker: bool,
    /// Connections that wait to be accepted.
    pub waiting: u64,
    /// Those at the socket where most wait.
    pub most: u64,
    /// How many may wait, of all sockets. A bound of 0 lets one wait.
    pub bound: u64,
    /// Connections that these sockets have turned away since they listen; `None` where that is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Connections that found a queue full, in the whole network namespace, since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflows: Option<u64>,
    /// Whether, and how, the master can be told to change its number of workers.
    #[serde(default)]
    pub way: Way,
}

/// Whether a master can be told to change its number of workers, beyond what is known of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As its kind of server has it.
    #[default]
    Open,
    /// It reads no FIFO, or none that can be found.
    NoFifo,
    /// Several FIFOs are read by it, and which is meant cannot be told.
    ManyFifos,
    /// The FIFO belongs to neither the master's user nor root.
    ForeignFifo,
    /// Its number of workers is fixed: orders at the FIFO have no effect.
    Fixed,
    /// It sizes the pool by an algorithm of its own.
    OwnAlgorithm,
}

/// A pool whose sockets are to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSight {
    /// Its master.
    pub master: ProcessKey,
    /// Its workers, the oldest first.
    pub workers: Vec<ProcessKey>,
    /// Whether it matters which of them wait for a client.
    pub glance: bool,
    /// Whether its master is told by a FIFO.
    pub by_fifo: bool,
}

/// A pool's queue as the engine keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) queue: Queue,
    /// When it was read.
    pub(super) time_ns: u64,
    /// Workers when the pool was first seen.
    pub(super) first: u32,
    /// Workers that are there, and would not be had the policy been in force.
    pub(super) spared: i32,
    /// A worker that another rule recycled went without a successor at this time.
    pub(super) unreplaced_ns: Option<u64>,
    /// Nothing is asked of the master before: it did not follow.
    pub(super) rests_until_ns: u64,
    /// Bytes spared so far, times nanoseconds.
    pub(super) saved: u128,
    /// Since when that is counted.
    pub(super) since_ns: u64,
}

impl Known {
    pub(super) const fn new(now_ns: u64, queue: Queue, workers: u32) -> Self {
        Self {
            queue,
            time_ns: now_ns,
            first: workers,
            spared: 0,
            unreplaced_ns: None,
            rests_until_ns: 0,
            saved: 0,
            since_ns: now_ns,
        }
    }

    /// Takes the next look in. What fewer workers than at first would have taken is spared; `bytes` is what one has on average.
    pub(super) fn read(&mut self, now_ns: u64, queue: Queue, workers: u32, bytes: u64) {
        let would_be = i64::from(workers) - i64::from(self.spared);
        let fewer = u64::try_from(i64::from(self.first) - would_be).unwrap_or(0);
        let time_ns = now_ns.saturating_sub(self.time_ns);
        self.saved += u128::from(fewer) * u128::from(bytes) * u128::from(time_ns);
        (self.queue, self.time_ns) = (queue, now_ns);
    }

    /// A step was told and not made.
    pub(super) const fn spare(&mut self, step: Resize) {
        self.spared += match step {
            Resize::Shrink => 1,
            Resize::Grow => -1,
        };
    }

    /// Bytes spared, on average over the time since the pool was first seen.
    pub(super) fn mean_saved(&self) -> u64 {
        let time_ns = u128::from(self.time_ns.saturating_sub(self.since_ns)).max(1);
        u64::try_from(self.saved / time_ns).unwrap_or(u64::MAX)
    }
}
