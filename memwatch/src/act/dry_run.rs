//! Acting on nothing: the same checks, and then only the answer that it would have been done.

use super::cgroup::Target;
use super::{Actuator, Guard, unit};
use crate::core::fact::ProcessKey;
use crate::core::policy::{Outcome, Signal};

/// Says what would be done.
#[derive(Debug)]
pub struct DryRun {
    guard: Guard,
}

impl DryRun {
    /// Behind this guard.
    #[must_use]
    pub const fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl Actuator for DryRun {
    fn send(&mut self, key: ProcessKey, _: Signal) -> Outcome {
        self.guard.admit(key).map_or_else(|outcome| outcome, |_| Outcome::WouldSend)
    }

    fn write_fifo(&mut self, key: ProcessKey, _: u8) -> Outcome {
        self.guard.admit(key).map_or_else(|outcome| outcome, |_| Outcome::WouldSend)
    }

    fn kill_cgroup(&mut self, key: ProcessKey) -> Outcome {
        Target::find(&mut self.guard, key).map_or_else(|outcome| outcome, |_| Outcome::WouldSend)
    }

    fn stop_unit(&mut self, key: ProcessKey) -> Outcome {
        unit::find(&mut self.guard, key).map_or_else(|outcome| outcome, |_| Outcome::WouldSend)
    }
}
