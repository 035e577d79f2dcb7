//! Two bounds on the use of a scope: above the lower one workers are recycled, the more the closer use is to the upper
//! one; from there on they are killed.

use super::{Among, Proposal, Rule, View, Wishes, candidates};
use crate::core::policy::decision::{Cause, Gravity};
use crate::core::policy::settings::{Bounds, Reach};

/// Its name in reports.
pub(in crate::core::policy) const NAME: &str = "host_bounds";
/// Time between looks while use lies above the lower bound, in nanoseconds.
const LOOK_NS: u64 = 100_000_000;

#[derive(Debug, Default)]
pub(super) struct HostBounds;

impl Rule for HostBounds {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        for (index, scope) in view.settings.scopes.iter().enumerate() {
            let Some(level) = level(view, index) else { continue };
            let Level { used, lower, upper, .. } = level;
            let among = Among::Scope(index);
            // What is resident is never less than what is used, and costs less to know.
            if scope.reach != Reach::Host && view.world.resident(index) >= lower {
                wishes.needs(view.now_ns, view.world.members_of(index));
            }
            if used < lower {
                continue;
            }
            wishes.look_within(LOOK_NS);
            if !view.world.is_current(index, view.settings) {
                // What the last one gave back is not known yet.
                continue;
            }
            let unmeasured = wishes.needs(view.now_ns, candidates(view.settings, view.world, among));
            if used >= upper {
                wishes.proposals.push(Proposal {
                    rule: NAME,
                    entry: Some(index),
                    cause: Cause::AboveUpper { used, upper },
                    gravity: Gravity::Kill,
                    among,
                    wanted: 1,
                    idle_first: false,
                });
                continue;
            }
            if unmeasured {
                // There is time to know who holds most.
                continue;
            }
            let wanted = level.wanted(view);
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: Some(index),
                cause: Cause::AboveLower { used, lower, upper, wanted },
                gravity: Gravity::Graceful,
                among,
                wanted,
                idle_first: false,
            });
        }
    }
}

/// How a scope stands to its bounds, in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::core::policy) struct Level<'a> {
    scope: usize,
    bounds: &'a Bounds,
    pub(in crate::core::policy) used: u64,
    pub(in crate::core::policy) memory: u64,
    pub(in crate::core::policy) lower: u64,
    pub(in crate::core::policy) upper: u64,
}

/// How a scope stands to its bounds; `None`: it has none, or nothing is known of the host yet.
pub(in crate::core::policy) fn level<'a>(view: &View<'a>, scope: usize) -> Option<Level<'a>> {
    let bounds = view.settings.scopes.get(scope)?.bounds.as_ref()?;
    let (used, memory) = view.world.used(scope, view.settings)?;
    Some(Level {
        scope,
        bounds,
        used,
        memory,
        lower: bounds.lower.of(memory),
        upper: bounds.upper.of(memory),
    })
}

impl Level<'_> {
    /// Acts that should be under way between the bounds.
    pub(in crate::core::policy) fn wanted(&self, view: &View<'_>) -> u32 {
        if self.used < self.lower {
            return 0;
        }
        let count = candidates(view.settings, view.world, Among::Scope(self.scope)).count();
        wanted(self.bounds, self.used, self.lower, self.upper, self.memory, count)
    }
}

/// Workers to recycle: `ceil(n x ((use - lower) / (upper - lower)) ^ exponent)`, or what the table of steps says.
fn wanted(bounds: &Bounds, used: u64, lower: u64, upper: u64, memory: u64, workers: usize) -> u32 {
    if !bounds.steps.is_empty() {
        let reached = bounds.steps.iter().rev().find(|step| used >= step.at.of(memory));
        return reached.map_or(0, |step| step.count);
    }
    let share = (used - lower) as f64 / (upper - lower).max(1) as f64;
    (workers as f64 * share.powf(bounds.exponent)).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::settings::{Amount, Step};

    fn bounds(steps: Vec<Step>) -> Bounds {
        Bounds { lower: Amount::Bytes(100), upper: Amount::Bytes(200), exponent: 2.0, steps }
    }

    #[test]
    fn the_number_is_quadratic_in_the_nearness_to_the_upper_bound() {
        let at = |used| wanted(&bounds(Vec::new()), used, 100, 200, 1000, 16);
        assert_eq!([100, 101, 125, 150, 175, 199].map(at), [0, 1, 1, 4, 9, 16]);
    }

    #[test]
    fn a_table_of_steps_takes_its_place() {
        let steps =
            vec![Step { at: Amount::Bytes(120), count: 1 }, Step { at: Amount::Share(1500), count: 3 }];
        let at = |used| wanted(&bounds(steps.clone()), used, 100, 200, 1000, 16);
        assert_eq!([110, 120, 149, 150].map(at), [0, 1, 1, 3]);
    }
}
