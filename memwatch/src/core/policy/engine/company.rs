//! Who shares the cgroup or the unit of somebody that is to go: where anyone in it may not be touched, it is not taken.

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::case::Case;
use crate::core::policy::command::Command;
use crate::core::policy::decision::{Gravity, Warning};
use crate::core::policy::unit;

impl Engine {
    /// Whether the cgroup of a process, with those below it, may be killed; if not, that is told.
    pub(super) fn may_take_cgroup(&self, key: ProcessKey, out: &mut Outbox) -> bool {
        let path = self.world.get(key).and_then(|member| member.who.cgroup.as_deref());
        self.may_take(path, key, out)
    }

    /// Whether the unit of a process may be stopped; if not, that is told.
    pub(super) fn may_stop_unit(&self, key: ProcessKey, out: &mut Outbox) -> bool {
        let path = self.world.get(key).and_then(|member| {
            let who = &member.who;
            unit::cgroup_of(who.cgroup.as_deref()?, who.unit.as_deref()?)
        });
        self.may_take(path, key, out)
    }

    fn may_take(&self, path: Option<&str>, key: ProcessKey, out: &mut Outbox) -> bool {
        let spared = path.map(|path| {
            let guarded =
                self.world.members().filter(|(_, member)| !member.is_free() && member.who.is_below(path));
            guarded.map(|(key, _)| key).min()
        });
        if spared == Some(None) {
            return true;
        }
        out.commands.push(Command::Warn(Warning::CgroupSpared { key, by: spared.flatten() }));
        false
    }

    /// Looks again before a case goes on that takes a whole cgroup: who joined it meanwhile may be one who is never touched. Its
    /// process then goes alone.
    pub(super) fn look_around(&mut self, place: usize, out: &mut Outbox) {
        let takes_all = |case: &Case| {
            case.as_one || matches!(case.decision.gravity, Gravity::KillCgroup | Gravity::StopUnit)
        };
        let Some(decision) = self.cases.get(place).filter(|case| takes_all(case)).map(|case| case.decision)
        else {
            return;
        };
        let is_unit = decision.gravity == Gravity::StopUnit;
        let may_go_on = if is_unit {
            self.may_stop_unit(decision.key, out)
        } else {
            self.may_take_cgroup(decision.key, out)
        };
        if !may_go_on && let Some(case) = self.cases.get_mut(place) {
            case.as_one = false;
            if is_unit {
                case.decision.gravity = Gravity::Graceful;
            } else if case.decision.gravity == Gravity::KillCgroup {
                case.decision.gravity = Gravity::Kill;
            }
        }
    }
}
