//! Processes that read their descriptor limit at a rate: each call is one record into the ring buffer.
//!
//! They are forked before the first call and make no other call of that kind, so the count told is exact.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::kernel::{self, Child, Shared};

/// Calls between looks at the clock, at most.
const CHUNK: u64 = 64;
/// A wait longer than this is slept: shorter ones would be overslept.
const SLEEPS_FROM: Duration = Duration::from_micros(300);

/// A flood that runs, or has ended and whose processes still wait.
pub(crate) struct Flood {
    shared: Shared,
    children: Vec<Child>,
    started: Instant,
    elapsed: Duration,
}

impl Flood {
    /// Starts `processes` that make `rate` calls per second together (0: as many as they can) for `seconds`.
    ///
    /// # Errors
    /// A process cannot be started.
    pub(crate) fn start(processes: u32, seconds: f64, rate: u64) -> Result<Self> {
        let shared = Shared::new()?;
        let length = Duration::from_secs_f64(seconds);
        let each = rate / u64::from(processes.max(1));
        let mut children = Vec::new();
        for _ in 0..processes {
            children.push(kernel::fork(|| {
                while !shared.is_released() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                shared.add_done(call(length, each));
            })?);
        }
        shared.release();
        Ok(Self { shared, children, started: Instant::now(), elapsed: Duration::ZERO })
    }

    /// Waits until every process has made its calls; gives their sum.
    pub(crate) fn wait_for_calls(&mut self) -> u64 {
        while self.shared.finished() < self.children.len() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.elapsed = self.started.elapsed();
        self.shared.calls()
    }

    /// How long it took.
    pub(crate) const fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// Makes calls for `length`; gives their number.
fn call(length: Duration, rate: u64) -> u64 {
    let chunk = if rate == 0 { CHUNK } else { (rate / 20_000).clamp(1, CHUNK) };
    let started = Instant::now();
    let mut calls = 0;
    loop {
        for _ in 0..chunk {
            // A refusal is seen by memwatch like a success: the call counts.
            let _ = kernel::read_nofile();
        }
        calls += chunk;
        let now = started.elapsed();
        if now >= length {
            return calls;
        }
        if rate > 0 {
            wait(started, Duration::from_secs_f64(calls as f64 / rate as f64));
        }
    }
}

/// Waits until `due` has passed since `started`.
fn wait(started: Instant, due: Duration) {
    while let Some(left) = due.checked_sub(started.elapsed()) {
        if left > SLEEPS_FROM {
            std::thread::sleep(left);
        } else {
            std::hint::spin_loop();
        }
    }
}
