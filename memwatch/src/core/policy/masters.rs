//! Masters that start their victims again: how often in a row, and when it is enough.

use super::who::Who;

/// A victim younger than this was started again after the last one, in nanoseconds.
const YOUNG_NS: u64 = 30_000_000_000;
/// Whether a victim is so young that it took the place of the last one.
pub(super) fn was_started_again(victim: &Who, now_ns: u64) -> bool {
    now_ns.saturating_sub(victim.key.start_ns) < YOUNG_NS
}

/// Masters kept; the one heard of least recently gives way.
const ROOM: usize = 256;

/// Victims of one master in a row.
#[derive(Clone, Copy, Debug)]
struct Row {
    master: u32,
    victims: u32,
    last_ns: u64,
    is_stopped: bool,
}

/// All masters with victims.
#[derive(Clone, Debug)]
pub(super) struct Masters {
    rows: Vec<Row>,
    /// Whether any is stopped: every candidate is asked about.
    any_stopped: bool,
}

impl Masters {
    pub(super) fn new() -> Self {
        Self { rows: Vec::with_capacity(ROOM), any_stopped: false }
    }

    /// Counts a victim; gives how many there were in a row.
    pub(super) fn count(&mut self, master: u32, victim: &Who, now_ns: u64) -> u32 {
        let is_young = was_started_again(victim, now_ns);
        if let Some(row) = self.rows.iter_mut().find(|row| row.master == master) {
            row.victims = if is_young { row.victims + 1 } else { 1 };
            row.last_ns = now_ns;
            return row.victims;
        }
        if self.rows.len() == ROOM
            && let Some(oldest) = (0..ROOM).min_by_key(|place| self.rows.get(*place).map(|row| row.last_ns))
        {
            self.rows.swap_remove(oldest);
        }
        self.rows.push(Row { master, victims: 1, last_ns: now_ns, is_stopped: false });
        1
    }

    /// Nothing more is done about its children.
    pub(super) fn stop(&mut self, master: u32) {
        for row in self.rows.iter_mut().filter(|row| row.master == master) {
            row.is_stopped = true;
            self.any_stopped = true;
        }
    }

    pub(super) fn is_stopped(&self, master: u32) -> bool {
        self.any_stopped && self.rows.iter().any(|row| row.master == master && row.is_stopped)
    }

    /// A master that ended starts anew.
    pub(super) fn forget(&mut self, master: u32) {
        self.rows.retain(|row| row.master != master);
        self.any_stopped = self.rows.iter().any(|row| row.is_stopped);
    }

    /// How many are known.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// All start anew.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.any_stopped = false;
    }
}
