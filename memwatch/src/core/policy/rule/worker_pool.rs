//! Limits on single workers of a pool, and on all of them together.

use std::cmp::Reverse;

use foldhash::fast::FixedState;

use super::{Among, Proposal, Rule, View, Wishes};
use crate::core::policy::decision::{Cause, Gravity};
use crate::core::policy::engine::POOLS;
use crate::core::policy::settings::{Pool, Settings};
use crate::core::policy::world::{ById, PoolId, World, pool_settings};

/// Its name in reports.
const NAME: &str = "worker_pool";

#[derive(Debug, Default)]
pub(super) struct WorkerPool {
    totals: Totals,
    /// Pools that are above their limit, in order; kept for its room.
    above: Vec<(PoolId, u64, u64)>,
}

/// Bytes of each pool with a limit.
#[derive(Debug)]
pub(in crate::core::policy) struct Totals(ById<PoolId, u64>);

impl Default for Totals {
    /// None, with room.
    fn default() -> Self {
        Self(ById::with_capacity_and_hasher(POOLS, FixedState::default()))
    }
}

impl Rule for WorkerPool {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.totals.0.clear();
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
            self.totals.add(id, bytes);
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
            own.sort_unstable_by_key(|proposal| {
                (Reverse(proposal.gravity), Reverse(bytes(proposal)), key(proposal))
            });
        }
        self.above.clear();
        self.above.extend(self.totals.0.iter().filter_map(|(id, bytes)| {
            let limit = pool_settings(view.settings, *id)?.total?;
            (*bytes > limit).then_some((*id, *bytes, limit))
        }));
        self.above.sort_unstable_by_key(|(id, ..)| (id.entry, id.master));
        for (id, bytes, limit) in &self.above {
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: id.entry,
                cause: Cause::PoolTotal { bytes: *bytes, limit: *limit },
                gravity: Gravity::Graceful,
                among: Among::Pool(*id),
                wanted: 1,
                idle_first: true,
            });
        }
    }
}

impl Totals {
    /// Adds up the pools that have a total; nothing where none has.
    pub(super) fn measure(&mut self, settings: &Settings, world: &World) {
        self.0.clear();
        if !settings.pools.iter().chain(&settings.found_pools).any(|pool| pool.total.is_some()) {
            return;
        }
        for (_, member) in world.members() {
            let Some(id) = member.pool.filter(|_| member.is_free()) else { continue };
            let Some(pool) = pool_settings(settings, id).filter(|pool| pool.total.is_some()) else {
                continue;
            };
            if let Some(bytes) = member.measured(pool.measure) {
                self.add(id, bytes);
            }
        }
    }

    /// Bytes of a pool.
    pub(super) fn of(&self, id: PoolId) -> Option<u64> {
        self.0.get(&id).copied()
    }

    /// All of them, in no order.
    pub(super) fn each(&self) -> impl Iterator<Item = (PoolId, u64)> {
        self.0.iter().map(|(id, bytes)| (*id, *bytes))
    }

    fn add(&mut self, id: PoolId, bytes: u64) {
        *self.0.entry(id).or_default() += bytes;
    }
}

/// Bytes until the next limit of any pool is passed; `None` when there is none, or all are. `totals` is used for its room.
pub(in crate::core::policy) fn left(settings: &Settings, world: &World, totals: &mut Totals) -> Option<u64> {
    totals.0.clear();
    let mut least: Option<u64> = None;
    let mut until = |limit: Option<u64>, bytes: u64| {
        let left = limit.and_then(|limit| limit.checked_sub(bytes)).map(|left| left + 1);
        least = [least, left].into_iter().flatten().min();
    };
    for (_, member) in world.members() {
        let Some(id) = member.pool.filter(|_| member.is_free()) else { continue };
        let Some(pool) = pool_settings(settings, id).filter(|pool| has_limits(pool)) else { continue };
        let bytes = member.held(pool.measure).unwrap_or(0);
        totals.add(id, bytes);
        until(pool.soft, bytes);
        until(pool.hard, bytes);
    }
    for (id, bytes) in &totals.0 {
        until(pool_settings(settings, *id).and_then(|pool| pool.total), *bytes);
    }
    least
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
