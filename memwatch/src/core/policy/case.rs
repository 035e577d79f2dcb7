//! One decision from its making to its end: a state machine moved by ticks and by what happens.

use crate::core::fact::ProcessKey;

use super::decision::{Closing, Decision, Ending, Gravity};

/// Time a killed process has to end, in nanoseconds.
pub(super) const KILL_DEADLINE_NS: u64 = 10_000_000_000;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The hook before the act runs; the act follows its end, or this time.
    Before {
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
    /// Asked to leave; SIGKILL follows at this time.
    Asked {
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
    /// Killed; it is stuck when it lives at this time.
    Killed {
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
    /// The master of a pool was told to change its size; it has not followed when the size is the same at this time.
    Told {
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
    /// Ended; its memory is waited for until this time.
    Ended {
        /// Boot clock, nanoseconds.
        until_ns: u64,
    },
}

/// A decision that is being carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) decision: Decision,
    /// The scope whose memory is watched for what comes back.
    pub(super) scope: Option<usize>,
    pub(super) pool: Option<super::world::PoolId>,
    pub(super) stage: Stage,
    /// Use of the scope before.
    pub(super) used_before: Option<u64>,
    /// Bytes that should come back.
    pub(super) expected: u64,
    /// Time for leaving when asked, in nanoseconds.
    pub(super) deadline_ns: u64,
    pub(super) sent_ns: Option<u64>,
    pub(super) ended_ns: Option<u64>,
    pub(super) was_killed: bool,
    /// A kill takes its whole cgroup.
    pub(super) as_one: bool,
    /// The pool whose size is to change, and what its size was.
    pub(super) resized: Option<(super::world::PoolId, u32)>,
    /// Whether a worker has gone since whom nothing else had asked to.
    pub(super) has_shrunk: bool,
    /// The master that asks the worker to leave, and has no other take its place.
    pub(super) by_master: Option<ProcessKey>,
}

impl Case {
    /// Whether the next kill has to wait for it.
    pub(super) const fn holds_kills(&self) -> bool {
        match self.stage {
            Stage::Killed { .. } => true,
            Stage::Ended { .. } => self.was_killed,
            Stage::Before { .. } => !matches!(self.decision.gravity, Gravity::Graceful),
            Stage::Asked { .. } | Stage::Told { .. } => false,
        }
    }

    /// When the next step is due.
    pub(super) const fn due_ns(&self) -> u64 {
        match self.stage {
            Stage::Before { until_ns }
            | Stage::Asked { until_ns }
            | Stage::Killed { until_ns }
            | Stage::Told { until_ns }
            | Stage::Ended { until_ns } => until_ns,
        }
    }

    /// Its end.
    pub(super) fn close(&self, now_ns: u64, ending: Ending, returned_bytes: Option<u64>) -> Closing {
        let since = |time: u64| time.saturating_sub(self.decision.time_ns);
        Closing {
            decision: self.decision.id,
            time_ns: now_ns,
            key: self.decision.key,
            ending,
            was_killed: self.was_killed,
            returned_bytes,
            sent_after_ns: self.sent_ns.map(since),
            ended_after_ns: self.ended_ns.map(since),
        }
    }
}
