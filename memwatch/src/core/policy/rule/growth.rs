//! A scope that will reach its upper bound within a time at its present rate: told, then a worker is recycled. What came of the
//! forecast is told too.

use std::collections::VecDeque;

use super::{Among, Proposal, Rule, View, Wishes};
use crate::core::policy::decision::{Cause, Gravity, Warning};

/// Its name in reports.
const NAME: &str = "growth";
/// Samples kept of a scope.
const SAMPLES: usize = 64;
/// Samples from which on a rate means something.
const LEAST: usize = 4;

#[derive(Debug, Default)]
pub(super) struct GrowthRule {
    series: Vec<Series>,
}

/// Use of a scope over time.
#[derive(Debug)]
struct Series {
    samples: VecDeque<(u64, u64)>,
    /// When the limit is to be reached, as was told, and the limit.
    foretold: Option<(u64, u64)>,
    /// When that was told: use that lies at a bound passes it every few looks.
    told_ns: Option<u64>,
}

impl Rule for GrowthRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let Some(rule) = view.settings.growth else { return };
        self.series.resize_with(view.settings.scopes.len(), Series::default);
        for (index, (scope, series)) in view.settings.scopes.iter().zip(&mut self.series).enumerate() {
            let Some(bounds) = &scope.bounds else { continue };
            let Some((used, memory)) = view.world.used(index, view.settings) else { continue };
            let limit = bounds.upper.of(memory);
            series.add(view.now_ns, used, rule.window_ns);
            series.check(view.now_ns, used, rule.window_ns, wishes);
            let Some(rate) = series.rate(rule.window_ns).filter(|_| used < limit) else { continue };
            let reached_in_ns = ((limit - used) as f64 / rate * 1e9) as u64;
            if reached_in_ns > rule.warn_within_ns {
                continue;
            }
            wishes.look_within(reached_in_ns / 8);
            let is_new =
                series.told_ns.is_none_or(|told_ns| view.now_ns.saturating_sub(told_ns) >= rule.window_ns);
            if series.foretold.is_none() && is_new {
                series.told_ns = Some(view.now_ns);
                series.foretold = Some((view.now_ns.saturating_add(reached_in_ns), limit));
                wishes.warnings.push(Warning::Growing {
                    scope: Some(index),
                    worker: None,
                    bytes: used,
                    limit,
                    reached_in_ns,
                });
            }
            if reached_in_ns <= rule.recycle_within_ns {
                wishes.proposals.push(Proposal {
                    rule: NAME,
                    entry: Some(index),
                    cause: Cause::Growth { bytes: used, limit, rate: rate as u64, reached_in_ns },
                    gravity: Gravity::Graceful,
                    among: Among::Scope(index),
                    wanted: 1,
                    idle_first: true,
                });
            }
        }
    }
}

impl Default for Series {
    /// With room for all it will hold: nothing is allocated on the way to a signal.
    fn default() -> Self {
        Self { samples: VecDeque::with_capacity(SAMPLES), foretold: None, told_ns: None }
    }
}

impl Series {
    fn add(&mut self, now_ns: u64, used: u64, window_ns: u64) {
        // Not more samples in the window than there is room for.
        let gap_ns = window_ns / SAMPLES as u64;
        if self.samples.back().is_some_and(|(last, _)| now_ns.saturating_sub(*last) < gap_ns) {
            return;
        }
        while self.samples.len() >= SAMPLES
            || self.samples.front().is_some_and(|(time, _)| now_ns.saturating_sub(*time) > window_ns)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now_ns, used));
    }

    /// Bytes a second by least squares; `None` when it does not grow, or was not seen for half of the window: what starts
    /// takes memory fast, and then no more.
    fn rate(&self, window_ns: u64) -> Option<f64> {
        let ((first, _), (last, _)) = (*self.samples.front()?, *self.samples.back()?);
        if self.samples.len() < LEAST || last - first < window_ns / 2 {
            return None;
        }
        let count = self.samples.len() as f64;
        let points = || self.samples.iter().map(|(time, used)| ((time - first) as f64 / 1e9, *used as f64));
        let mean_x = points().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points().map(|(_, y)| y).sum::<f64>() / count;
        let spread = points().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
        let slope = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
        (slope > 0.0).then_some(slope)
    }

    /// Compares what was foretold with what happened.
    fn check(&mut self, now_ns: u64, used: u64, window_ns: u64, wishes: &mut Wishes) {
        let Some((foretold_ns, limit)) = self.foretold else { return };
        let reached_ns = (used >= limit).then_some(now_ns);
        if reached_ns.is_some() || now_ns > foretold_ns.saturating_add(window_ns) {
            self.foretold = None;
            wishes.warnings.push(Warning::Forecast { foretold_ns, reached_ns });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_continued() {
        let mut series = Series::default();
        for second in 0..10_u64 {
            series.add(second * 1_000_000_000, 1000 + second * 50, 60_000_000_000);
        }
        let rate = series.rate(10_000_000_000).expect("it grows");
        assert!((rate - 50.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_start_is_no_growth() {
        let mut series = Series::default();
        for second in 0..10_u64 {
            series.add(second * 1_000_000_000, 1000 + second * 50, 60_000_000_000);
        }
        assert_eq!(series.rate(60_000_000_000), None, "nine seconds are less than half a minute");
    }

    #[test]
    fn what_does_not_grow_has_no_rate() {
        let mut series = Series::default();
        for second in 0..10_u64 {
            series.add(second * 1_000_000_000, 1000, 60_000_000_000);
        }
        assert_eq!(series.rate(10_000_000_000), None);
    }
}
