//! How soon to look at the host again: often when memory goes fast or a bound is near, hardly at all when nothing moves.

use crate::core::policy::Host;

/// Shortest time between two looks, in nanoseconds.
const SHORTEST_NS: u64 = 5_000_000;
/// Shortest time while nothing moves, however near a bound is, in nanoseconds.
const SHORTEST_QUIET_NS: u64 = 25_000_000;
/// Longest time between two looks, in nanoseconds.
const LONGEST_NS: u64 = 1_000_000_000;
/// Looks on the way to a bound at the present rate.
const LOOKS_TO_BOUND: u64 = 4;
/// What may begin to be taken between two looks, in bytes a second: one task touches about 3 GB/s.
const SUDDEN_RATE: u64 = 4 << 30;

/// The rate at which memory goes, and from it the time to the next look. Pure: time is an argument.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<(u64, u64)>,
    rate: u64,
}

impl Pace {
    /// Takes a look at time `now_ns`, and returns how soon the next one is due, in nanoseconds. `bounds` are bytes in use at
    /// which something is done, in any order.
    ///
    /// Growth counts at once and is forgotten by half with each look, so that a burst keeps the looks close for a while.
    pub fn next_look(&mut self, now_ns: u64, host: &Host, bounds: &[u64]) -> u64 {
        if let Some((then_ns, available)) = self.last {
            let gone = available.saturating_sub(host.available);
            let elapsed = now_ns.saturating_sub(then_ns).max(1);
            let rate = u128::from(gone) * 1_000_000_000 / u128::from(elapsed);
            self.rate = u64::try_from(rate).unwrap_or(u64::MAX).max(self.rate / 2);
        }
        self.last = Some((now_ns, host.available));
        self.due(headroom(host, bounds))
    }

    /// Bytes a second by which available memory falls; 0 while it rises.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    fn due(&self, headroom: u64) -> u64 {
        let quiet = time_to(headroom, SUDDEN_RATE).clamp(SHORTEST_QUIET_NS, LONGEST_NS);
        let moving = time_to(headroom, self.rate.saturating_mul(LOOKS_TO_BOUND));
        quiet.min(moving.clamp(SHORTEST_NS, LONGEST_NS))
    }
}

/// Bytes until the next bound above the present use, or until nothing is left.
#[must_use]
pub fn headroom(host: &Host, bounds: &[u64]) -> u64 {
    let used = host.used();
    let next = bounds.iter().filter(|bound| **bound > used).min();
    next.map_or(host.available, |bound| (bound - used).min(host.available))
}

fn time_to(bytes: u64, rate: u64) -> u64 {
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MS: u64 = 1_000_000;

    fn host(used: u64) -> Host {
        Host { total: 64 * GIB, available: 64 * GIB - used, ..Host::default() }
    }

    #[test]
    fn a_quiet_host_is_left_alone() {
        let mut pace = Pace::default();
        assert_eq!(pace.next_look(0, &host(GIB), &[60 * GIB]), 1_000 * MS);
        assert_eq!(pace.next_look(1_000 * MS, &host(GIB), &[60 * GIB]), 1_000 * MS);
        // Memory that comes back is no reason to look.
        assert_eq!(pace.next_look(2_000 * MS, &host(0), &[60 * GIB]), 1_000 * MS);
        assert_eq!(pace.rate(), 0);
    }

    #[test]
    fn the_nearer_a_bound_the_sooner() {
        let due = |used| Pace::default().next_look(0, &host(used), &[4 * GIB, 8 * GIB]);
        assert_eq!(due(3 * GIB), 250 * MS);
        assert_eq!(due(4 * GIB - 1), 25 * MS);
        // Past a bound the next one counts.
        assert_eq!(due(4 * GIB), 1_000 * MS);
    }

    #[test]
    fn a_burst_is_followed_closely_and_forgotten() {
        let mut pace = Pace::default();
        pace.next_look(0, &host(0), &[20 * GIB]);
        assert_eq!(pace.next_look(1_000 * MS, &host(16 * GIB), &[20 * GIB]), 62_500_000);
        assert_eq!(pace.rate(), 16 * GIB);
        assert_eq!(pace.next_look(1_062 * MS, &host(20 * GIB - 1), &[20 * GIB]), SHORTEST_NS);
        for at in 0..64 {
            pace.next_look(2_000 * MS + at, &host(20 * GIB - 1), &[20 * GIB]);
        }
        assert_eq!(pace.next_look(3_000 * MS, &host(20 * GIB - 1), &[20 * GIB]), SHORTEST_QUIET_NS);
    }

    #[test]
    fn jumps_and_a_clock_that_stands_do_no_harm() {
        let mut pace = Pace::default();
        for (now, used) in [(5, 60 * GIB), (5, 0), (4, 64 * GIB), (u64::MAX, 0), (0, 64 * GIB)] {
            let due = pace.next_look(now, &host(used), &[0, u64::MAX]);
            assert!((SHORTEST_NS..=LONGEST_NS).contains(&due), "{due}");
        }
    }
}
