//! Memory that is read in again soon after it was dropped, while tasks wait for it: told once, before the host stops answering.
//!
//! Refaults alone are a cache at work, and waiting alone may be one large allocation; together they are thrash. A slow disk
//! gives few refaults and long waits: the longer tasks wait, the fewer do, down to a tenth.

use std::collections::VecDeque;

use super::{Rule, View, Wishes};
use crate::core::policy::decision::Warning;
use crate::core::policy::input::Strain;
use crate::core::policy::settings::Thrash;

/// How many times as long as asked for waits count.
const SLOWEST: u32 = 10;
/// Looks kept of a scope.
const LOOKS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct ThrashRule {
    series: Vec<Series>,
}

/// Counters of a scope over time.
#[derive(Debug, Default)]
struct Series {
    looks: VecDeque<(u64, Strain)>,
    is_told: bool,
}

/// What counters say of a time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    refaults: u64,
    major_faults: u64,
    reclaimed: Option<u64>,
    /// In hundredths of a percent.
    stalled: Option<u32>,
}

impl Rule for ThrashRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let Some(rule) = view.settings.thrash else { return };
        self.series.resize_with(view.settings.scopes.len(), Series::default);
        for (index, (scope, series)) in view.settings.scopes.iter().zip(&mut self.series).enumerate() {
            let Some((time_ns, strain)) = view.world.strain(&scope.reach) else { continue };
            series.add(time_ns, strain, rule.window_ns);
            let Some(rates) = series.rates(rule.window_ns) else { continue };
            if !rates.is_thrash(rule) {
                // It is over once it is clearly less.
                series.is_told &= rates.weight(rule).saturating_mul(2) >= rule.refaults;
                continue;
            }
            wishes.look_within(rule.window_ns / 4);
            if !series.is_told {
                series.is_told = true;
                let Rates { refaults, major_faults, reclaimed, stalled } = rates;
                wishes.warnings.push(Warning::Thrashing {
                    scope: index,
                    refaults,
                    major_faults,
                    reclaimed,
                    stalled,
                });
            }
        }
    }
}

impl Series {
    fn add(&mut self, time_ns: u64, strain: Strain, window_ns: u64) {
        // Not more looks in the window than there is room for.
        let gap_ns = window_ns / LOOKS as u64;
        if self.looks.back().is_some_and(|(last, _)| time_ns.saturating_sub(*last) <= gap_ns) {
            return;
        }
        // A cgroup that was made anew counts from nothing.
        if self.looks.back().is_some_and(|(_, last)| strain.refaults < last.refaults) {
            self.looks.clear();
        }
        while self.looks.len() >= LOOKS
            || self.looks.front().is_some_and(|(first, _)| time_ns.saturating_sub(*first) > window_ns)
        {
            self.looks.pop_front();
        }
        self.looks.push_back((time_ns, strain));
    }

    /// `None` when less than half of the window was seen.
    fn rates(&self, window_ns: u64) -> Option<Rates> {
        let ((from_ns, from), (to_ns, to)) = (*self.looks.front()?, *self.looks.back()?);
        let time_ns = to_ns - from_ns;
        if time_ns < window_ns / 2 {
            return None;
        }
        let risen = |to: u64, from: u64| u128::from(to.saturating_sub(from));
        let a_second = |to: u64, from: u64| {
            u64::try_from(risen(to, from) * 1_000_000_000 / u128::from(time_ns)).unwrap_or(u64::MAX)
        };
        let share = |to: u64, from: u64| {
            u32::try_from((risen(to, from) * 10_000 / u128::from(time_ns)).min(10_000)).unwrap_or(10_000)
        };
        Some(Rates {
            refaults: a_second(to.refaults, from.refaults),
            major_faults: a_second(to.major_faults, from.major_faults),
            reclaimed: to.reclaimed.zip(from.reclaimed).map(|(to, from)| a_second(to, from)),
            stalled: to.stalled_ns.zip(from.stalled_ns).map(|(to, from)| share(to, from)),
        })
    }
}

impl Rates {
    /// Where the kernel tells no stalls, tasks that reclaim by themselves, or wait for a disk in a fault, are those that wait.
    fn is_thrash(&self, rule: Thrash) -> bool {
        let waits = match (self.stalled, self.reclaimed) {
            (Some(stalled), _) => stalled >= rule.stalled,
            (None, Some(reclaimed)) => reclaimed > 0,
            (None, None) => self.major_faults > 0,
        };
        waits && self.weight(rule) >= rule.refaults
    }

    /// Refaults a second, counted as often as tasks wait longer than the rule asks for, ten times at most.
    fn weight(&self, rule: Thrash) -> u64 {
        let asked = rule.stalled.max(1);
        let stalled = self.stalled.unwrap_or(asked).clamp(asked, asked.saturating_mul(SLOWEST));
        self.refaults.saturating_mul(stalled.into()) / u64::from(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const RULE: Thrash = Thrash { refaults: 1_000, stalled: 500, window_ns: 4 * SECOND };

    fn rates(seconds: u64, refaults: u64, stalled_ns: Option<u64>, reclaimed: Option<u64>) -> Option<Rates> {
        let mut series = Series::default();
        for second in 0..=seconds {
            let strain = Strain {
                major_faults: second,
                refaults: refaults * second,
                reclaimed: reclaimed.map(|pages| pages * second),
                stalled_ns: stalled_ns.map(|stalled| stalled * second),
            };
            series.add(second * SECOND, strain, RULE.window_ns);
        }
        series.rates(RULE.window_ns)
    }

    #[test]
    fn refaults_that_tasks_wait_for_are_thrash() {
        let found = rates(4, 1_500, Some(SECOND / 10), None).expect("half of the window was seen");
        assert_eq!((found.refaults, found.major_faults, found.stalled), (1_500, 1, Some(1_000)));
        assert!(found.is_thrash(RULE));
        assert_eq!(rates(1, 1_500, Some(SECOND), None), None);
    }

    #[test]
    fn either_alone_is_none() {
        let is_thrash = |refaults, stalled, reclaimed| {
            rates(6, refaults, stalled, reclaimed).is_some_and(|rates| rates.is_thrash(RULE))
        };
        assert!(!is_thrash(50_000, Some(SECOND / 100), Some(100_000)), "a cache at work");
        assert!(!is_thrash(10, Some(SECOND), None), "a large allocation");
        assert!(!is_thrash(50_000, None, Some(0)), "kswapd keeps up");
        assert!(is_thrash(100, Some(SECOND / 2), None), "a slow disk");
        assert!(!is_thrash(300, Some(SECOND / 10), None), "a slow disk that is hardly waited for");
        assert!(is_thrash(50_000, None, Some(1)));
        assert!(is_thrash(50_000, None, None), "a fault a second waits for a disk");
    }

    #[test]
    fn a_cgroup_made_anew_begins_anew() {
        let mut series = Series::default();
        let strain = |refaults| Strain { refaults, ..Strain::default() };
        series.add(0, strain(1_000_000), RULE.window_ns);
        series.add(3 * SECOND, strain(10), RULE.window_ns);
        assert_eq!(series.rates(RULE.window_ns), None);
    }
}
