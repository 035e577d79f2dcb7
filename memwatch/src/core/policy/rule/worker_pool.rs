//! Limits on single workers of a pool, and on all of them together.

use std::cmp::Reverse;

use super::{Among, Proposal, Rule, View, Wishes};
use crate::core::policy::decision::{Cause, Gravity};
use crate::core::policy::settings::Pool;
use crate::core::policy::world::{PoolId, pool_settings};

/// Its name in reports.
const NAME: &str = "worker_pool";

#[derive(Debug, Default)]
pub(super) struct WorkerPool {
    /// Bytes of each pool with a limit; kept for its room.
    totals: Vec<(PoolId, u64)>,
}

impl Rule for WorkerPool {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.totals.clear();
        let first = wishes.proposals.len();
        for (key, member) in view.world.members() {
            let Some(id) = member.pool.filter(|_| member.is_free()) else { continue };
            let Some(pool) = pool_settings(view.settings, id).filter(|pool| has_limits(pool)) else {
                continue;
            };
            // RSS is never less than the other measures: no need to look closer below every limit.
            let least = [pool.soft, pool.hard].into_iter().flatten().min().unwrap_or(u64::MAX);
            let is_near = member.resident.is_none_or(|resident| resident >= least) || pool.total.is_some();
            if is_near && member.is_stale(view.now_ns) && !member.is_unreadable {
                wishes.measure.push(key);
            }
            let Some(bytes) = member.measured(pool.measure) else { continue };
            self.add(id, bytes);
            let over = |limit: Option<u64>| limit.filter(|limit| bytes > *limit);
            let (gravity, limit) = match (over(pool.hard), over(pool.soft)) {
                (Some(hard), _) => (Gravity::Kill, hard),
                (None, Some(soft)) => (Gravity::Graceful, soft),
                (None, None) => continue,
            };
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: id.entry,
                cause: Cause::WorkerLimit { bytes, limit },
                gravity,
                among: Among::One(key),
                wanted: 1,
                idle_first: false,
            });
        }
        // Members come in no order: the graver first, then the larger, then by process, so that a run can be repeated.
        if let Some(own) = wishes.proposals.get_mut(first..) {
            own.sort_by_key(|proposal| (Reverse(proposal.gravity), Reverse(bytes(proposal)), key(proposal)));
        }
        self.totals.sort_by_key(|(id, _)| (id.entry, id.master));
        for (id, bytes) in &self.totals {
            let Some(limit) = pool_settings(view.settings, *id).and_then(|pool| pool.total) else { continue };
            if *bytes <= limit {
                continue;
            }
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: id.entry,
                cause: Cause::PoolTotal { bytes: *bytes, limit },
                gravity: Gravity::Graceful,
                among: Among::Pool(*id),
                wanted: 1,
                idle_first: true,
            });
        }
    }
}

impl WorkerPool {
    fn add(&mut self, id: PoolId, bytes: u64) {
        match self.totals.iter_mut().find(|(known, _)| *known == id) {
            Some((_, total)) => *total += bytes,
            None => self.totals.push((id, bytes)),
        }
    }
}

const fn bytes(proposal: &Proposal) -> u64 {
    if let Cause::WorkerLimit { bytes, .. } = proposal.cause { bytes } else { 0 }
}

const fn key(proposal: &Proposal) -> Option<crate::core::fact::ProcessKey> {
    if let Among::One(key) = proposal.among { Some(key) } else { None }
}

const fn has_limits(pool: &Pool) -> bool {
    pool.soft.is_some() || pool.hard.is_some() || pool.total.is_some()
}
