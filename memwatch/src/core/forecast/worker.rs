//! What was seen of one process of a pool.

use std::collections::VecDeque;

use crate::core::policy::Figures;

/// Age from which on what a process takes is for its work: before, it loads the program.
const SETTLED_NS: u64 = 3_000_000_000;

/// Time within which what a worker gains counts as one step: a request takes that long, and several looks see it grow.
const STEP_NS: u64 = 10_000_000_000;
/// Looks kept of that time.
const LOOKS: usize = 64;
/// Steps that growth has at least that is called steady.
const STEADY: u64 = 4;

/// One process: a worker, or the master. In bytes.
#[derive(Clone, Debug)]
pub struct Track {
    start_ns: u64,
    /// Private memory now.
    pub now: Option<u64>,
    /// Private memory when it had settled, or at the first look after that, and when that was.
    settled: Option<(u64, u64)>,
    /// When the last look was.
    last_ns: u64,
    /// The most it gained within ten seconds once it had settled.
    pub step: u64,
    /// The looks of that time.
    recent: VecDeque<(u64, u64)>,
    /// Resident and shared with others.
    pub shared: u64,
    /// What it adds to the pool: its part of shared pages counted by the number of those who share them.
    pub part: Option<u64>,
    /// The most that was ever private.
    pub highest: u64,
    /// The last full look, by which later looks at RSS alone are read.
    full: Option<Figures>,
}

impl Track {
    /// Of a process that was started then.
    #[must_use]
    pub const fn new(start_ns: u64) -> Self {
        Self {
            start_ns,
            now: None,
            settled: None,
            last_ns: 0,
            step: 0,
            recent: VecDeque::new(),
            shared: 0,
            part: None,
            highest: 0,
            full: None,
        }
    }

    /// Takes a look.
    pub fn look(&mut self, now_ns: u64, figures: Figures) {
        if figures.private.is_some() || figures.proportional.is_some() {
            self.full = Some(figures);
        }
        let known = self.full.unwrap_or(figures).moved(figures.resident);
        // Where nothing private was ever told, RSS is all there is: it is never too little.
        let Some(private) = known.private.or(known.proportional).or(known.resident) else { return };
        self.part = known.proportional.or(Some(private));
        self.shared = known.resident.map_or(0, |resident| resident.saturating_sub(private));
        if self.settled.is_none() || now_ns.saturating_sub(self.start_ns) < SETTLED_NS {
            self.settled = Some((now_ns, private));
            self.recent.clear();
        }
        self.note_step(now_ns, private);
        // The kernel keeps the highest RSS since the program was started, also of before the first look.
        let before = known.peak.map_or(0, |peak| peak.saturating_sub(self.shared));
        self.highest = self.highest.max(private).max(before);
        (self.now, self.last_ns) = (Some(private), now_ns);
    }

    fn note_step(&mut self, now_ns: u64, private: u64) {
        while self.recent.len() >= LOOKS
            || self.recent.front().is_some_and(|(time_ns, _)| now_ns.saturating_sub(*time_ns) > STEP_NS)
        {
            self.recent.pop_front();
        }
        let least = self.recent.iter().map(|(_, private)| *private).min();
        self.step = self.step.max(private.saturating_sub(least.unwrap_or(private)));
        self.recent.push_back((now_ns, private));
    }

    /// Private memory when it had settled.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.settled.map(|(_, private)| private)
    }

    /// What it gained since it settled, and in how long, in nanoseconds.
    #[must_use]
    pub fn gained(&self) -> (u64, u64) {
        let (Some((from_ns, first)), Some(now)) = (self.settled, self.now) else { return (0, 0) };
        (now.saturating_sub(first), self.last_ns.saturating_sub(from_ns))
    }

    /// Bytes a second by which it grows in steps that are small beside what it gained; `None` when it does not, or by leaps,
    /// which say nothing about time.
    #[must_use]
    pub fn steady(&self) -> Option<f64> {
        let (gained, in_ns) = self.gained();
        (gained > 0 && gained >= self.step.saturating_mul(STEADY)).then(|| gained as f64 * 1e9 / in_ns as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(resident: u64, private: u64) -> Figures {
        let proportional = Some(private + (resident - private) / 4);
        Figures { resident: Some(resident), private: Some(private), proportional, ..Figures::default() }
    }

    const SETTLED: u64 = SETTLED_NS;

    #[test]
    fn later_looks_at_rss_move_the_full_one() {
        let mut track = Track::new(0);
        track.look(SETTLED, figures(100, 20));
        track.look(SETTLED + 1, Figures { resident: Some(150), ..Figures::default() });
        assert_eq!((track.now, track.shared, track.step), (Some(70), 80, 50));
        assert_eq!((track.part, track.gained()), (Some(90), (50, 1)));
        track.look(SETTLED + 2, Figures { resident: Some(110), ..Figures::default() });
        assert_eq!((track.now, track.highest, track.gained()), (Some(30), 70, (10, 2)));
    }

    #[test]
    fn what_is_loaded_at_the_start_is_no_growth() {
        let mut track = Track::new(0);
        track.look(1, figures(100, 20));
        track.look(2, figures(500, 420));
        track.look(SETTLED, figures(530, 450));
        assert_eq!((track.first(), track.step, track.gained().0), (Some(420), 30, 30));
    }

    #[test]
    fn what_is_gained_within_some_looks_is_one_step() {
        let mut track = Track::new(0);
        for (second, private) in [(3, 20), (4, 50), (5, 80), (6, 80), (20, 80), (21, 90)] {
            track.look(second * 1_000_000_000, figures(private + 10, private));
        }
        assert_eq!((track.step, track.steady()), (60, None));
    }

    #[test]
    fn a_leak_is_steady_and_a_leap_is_not() {
        let (mut leak, mut leap) = (Track::new(0), Track::new(0));
        for second in 3..103 {
            leak.look(second * 1_000_000_000, figures(50 + second, 40 + second));
            let private = if second < 50 { 40 } else { 140 };
            leap.look(second * 1_000_000_000, figures(10 + private, private));
        }
        assert_eq!((leak.steady(), leap.steady()), (Some(1.0), None));
    }

    #[test]
    fn the_kernel_remembers_the_highest() {
        let mut track = Track::new(0);
        track.look(SETTLED, Figures { peak: Some(500), ..figures(100, 20) });
        assert_eq!((track.highest, track.first()), (420, Some(20)));
    }

    #[test]
    fn rss_stands_for_all_where_nothing_else_is_told() {
        let mut track = Track::new(0);
        track.look(SETTLED, Figures { resident: Some(100), ..Figures::default() });
        assert_eq!((track.now, track.part, track.shared), (Some(100), Some(100), 0));
    }
}
