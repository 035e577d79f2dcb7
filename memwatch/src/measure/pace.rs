//! How soon to look at the host again: often when memory goes fast or a bound is near, hardly at all when nothing moves.

use crate::core::policy::Host;

/// Shortest time between two looks, in nanoseconds.
const SHORTEST_NS: u64 = 2_000_000;
/// Shortest time while nothing moves, however near a bound is, in nanoseconds.
const SHORTEST_QUIET_NS: u64 = 25_000_000;
/// Longest time between two looks, in nanoseconds.
const LONGEST_NS: u64 = 1_000_000_000;
/// Looks on the way to a bound at the present rate.
const LOOKS_TO_BOUND: u64 = 4;
/// What may begin to be taken between two looks, in bytes a second: one task touches about 3 GB/s.
const SUDDEN_RATE: u64 = 4 << 30;
/// Time in which a rate is forgotten by half, in nanoseconds. Available memory falls in steps: each processor takes pages in
/// batches of up to 63 << 5 of them (`nr_pcp_alloc` in mm/page_alloc.c, from 6.7 on), which for one task at 110 MB/s is a step
/// every 75 ms. Between two steps nothing seems to move.
const HALF_LIFE_NS: u64 = 250_000_000;

/// The rate at which memory goes, and from it the time to the next look. Pure: time is an argument.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<(u64, u64)>,
    rate: u64,
}

impl Pace {
    /// Takes a look at time `now_ns`.
    ///
    /// Growth counts at once and is forgotten by half in each 250 ms, however often it is looked meanwhile, so that
    /// neither a burst nor a step leaves the looks far apart.
    pub fn take(&mut self, now_ns: u64, host: &Host) {
        if let Some((then_ns, available)) = self.last {
            let gone = available.saturating_sub(host.available);
            let elapsed = now_ns.saturating_sub(then_ns);
            let rate = u128::from(gone) * 1_000_000_000 / u128::from(elapsed.max(1));
            let half_lives = elapsed as f64 / HALF_LIFE_NS as f64;
            let left = (self.rate as f64 * (-half_lives).exp2()) as u64;
            self.rate = u64::try_from(rate).unwrap_or(u64::MAX).max(left);
        }
        self.last = Some((now_ns, host.available));
    }

    /// How soon the next look is due, in nanoseconds, with so many bytes left until something is done ([`headroom`]).
    #[must_use]
    pub fn due(&self, headroom: u64) -> u64 {
        let quiet = time_to(headroom, SUDDEN_RATE).clamp(SHORTEST_QUIET_NS, LONGEST_NS);
        let moving = time_to(headroom, self.rate.saturating_mul(LOOKS_TO_BOUND));
        quiet.min(moving.clamp(SHORTEST_NS, LONGEST_NS))
    }

    /// Time in which so many bytes are gone at the present rate, in nanoseconds.
    #[must_use]
    pub fn until(&self, bytes: u64) -> u64 {
        time_to(bytes, self.rate)
    }

    /// Bytes a second by which available memory falls; 0 while it rises.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
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

    /// How soon the next look is due after one that saw so much in use.
    fn look(pace: &mut Pace, now_ns: u64, used: u64, bounds: &[u64]) -> u64 {
        pace.take(now_ns, &host(used));
        pace.due(headroom(&host(used), bounds))
    }

    #[test]
    fn a_quiet_host_is_left_alone() {
        let mut pace = Pace::default();
        assert_eq!(look(&mut pace, 0, GIB, &[60 * GIB]), 1_000 * MS);
        assert_eq!(look(&mut pace, 1_000 * MS, GIB, &[60 * GIB]), 1_000 * MS);
        // Memory that comes back is no reason to look.
        assert_eq!(look(&mut pace, 2_000 * MS, 0, &[60 * GIB]), 1_000 * MS);
        assert_eq!(pace.rate(), 0);
    }

    #[test]
    fn the_nearer_a_bound_the_sooner() {
        let due = |used| look(&mut Pace::default(), 0, used, &[4 * GIB, 8 * GIB]);
        assert_eq!(due(3 * GIB), 250 * MS);
        assert_eq!(due(4 * GIB - 1), 25 * MS);
        // Past a bound the next one counts.
        assert_eq!(due(4 * GIB), 1_000 * MS);
    }

    #[test]
    fn a_burst_is_followed_closely_and_forgotten() {
        let mut pace = Pace::default();
        look(&mut pace, 0, 0, &[20 * GIB]);
        assert_eq!(look(&mut pace, 1_000 * MS, 16 * GIB, &[20 * GIB]), 62_500_000);
        assert_eq!(pace.rate(), 16 * GIB);
        assert_eq!(pace.until(4 * GIB), 250 * MS);
        assert_eq!(look(&mut pace, 1_062 * MS, 20 * GIB - 1, &[20 * GIB]), SHORTEST_NS);
        // 64 looks in no time are no reason to forget it.
        for at in 0..64 {
            assert_eq!(look(&mut pace, 1_100 * MS + at, 20 * GIB - 1, &[20 * GIB]), SHORTEST_NS);
        }
        assert_eq!(look(&mut pace, 12_000 * MS, 20 * GIB - 1, &[20 * GIB]), SHORTEST_QUIET_NS);
    }

    #[test]
    fn jumps_and_a_clock_that_stands_do_no_harm() {
        let mut pace = Pace::default();
        for (now, used) in [(5, 60 * GIB), (5, 0), (4, 64 * GIB), (u64::MAX, 0), (0, 64 * GIB)] {
            let due = look(&mut pace, now, used, &[0, u64::MAX]);
            assert!((SHORTEST_NS..=LONGEST_NS).contains(&due), "{due}");
        }
    }

    /// A host on which one task takes memory at a steady speed from `START_NS` on, and whose available memory falls in steps.
    struct Stepwise {
        bytes_per_s: u64,
        step: u64,
        /// What of the first step is taken already.
        taken: u64,
    }

    const START_NS: u64 = 3_000 * MS;
    const BOUND: u64 = GIB + 768 * (1 << 20);

    impl Stepwise {
        fn used(&self, now_ns: u64) -> u64 {
            let Some(since_ns) = now_ns.checked_sub(START_NS) else { return GIB };
            let taken = u128::from(self.bytes_per_s) * u128::from(since_ns) / 1_000_000_000;
            GIB + (self.taken + u64::try_from(taken).expect("few bytes")) / self.step * self.step
        }

        /// Time from the moment at which the bound is seen to be passed to the look that sees it, when a look takes `look_ns` and the
        /// timer goes by milliseconds. Looks begin at `first_ns`.
        fn seen_after(&self, first_ns: u64, look_ns: u64) -> u64 {
            let (mut pace, mut now_ns, mut looks) = (Pace::default(), first_ns, 0);
            while self.used(now_ns) < BOUND {
                let due_ns = look(&mut pace, now_ns, self.used(now_ns), &[BOUND]);
                now_ns += due_ns.next_multiple_of(MS) + look_ns;
                looks += 1;
            }
            assert!(looks < 4_000, "{looks} looks in {} s", now_ns / (1_000 * MS));
            let crossed_ns =
                (0..=now_ns / 1_000).rev().find(|us| self.used(us * 1_000) < BOUND).expect("a start");
            now_ns - crossed_ns * 1_000
        }
    }

    #[test]
    fn memory_that_goes_in_steps_is_seen_to_pass_a_bound_at_once() {
        let step = 63 << 5 << 12;
        for bytes_per_s in [110_000_000, 150_000_000, 300_000_000, 3_000_000_000] {
            let mut after: Vec<u64> = (0..100)
                .map(|run| {
                    let host = Stepwise { bytes_per_s, step, taken: step * run / 100 };
                    host.seen_after(run * 37 % 100 * 10 * MS, MS)
                })
                .collect();
            after.sort_unstable();
            let (median, most) = (after[50], after[99]);
            assert!(median <= 2_500_000, "at {bytes_per_s} bytes a second: {median} ns");
            assert!(most <= 8 * MS, "at {bytes_per_s} bytes a second: {most} ns");
        }
    }
}
