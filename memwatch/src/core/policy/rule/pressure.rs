//! Full pressure for a time, and memory truly short: never pressure alone.

use super::{Among, Proposal, Rule, View, Wishes, candidates};
use crate::core::policy::decision::{Cause, Gravity};
use crate::core::policy::settings::Reach;

/// Its name in reports.
const NAME: &str = "pressure";

#[derive(Debug, Default)]
pub(super) struct PressureRule {
    since_ns: Option<u64>,
}

impl Rule for PressureRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let (Some(rule), Some(host)) = (view.settings.pressure, view.world.host) else { return };
        let below = rule.available_below.of(host.total);
        let Some(full) = host.full_pressure.filter(|full| *full >= rule.full && host.available < below)
        else {
            self.since_ns = None;
            return;
        };
        let lasted_ns = view.now_ns.saturating_sub(*self.since_ns.get_or_insert(view.now_ns));
        wishes.look_within(rule.lasting_ns / 4);
        let Some(scope) = view.settings.scopes.iter().position(|scope| scope.reach == Reach::Host) else {
            return;
        };
        let among = Among::Scope(scope);
        wishes.needs(view.now_ns, candidates(view.settings, view.world, among));
        if lasted_ns < rule.lasting_ns {
            return;
        }
        wishes.proposals.push(Proposal {
            rule: NAME,
            entry: Some(scope),
            cause: Cause::Pressure { full, available: host.available, below },
            // Asked first; when that did not help for as long again, killed.
            gravity: if lasted_ns < 2 * rule.lasting_ns { Gravity::Graceful } else { Gravity::Kill },
            among,
            wanted: 1,
            idle_first: false,
        });
    }
}
