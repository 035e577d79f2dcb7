//! How fast something grows, and when it reaches a bound: each with an interval.
//!
//! The time seen is cut into equal blocks. What was added in each varies about the mean; the next blocks vary as much, and
//! the mean itself is known no better than so many blocks make it. Both together give the interval: it is narrow for what
//! grows like a line, and wide for what comes in bursts.

use std::collections::VecDeque;

/// Points kept of a series; when there are more, every second one is dropped, and points are taken half as often.
const POINTS: usize = 512;
/// Blocks that the time is cut into.
const BLOCKS: usize = 8;
/// Points from which on there is a rate.
pub const LEAST: usize = BLOCKS + 1;
/// 97.5 % quantile of Student's distribution with one degree of freedom less than there are blocks.
const QUANTILE: f64 = 2.365;

/// Bytes over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: VecDeque<(u64, u64)>,
    highest: u64,
    /// Points that are left out between two that are kept.
    gap_ns: u64,
}

/// How fast a series grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bytes a second; negative where it falls.
    pub bytes_per_s: f64,
    /// Variance that each second adds to what was added, in bytes squared.
    variance: f64,
    /// Time that was seen, in seconds.
    seen_s: f64,
}

/// When a bound is reached, in seconds from the last point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// At the rate seen; `None`: never.
    pub expected_s: Option<f64>,
    /// Soonest, with 97.5 % certainty; `None`: never.
    pub soonest_s: Option<f64>,
    /// Latest; `None`: perhaps never.
    pub latest_s: Option<f64>,
}

impl Series {
    /// Adds a point; one that is not later than the last replaces it.
    pub fn add(&mut self, time_ns: u64, bytes: u64) {
        self.highest = self.highest.max(bytes);
        if let Some(last) = self.points.back_mut().filter(|(last, _)| time_ns <= *last) {
            last.1 = bytes;
            return;
        }
        let previous = self.points.len().checked_sub(2).and_then(|at| self.points.get(at));
        if previous.is_some_and(|(time, _)| time_ns - time < self.gap_ns) {
            self.points.pop_back();
        }
        self.points.push_back((time_ns, bytes));
        if self.points.len() > POINTS {
            let mut is_odd = false;
            self.points.retain(|_| {
                is_odd = !is_odd;
                is_odd
            });
            self.gap_ns = self.seen_ns() / (POINTS as u64 / 2);
        }
    }

    /// The first point.
    #[must_use]
    pub fn first(&self) -> Option<(u64, u64)> {
        self.points.front().copied()
    }

    /// The last point.
    #[must_use]
    pub fn last(&self) -> Option<(u64, u64)> {
        self.points.back().copied()
    }

    /// The most there ever was.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Time from the first point to the last.
    #[must_use]
    pub fn seen_ns(&self) -> u64 {
        self.last().zip(self.first()).map_or(0, |((last, _), (first, _))| last - first)
    }

    /// How fast it grows; `None` when fewer points were seen than there are blocks.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let ((first_ns, first), (last_ns, last)) = (self.first()?, self.last()?);
        if self.points.len() < LEAST || first_ns == last_ns {
            return None;
        }
        let seen_s = (last_ns - first_ns) as f64 / 1e9;
        let mean = (last as f64 - first as f64) / BLOCKS as f64;
        let mut before = first as f64;
        let mut squares = 0.0;
        for block in 1..=BLOCKS {
            let now = self.at(first_ns + (last_ns - first_ns) / BLOCKS as u64 * block as u64);
            squares += (now - before - mean).powi(2);
            before = now;
        }
        let of_block = squares / (BLOCKS - 1) as f64;
        let variance = of_block * BLOCKS as f64 / seen_s;
        Some(Rate { bytes_per_s: mean * BLOCKS as f64 / seen_s, variance, seen_s })
    }

    /// Its value at a time, on the line between the points around it.
    fn at(&self, time_ns: u64) -> f64 {
        let next = self.points.partition_point(|(time, _)| *time < time_ns);
        let point = |at: usize| self.points.get(at).copied();
        match (next.checked_sub(1).and_then(point), point(next)) {
            (Some((before_ns, before)), Some((after_ns, after))) => {
                let part = (time_ns - before_ns) as f64 / (after_ns - before_ns) as f64;
                before as f64 + (after as f64 - before as f64) * part
            }
            (Some((_, only)), None) | (None, Some((_, only))) => only as f64,
            (None, None) => 0.0,
        }
    }
}

impl Rate {
    /// Bytes that will have been added after so many seconds: at the rate seen, and the bounds of the interval that holds it
    /// in 95 of 100 cases.
    #[must_use]
    pub fn added_after(&self, seconds: f64) -> (f64, f64, f64) {
        let expected = self.bytes_per_s * seconds;
        let half = QUANTILE * (self.variance * seconds * (1.0 + seconds / self.seen_s)).sqrt();
        (expected, expected - half, expected + half)
    }

    /// When `room` more bytes will have been added. The interval is that of [`added_after`](Self::added_after), read the other
    /// way round.
    #[must_use]
    pub fn reaches(&self, room: u64) -> Reached {
        let room = room as f64;
        let expected_s = (self.bytes_per_s > 0.0).then(|| room / self.bytes_per_s);
        // room = rate t + or - q sqrt(v t (1 + t / T)): a quadratic equation in t, of which the first root above zero counts.
        let spread = QUANTILE.powi(2) * self.variance;
        let square = self.bytes_per_s.powi(2) - spread / self.seen_s;
        let linear = -2.0 * room * self.bytes_per_s - spread;
        let discriminant = linear.powi(2) - 4.0 * square * room * room;
        if discriminant < 0.0 {
            return Reached { expected_s, soonest_s: None, latest_s: None };
        }
        let root = discriminant.sqrt();
        // Written so that it holds also where the square's coefficient vanishes.
        let soonest = 2.0 * room * room / (root - linear);
        let is_sure = square > 0.0 && self.bytes_per_s > 0.0;
        let latest_s = is_sure.then(|| (root - linear) / (2.0 * square));
        let soonest_s = (root - linear > 0.0).then_some(soonest);
        Reached { expected_s, soonest_s, latest_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn series(points: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        for (second, bytes) in points.into_iter().enumerate() {
            series.add(second as u64 * SECOND, bytes);
        }
        series
    }

    #[test]
    fn a_line_reaches_its_bound_at_one_moment() {
        let rate = series((0..60).map(|second| 1_000 + 50 * second)).rate().expect("a rate");
        assert!((rate.bytes_per_s - 50.0).abs() < 1e-6, "{rate:?}");
        let Reached { expected_s, soonest_s, latest_s } = rate.reaches(5_000);
        for found in [expected_s, soonest_s, latest_s] {
            assert!((found.expect("it is reached") - 100.0).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn what_stands_still_or_falls_never_reaches_it() {
        for points in [series((0..60).map(|_| 7)), series((0..60).map(|second| 1_000 - 10 * second))] {
            let reached = points.rate().expect("a rate").reaches(100);
            assert_eq!(reached, Reached { expected_s: None, soonest_s: None, latest_s: None });
        }
    }

    #[test]
    fn few_points_have_no_rate_and_many_are_thinned() {
        assert_eq!(series(0..8).rate(), None);
        let long = series((0..100_000).map(|second| 10 * second));
        assert!(long.points.len() <= POINTS, "{}", long.points.len());
        assert_eq!(long.first(), Some((0, 0)));
        assert_eq!(long.last(), Some((99_999 * SECOND, 999_990)));
        assert!((long.rate().expect("a rate").bytes_per_s - 10.0).abs() < 1e-6);
    }

    /// Growth by chance, as requests make it: the interval of a forecast from the first half holds what is there at the end in
    /// about 95 of 100 runs.
    #[test]
    fn intervals_hold_what_comes() {
        let mut chance = 88_172_645_463_325_252_u64;
        let mut draw = || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance
        };
        const RUNS: usize = 400;
        let (mut inside, mut in_time) = (0, 0);
        for _ in 0..RUNS {
            let mut level = 1_000_000;
            let mut whole = Vec::new();
            for _ in 0..240 {
                level += if draw() % 4 == 0 { draw() % 1_000 } else { 0 };
                whole.push(level);
            }
            let seen = series(whole[..120].iter().copied());
            let rate = seen.rate().expect("a rate");
            let (_, low, high) = rate.added_after(120.0);
            let added = (whole[239] - whole[119]) as f64;
            inside += usize::from((low..=high).contains(&added));
            // The bound is set where the level will be after 60 seconds.
            let reached = rate.reaches((whole[179] - whole[119]).max(1));
            let soonest = reached.soonest_s.unwrap_or(f64::INFINITY);
            in_time += usize::from((soonest..=reached.latest_s.unwrap_or(f64::INFINITY)).contains(&60.0));
        }
        assert!(inside * 100 >= RUNS * 92 && inside * 100 <= RUNS * 99, "{inside} of {RUNS}");
        assert!(in_time * 100 >= RUNS * 92, "{in_time} of {RUNS}");
    }
}
