//! What cgroups truly hold beside what they are charged for: which are read when, and a warning of those that are charged for
//! clearly less. What a scope truly uses is held against its bounds as any other use is.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Rule, View, Wishes, level};
use crate::core::policy::decision::Warning;
use crate::core::policy::input::Holding;
use crate::core::policy::settings::{Audit, Reach};

/// Time between readings of a scope, and of one that is near a bound, in nanoseconds.
const SCOPE_NS: u64 = 10_000_000_000;
const NEAR_NS: u64 = 1_000_000_000;
/// Share of the lower bound from which on a scope is near it, in percent.
const NEAR: u64 = 90;
/// Part of what is left to the lower bound that its processes may take more before the scope is read again.
const TAKEN: u64 = 4;
/// Time that passes after a reading before a cgroup that is no scope is read again, in CPU times of that reading: the share of a
/// processor that this may take.
const REST: u64 = 1_000;
/// The same before one that was never read: fifty new ones are not to wait for an hour, and no host has new ones for long.
const FIRST_REST: u64 = 50;
/// The same of a scope.
const SCOPE_REST: u64 = 20;

#[derive(Debug, Default)]
pub(super) struct AuditRule {
    told: BTreeSet<u64>,
    /// Resident bytes of each scope when it was last asked about.
    resident: Vec<u64>,
    /// When one was last read, and how much CPU time that took, in nanoseconds.
    last: Option<(u64, u64)>,
}

impl Rule for AuditRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.scopes(view, wishes);
        let Some(rule) = view.settings.audit else { return };
        self.told.retain(|number| view.world.cgroups.get(*number).is_some());
        for (number, holding) in view.world.cgroups.fresh() {
            self.last = Some((view.now_ns, holding.cpu_ns));
            self.warn(rule, number, holding, wishes);
        }
        if wishes.audit.is_empty() {
            self.next(view, rule, wishes);
        }
    }
}

impl AuditRule {
    fn warn(&mut self, rule: Audit, number: u64, holding: Holding, wishes: &mut Wishes) {
        let Holding { used, charged, missing, limit, .. } = holding;
        if missing < rule.min_missing || missing < rule.min_share.of(used) {
            self.told.remove(&number);
        } else if self.told.insert(number) {
            wishes.warnings.push(Warning::UnderCharged { cgroup: number, used, charged, missing, limit });
        }
    }
}

impl AuditRule {
    /// Asks for the scopes: often when a bound is near or their processes take more, at once when who was to go has gone.
    fn scopes(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.resident.resize(view.settings.scopes.len(), 0);
        for ((index, scope), before) in view.settings.scopes.iter().enumerate().zip(&mut self.resident) {
            let Reach::Cgroup(path) = &scope.reach else { continue };
            let Some(number) = view.world.cgroups.number(path).filter(|_| scope.true_use) else { continue };
            let Some(audited) = view.world.cgroups.get(number) else { continue };
            let resident = view.world.resident(index);
            let gap_ns = match level(view, index) {
                _ if !view.world.is_current(index, view.settings) => 0,
                Some(level) if level.used >= level.lower / 100 * NEAR => NEAR_NS,
                Some(level) if resident.saturating_sub(*before) > (level.lower - level.used) / TAKEN => {
                    NEAR_NS
                }
                Some(_) | None => SCOPE_NS,
            };
            wishes.look_within(gap_ns.max(NEAR_NS));
            let is_due = audited.read.is_none_or(|(read_ns, holding)| {
                let rest_ns = holding.map_or(SCOPE_NS, |holding| holding.cpu_ns.saturating_mul(SCOPE_REST));
                view.now_ns.saturating_sub(read_ns) >= gap_ns.max(rest_ns)
            });
            if is_due && !audited.is_asked(view.now_ns) {
                *before = resident;
                wishes.audit.push(number);
            }
        }
    }

    /// Asks for one cgroup at a time: of those that were never read the latest, whose pages may be another's still; then the one
    /// that has waited longest beyond its time.
    fn next(&self, view: &View<'_>, rule: Audit, wishes: &mut Wishes) {
        if view.world.cgroups.are_read(view.now_ns) {
            return;
        }
        let rested = |times: u64| {
            let rests_until =
                |(read_ns, cpu_ns): (u64, u64)| read_ns.saturating_add(cpu_ns.saturating_mul(times));
            self.last.is_none_or(|last| view.now_ns >= rests_until(last))
        };
        let (may_read_new, may_read_again) = (rested(FIRST_REST), rested(REST));
        let due = view.world.cgroups.each().filter_map(|(number, audited)| {
            let (may_read, due_ns, met_ns) = match audited.read {
                None => (may_read_new, audited.met_ns.saturating_add(rule.settle_ns), Some(audited.met_ns)),
                Some((read_ns, _)) => (may_read_again, read_ns.saturating_add(rule.every_ns), None),
            };
            (may_read && due_ns <= view.now_ns).then_some((met_ns, Reverse(due_ns), number))
        });
        wishes.audit.extend(due.max().map(|(.., number)| number));
    }
}
