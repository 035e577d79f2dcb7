//! When the sockets of pools are looked at.

use std::io;

use crate::core::policy::{Engine, Input, PoolSight};
use crate::measure::Queues;

/// The thread that looks, and when it is asked next.
#[derive(Debug)]
pub(super) struct Pools {
    queues: Queues,
    /// On the boot clock.
    due_ns: u64,
    sights: Vec<PoolSight>,
}

impl Pools {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self { queues: Queues::start()?, due_ns: 0, sights: Vec::new() })
    }

    /// Has them looked at when that is due. While the last look goes on, the next one waits.
    pub(super) fn look_when_due(&mut self, now_ns: u64, engine: &Engine) {
        if now_ns < self.due_ns {
            return;
        }
        let gap_ns = engine.sights(&mut self.sights);
        if self.sights.is_empty() || self.queues.ask(self.sights.clone()) {
            self.due_ns = now_ns + gap_ns;
        }
    }

    /// What was seen. Safe to give up waiting for.
    pub(super) async fn seen(&mut self) -> Vec<Input> {
        self.queues.seen().await
    }
}
