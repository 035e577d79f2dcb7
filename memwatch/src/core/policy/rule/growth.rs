//! A scope that will reach its upper bound, or a pool its total, within a time at its present rate: told, then a worker is recycled.
//! What came of the forecast is told too.

use foldhash::fast::FixedState;

use super::{Among, Proposal, Rule, Totals, View, Wishes};
use crate::core::fact::ProcessKey;
use crate::core::policy::decision::{Cause, Gravity, Grows, Warning};
use crate::core::policy::engine::POOLS;
use crate::core::policy::samples::Samples;
use crate::core::policy::settings::Growth;
use crate::core::policy::world::{ById, PoolId, pool_settings};

/// Its name in reports.
const NAME: &str = "growth";
/// That of its half about pools, whose entry is a pool.
pub(in crate::core::policy) const OF_POOL: &str = "pool_growth";
/// Samples kept of a scope or pool.
const SAMPLES: usize = 64;
/// Samples from which on a rate means something.
const LEAST: usize = 4;

#[derive(Debug)]
pub(super) struct GrowthRule {
    scopes: Vec<Series>,
    /// Of pools with a total, each with its master: a master that starts anew begins anew.
    pools: ById<PoolId, (ProcessKey, Series)>,
    totals: Totals,
    /// Pools in order; kept for its room.
    order: Vec<PoolId>,
}

/// Use over time.
#[derive(Debug, Default)]
struct Series {
    samples: Samples<SAMPLES>,
    /// When the limit is to be reached, as was told, and the limit.
    foretold: Option<(u64, u64)>,
    /// When that was told: use that lies at a bound passes it every few looks.
    told_ns: Option<u64>,
}

impl Default for GrowthRule {
    fn default() -> Self {
        Self {
            scopes: Vec::new(),
            pools: ById::with_capacity_and_hasher(POOLS, FixedState::default()),
            totals: Totals::default(),
            order: Vec::with_capacity(POOLS),
        }
    }
}

impl Rule for GrowthRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let Some(rule) = view.settings.growth else { return };
        self.of_scopes(view, rule, wishes);
        self.of_pools(view, rule, wishes);
    }
}

impl GrowthRule {
    fn of_scopes(&mut self, view: &View<'_>, rule: Growth, wishes: &mut Wishes) {
        self.scopes.resize_with(view.settings.scopes.len(), Series::default);
        for (index, (scope, series)) in view.settings.scopes.iter().zip(&mut self.scopes).enumerate() {
            let Some(bounds) = &scope.bounds else { continue };
            let Some((used, memory)) = view.world.used(index, view.settings) else { continue };
            let use_and_limit = (used, bounds.upper.of(memory));
            if let Some(cause) = series.look(view.now_ns, rule, use_and_limit, Grows::Scope(index), wishes) {
                wishes.proposals.push(recycling(NAME, Some(index), cause, Among::Scope(index)));
            }
        }
    }

    fn of_pools(&mut self, view: &View<'_>, rule: Growth, wishes: &mut Wishes) {
        self.totals.measure(view.settings, view.world);
        let master_of = |id: &PoolId| view.world.holder(id.master).map(|master| master.who.key);
        self.pools.retain(|id, (master, _)| self.totals.of(*id).is_some() && master_of(id) == Some(*master));
        // Pools come in no order; a run can be repeated.
        self.order.clear();
        self.order.extend(self.totals.each().map(|(id, _)| id));
        self.order.sort_unstable_by_key(|id| (id.entry, id.master));
        for id in &self.order {
            let Some(limit) = pool_settings(view.settings, *id).and_then(|pool| pool.total) else { continue };
            let (Some(used), Some(master)) = (self.totals.of(*id), master_of(id)) else { continue };
            let (_, series) = self.pools.entry(*id).or_insert_with(|| (master, Series::default()));
            let grows = Grows::Pool { entry: id.entry, master };
            if let Some(cause) = series.look(view.now_ns, rule, (used, limit), grows, wishes) {
                wishes.proposals.push(recycling(OF_POOL, id.entry, cause, Among::Pool(*id)));
            }
        }
    }
}

/// One worker less before the limit is reached.
const fn recycling(rule: &'static str, entry: Option<usize>, cause: Cause, among: Among) -> Proposal {
    Proposal { rule, entry, cause, gravity: Gravity::Graceful, among, wanted: 1, idle_first: true }
}

impl Series {
    /// Takes use and limit in. Tells that the limit is reached soon; gives why, where a worker is to be recycled by then.
    fn look(
        &mut self,
        now_ns: u64,
        rule: Growth,
        (used, limit): (u64, u64),
        grows: Grows,
        wishes: &mut Wishes,
    ) -> Option<Cause> {
        self.add(now_ns, used, rule.window_ns);
        self.check(now_ns, used, rule.window_ns, wishes);
        let rate = self.rate(rule.window_ns).filter(|_| used < limit)?;
        let reached_in_ns = ((limit - used) as f64 / rate * 1e9) as u64;
        if reached_in_ns > rule.warn_within_ns {
            return None;
        }
        wishes.look_within(reached_in_ns / 8);
        let is_new = self.told_ns.is_none_or(|told_ns| now_ns.saturating_sub(told_ns) >= rule.window_ns);
        if self.foretold.is_none() && is_new {
            self.told_ns = Some(now_ns);
            self.foretold = Some((now_ns.saturating_add(reached_in_ns), limit));
            wishes.warnings.push(Warning::Growing { grows, bytes: used, limit, reached_in_ns });
        }
        let cause = Cause::Growth { bytes: used, limit, rate: rate as u64, reached_in_ns };
        (reached_in_ns <= rule.recycle_within_ns).then_some(cause)
    }

    fn add(&mut self, now_ns: u64, used: u64, window_ns: u64) {
        // Not more samples in the window than there is room for.
        let gap_ns = window_ns / SAMPLES as u64;
        if self.samples.taken().last().is_some_and(|(last, _)| now_ns.saturating_sub(*last) < gap_ns) {
            return;
        }
        self.samples.forget_before(now_ns.saturating_sub(window_ns));
        self.samples.add(now_ns, used);
    }

    /// Bytes a second by least squares; `None` when it does not grow, or was not seen for half of the window: what starts
    /// takes memory fast, and then no more.
    fn rate(&self, window_ns: u64) -> Option<f64> {
        let taken = self.samples.taken();
        let ((first, _), (last, _)) = (*taken.first()?, *taken.last()?);
        if taken.len() < LEAST || last - first < window_ns / 2 {
            return None;
        }
        let count = taken.len() as f64;
        let points = || taken.iter().map(|(time, used)| ((time - first) as f64 / 1e9, *used as f64));
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
