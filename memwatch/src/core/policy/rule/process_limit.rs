//! Limits that the kernel side keeps by itself. It acts in the moment a process passes its limit; this is the second
//! line, for growth that the kernel side saw too late or could not see.

use super::{Among, Proposal, Rule, View, Wishes};
use crate::core::policy::decision::{Cause, Gravity};

/// Its name in reports.
pub(in crate::core::policy) const NAME: &str = "process_limit";

#[derive(Debug)]
pub(super) struct ProcessLimit;

impl Rule for ProcessLimit {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        if view.settings.process_limits.is_empty() {
            return;
        }
        let first = wishes.proposals.len();
        for (key, member) in view.world.members() {
            let Some(bytes) = member.resident.filter(|_| member.is_free()) else { continue };
            let Some((entry, limit)) = member.limit(view.settings) else { continue };
            if bytes <= limit.bytes {
                continue;
            }
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: Some(entry),
                cause: Cause::WorkerLimit { bytes, limit: limit.bytes },
                gravity: Gravity::of(limit.signal),
                among: Among::One(key),
                wanted: 1,
                idle_first: false,
            });
        }
        wishes.put_in_order(first);
    }
}
