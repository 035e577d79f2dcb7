//! What was seen of one process of a pool.

use crate::core::policy::Figures;

/// Age from which on what a process takes is for its work: before, it loads the program.
const SETTLED_NS: u64 = 3_000_000_000;

/// One process: a worker, or the master. In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    start_ns: u64,
    /// Private memory now.
    pub now: Option<u64>,
    /// Private memory when it had settled, or at the first look after that, and when that was.
    settled: Option<(u64, u64)>,
    /// When the last look was.
    last_ns: u64,
    /// The most it gained from one look to the next once it had settled.
    pub step: u64,
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
        match self.settled {
            None => self.settled = Some((now_ns, private)),
            Some(_) if now_ns.saturating_sub(self.start_ns) < SETTLED_NS => {
                self.settled = Some((now_ns, private));
            }
            Some(_) => self.step = self.step.max(private.saturating_sub(self.now.unwrap_or(private))),
        }
        // The kernel keeps the highest RSS since the program was started, also of before the first look.
        let before = known.peak.map_or(0, |peak| peak.saturating_sub(self.shared));
        self.highest = self.highest.max(private).max(before);
        (self.now, self.last_ns) = (Some(private), now_ns);
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
