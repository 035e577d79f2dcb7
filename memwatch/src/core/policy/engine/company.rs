//! Who shares the cgroup of somebody that is to go: where anyone in it may not be touched, the cgroup is not killed.

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::case::Case;
use crate::core::policy::command::Command;
use crate::core::policy::decision::{Gravity, Warning};

impl Engine {
    /// Whether the cgroup of a process, with those below it, may be killed; if not, that is told.
    pub(super) fn may_take_cgroup(&self, key: ProcessKey, out: &mut Outbox) -> bool {
        let path = self.world.get(key).and_then(|member| member.who.cgroup.as_deref());
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
        let takes_all = |case: &Case| case.as_one || case.decision.gravity == Gravity::KillCgroup;
        let Some(key) = self.cases.get(place).filter(|case| takes_all(case)).map(|case| case.decision.key)
        else {
            return;
        };
        if !self.may_take_cgroup(key, out)
            && let Some(case) = self.cases.get_mut(place)
        {
            case.as_one = false;
            if case.decision.gravity == Gravity::KillCgroup {
                case.decision.gravity = Gravity::Kill;
            }
        }
    }
}
