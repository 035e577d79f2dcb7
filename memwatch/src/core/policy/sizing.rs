//! How many workers a pool should have, by what waits at its sockets: one pool's state, looks in, steps out.
//!
//! A step is always one worker. Growth needs a queue that stays long; shrinking needs workers that stay idle while the queue is
//! nearly empty. Between the two lies a gap in which nothing happens, and after a growth nothing shrinks for a while. Each time that
//! the load takes a shrink back, that while doubles and one more worker has to be idle: a pool does not swing.

use serde::{Deserialize, Serialize};

use super::settings::Sizing;

/// Doublings of the time without a shrink, at most; each asks for one idle worker more, too.
const SWINGS: u32 = 4;
/// Such times without a growth after which they are forgotten.
const FORGET: u64 = 4;

/// A change of a pool's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// One worker more.
    Grow,
    /// One worker less.
    Shrink,
}

/// A pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) now_ns: u64,
    pub(super) workers: u32,
    /// Workers that wait for a client; who cannot be told is none.
    pub(super) idle: u32,
    /// Connections that wait to be accepted.
    pub(super) waiting: u64,
    /// Workers that have to stay.
    pub(super) least: u32,
    /// Whether memory allows one more.
    pub(super) has_room: bool,
    /// Whether memory is short: one idle worker is enough to take one away.
    pub(super) is_tight: bool,
    /// Whether whoever goes would leave connections behind that wait for him alone.
    pub(super) strands: bool,
}

/// A step that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) step: Resize,
    /// How long what led to it has lasted, in nanoseconds.
    pub(super) lasting_ns: u64,
}

/// What is remembered of a pool from look to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizer {
    long_since_ns: Option<u64>,
    idle_since_ns: Option<u64>,
    grown_ns: Option<u64>,
    shrunk_ns: Option<u64>,
    /// Times in a row that a shrink was taken back.
    swings: u32,
}

impl Sizer {
    /// Whether the queue is long now: figures for a growth will be needed.
    pub(super) const fn is_long(&self) -> bool {
        self.long_since_ns.is_some()
    }

    /// Takes a look in. A step that it gives counts as made.
    pub(super) fn look(&mut self, sizing: &Sizing, seen: &Seen) -> Option<Due> {
        let now_ns = seen.now_ns;
        if self
            .grown_ns
            .is_some_and(|grown| now_ns.saturating_sub(grown) > self.hold_ns(sizing).saturating_mul(FORGET))
        {
            self.swings = 0;
        }
        let bound = u64::from(sizing.waiting);
        let is_nearly_empty = seen.waiting <= bound / 2;
        let has_reserve = seen.idle >= sizing.spare;
        let is_long = seen.waiting > bound || !has_reserve;
        if is_long {
            self.long_since_ns.get_or_insert(now_ns);
        } else if is_nearly_empty {
            self.long_since_ns = None;
        }
        let enough = if seen.is_tight { 1 } else { sizing.idle_min + self.swings };
        let is_idle = is_nearly_empty && !seen.strands && seen.idle >= enough;
        if is_idle {
            self.idle_since_ns.get_or_insert(now_ns);
        } else {
            self.idle_since_ns = None;
        }
        let lasts = |since: Option<u64>| since.map(|since| now_ns.saturating_sub(since));
        let long = lasts(self.long_since_ns).filter(|ns| *ns >= sizing.waiting_for_ns);
        if let Some(lasting_ns) = long
            && is_long
            && seen.workers < sizing.max_workers
            && seen.has_room
        {
            self.grow(now_ns, sizing);
            return Some(Due { step: Resize::Grow, lasting_ns });
        }
        let idle = lasts(self.idle_since_ns).filter(|ns| *ns >= sizing.idle_for_ns)?;
        if !self.may_shrink(sizing, seen) {
            return None;
        }
        self.shrunk(now_ns);
        Some(Due { step: Resize::Shrink, lasting_ns: idle })
    }

    /// Whether a worker that goes anyway needs no successor: what a shrink asks for holds at the last look, for however short a time.
    pub(super) fn can_spare(&self, sizing: &Sizing, seen: &Seen) -> bool {
        self.idle_since_ns.is_some() && self.may_shrink(sizing, seen)
    }

    /// There is one worker less.
    pub(super) const fn shrunk(&mut self, now_ns: u64) {
        self.shrunk_ns = Some(now_ns);
        self.restart();
    }

    fn may_shrink(&self, sizing: &Sizing, seen: &Seen) -> bool {
        let is_held = |grown_ns: u64| seen.now_ns.saturating_sub(grown_ns) < self.hold_ns(sizing);
        seen.workers > seen.least.max(1) && (seen.is_tight || !self.grown_ns.is_some_and(is_held))
    }

    fn grow(&mut self, now_ns: u64, sizing: &Sizing) {
        let hold_ns = self.hold_ns(sizing);
        let turned = self.shrunk_ns.take().map(|shrunk| now_ns.saturating_sub(shrunk));
        match turned {
            Some(ns) if ns <= hold_ns.saturating_mul(2) => self.swings = (self.swings + 1).min(SWINGS),
            Some(_) => self.swings = 0,
            None => {}
        }
        self.grown_ns = Some(now_ns);
        self.restart();
    }

    /// What led to a step has to last anew for the next one.
    const fn restart(&mut self) {
        self.long_since_ns = None;
        self.idle_since_ns = None;
    }

    const fn hold_ns(&self, sizing: &Sizing) -> u64 {
        sizing.turn_ns.saturating_mul(1 << self.swings)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
