//! Pools that change their size: the master is told, and its workers are counted.

use std::collections::BTreeMap;

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::case::{Case, Stage};
use crate::core::policy::command::{Command, Order, Signal};
use crate::core::policy::decision::{Cause, Ending, Outcome, Turn};
use crate::core::policy::explain::{QueueState, Stays};
use crate::core::policy::queue::{PoolSight, Way};
use crate::core::policy::rule::{Among, Proposal};
use crate::core::policy::server::Server;
use crate::core::policy::sizing::Resize;
use crate::core::policy::world::{PoolId, pool_settings};

/// Time a master has to follow beyond what its workers have to leave, in nanoseconds.
const FOLLOWS_NS: u64 = 10_000_000_000;
/// Time between looks at pools whose size stays as it is, in nanoseconds.
const LONGEST_GAP_NS: u64 = 1_000_000_000;
/// A master that did not follow, or could not be told, is left alone for this time, in nanoseconds.
const REST_NS: u64 = 600_000_000_000;

impl Engine {
    /// Pools whose sockets are to be looked at, and the time between two looks, in nanoseconds.
    pub fn sights(&self, out: &mut Vec<PoolSight>) -> u64 {
        let mut pools: BTreeMap<u32, (bool, Vec<ProcessKey>)> = BTreeMap::new();
        let mut gap_ns = LONGEST_GAP_NS;
        for (key, member) in self.world.members() {
            let Some(id) = member.pool else { continue };
            let size = pool_settings(&self.settings, id).and_then(|pool| pool.size);
            gap_ns = size.map_or(gap_ns, |size| gap_ns.min(size.gap_ns()));
            let (glance, workers) = pools.entry(id.master).or_default();
            *glance |= size.is_some();
            workers.push(key);
        }
        out.clear();
        for (master, (glance, mut workers)) in pools {
            let Some(member) = self.world.holder(master) else { continue };
            let order = Server::of(&member.who).map(|server| server.order(Resize::Grow));
            workers.sort_unstable_by_key(|key| (key.start_ns, key.tgid));
            let by_fifo = matches!(order, Some(Order::Fifo(_)));
            out.push(PoolSight { master: member.who.key, workers, glance, by_fifo });
        }
        gap_ns
    }

    /// Carries out a change of a pool's size, if it may be.
    pub(super) fn resize(&mut self, now_ns: u64, proposal: &Proposal, out: &mut Outbox) {
        let (Among::Pool(pool), Cause::Queue(Turn { step, .. })) = (proposal.among, proposal.cause) else {
            return;
        };
        let Some(master) = self.world.holder(pool.master).filter(|member| member.is_free()) else { return };
        let (key, workers) = (master.who.key, self.workers_of(pool));
        let order = self.order_of(pool, step);
        let is_told = self.cases.iter().any(|case| case.resized.is_some_and(|(of, _)| of == pool));
        if is_told || self.masters.is_stopped(pool.master) || (step == Resize::Shrink && self.is_needed(pool))
        {
            return;
        }
        let signal = if let Order::Signal(signal) = order { signal } else { Signal(0) };
        let scope = self.scope_of(proposal);
        self.rank(now_ns, proposal);
        let mut decision = self.record(now_ns, proposal, key, signal, out);
        decision.order = Some(order);
        if let Some(Command::Decided(told)) = out.commands.last_mut() {
            *told = decision;
        }
        let deadline_ns = pool_settings(&self.settings, pool).map_or(0, |pool| pool.deadline_ns) + FOLLOWS_NS;
        let case = Case {
            decision,
            scope,
            // Nobody of the pool leaves by it until its master says so.
            pool: None,
            stage: Stage::Told { until_ns: now_ns + deadline_ns },
            used_before: scope.and_then(|scope| self.world.used(scope, &self.settings)).map(|(used, _)| used),
            expected: 0,
            deadline_ns,
            sent_ns: None,
            ended_ns: None,
            was_killed: false,
            as_one: false,
            resized: Some((pool, workers)),
            has_shrunk: false,
            by_master: None,
        };
        match order {
            Order::Signal(_) | Order::Fifo(_) => {
                out.commands.push(Command::Tell { decision: decision.id, key, order });
                self.cases.push(case);
            }
            Order::Nothing => {
                self.only_told(pool, step);
                out.commands.push(Command::Closed(case.close(now_ns, Ending::Observed, None)));
            }
        }
    }

    /// What tells the master of a pool, as far as it can be told.
    pub(super) fn order_of(&self, pool: PoolId, step: Resize) -> Order {
        let order = self.written_order(pool, step);
        if self.closed(pool, order).is_some() { Order::Nothing } else { order }
    }

    /// What tells masters of its kind.
    fn written_order(&self, pool: PoolId, step: Resize) -> Order {
        let server = self.world.holder(pool.master).and_then(|master| Server::of(&master.who));
        server.map_or(Order::Nothing, |server| server.order(step))
    }

    /// Why this master cannot be told so.
    fn closed(&self, pool: PoolId, order: Order) -> Option<Stays> {
        match order {
            Order::Nothing => Some(Stays::NoOrder),
            Order::Fifo(_) => {
                let way = self.world.queue(pool).map_or(Way::NoFifo, |known| known.queue.way);
                (way != Way::Open).then_some(Stays::Closed(way))
            }
            // By default such a signal stops the process: a handler has to be seen.
            Order::Signal(signal) => {
                let caught = self.world.holder(pool.master).and_then(|master| master.figures().caught);
                caught.is_none_or(|caught| !signal.is_in(caught)).then_some(Stays::Deaf(signal))
            }
        }
    }

    /// Workers of a pool as they run.
    pub(super) fn workers_of(&self, pool: PoolId) -> u32 {
        u32::try_from(self.world.workers(pool).count()).unwrap_or(u32::MAX)
    }

    /// Whether none of a pool's workers can be spared, those counted out who are on their way.
    fn is_needed(&self, pool: PoolId) -> bool {
        let leaving = self.cases.iter().filter(|case| case.pool == Some(pool) && case.ended_ns.is_none());
        let leaving = u32::try_from(leaving.count()).unwrap_or(u32::MAX);
        let spared = self.world.queue(pool).map_or(0, |known| known.spared);
        let staying = self.workers_of(pool).saturating_sub(leaving);
        let least = pool_settings(&self.settings, pool).map_or(1, |pool| pool.min_alive.max(1));
        i64::from(staying) - i64::from(spared) <= i64::from(least)
    }

    /// What waits at a pool's sockets, and why its size stays as it is.
    pub(super) fn queue_state(&self, now_ns: u64, pool: PoolId) -> Option<QueueState> {
        let known = self.world.queue(pool)?;
        let size = pool_settings(&self.settings, pool).and_then(|pool| pool.size);
        let order = self.written_order(pool, Resize::Grow);
        let rests = Stays::Rests { until_ns: known.rests_until_ns };
        let stays = match size {
            None => Some(Stays::Unasked),
            Some(_) => self.closed(pool, order).or((known.rests_until_ns > now_ns).then_some(rests)),
        };
        let glances: Vec<(bool, u64)> =
            self.world.workers(pool).filter_map(|(_, member)| member.spell(now_ns)).collect();
        let count = |idle: bool| glances.iter().filter(|(is_idle, _)| *is_idle == idle).count();
        let longest = |idle: bool| {
            glances.iter().filter(|(is_idle, _)| *is_idle == idle).map(|(_, since_ns)| *since_ns).max()
        };
        Some(QueueState {
            queue: known.queue,
            time_ns: known.time_ns,
            idle: u32::try_from(count(true)).unwrap_or(u32::MAX),
            busy: u32::try_from(count(false)).unwrap_or(u32::MAX),
            longest_idle_ns: longest(true),
            longest_busy_ns: longest(false),
            first: known.first,
            spared: known.spared,
            mean_saved: known.mean_saved(),
            max_workers: size.map(|size| size.max_workers),
            stays,
        })
    }

    /// What became of telling a master.
    pub(super) fn told(&mut self, now_ns: u64, place: usize, outcome: Outcome, out: &mut Outbox) {
        let Some(case) = self.cases.get_mut(place) else { return };
        let ending = match outcome {
            Outcome::Sent | Outcome::HookEnded | Outcome::HookFailed => {
                case.sent_ns.get_or_insert(now_ns);
                return;
            }
            Outcome::WouldSend => Ending::Observed,
            Outcome::Gone => Ending::Gone,
            Outcome::Guarded | Outcome::Failed(_) => Ending::Failed,
        };
        let case = self.cases.swap_remove(place);
        out.commands.push(Command::Closed(case.close(now_ns, ending, None)));
        let (Some((pool, _)), Cause::Queue(Turn { step, .. })) = (case.resized, case.decision.cause) else {
            return;
        };
        match ending {
            Ending::Observed => self.only_told(pool, step),
            Ending::Failed => self.leave_alone(now_ns, pool),
            Ending::Returned
            | Ending::NotReturned
            | Ending::Stuck
            | Ending::Gone
            | Ending::Refused
            | Ending::Resized
            | Ending::Ignored => {}
        }
    }

    /// How a case ends whose master was told; `None`: it is waited for.
    pub(super) fn has_followed(&mut self, case: &Case, is_due: bool) -> Option<(Ending, Option<u64>)> {
        let ((pool, before), Cause::Queue(Turn { step, .. })) = (case.resized?, case.decision.cause) else {
            return Some((Ending::Failed, None));
        };
        if case.ended_ns.is_some() {
            return Some((Ending::Gone, None));
        }
        let now = self.workers_of(pool);
        let is_done = match step {
            Resize::Grow => now > before,
            Resize::Shrink => case.has_shrunk,
        };
        if is_done {
            let used =
                case.scope.and_then(|scope| self.world.used(scope, &self.settings)).map(|(used, _)| used);
            let returned = case.used_before.zip(used).map(|(before, now)| before.saturating_sub(now));
            return Some((Ending::Resized, returned.filter(|_| step == Resize::Shrink)));
        }
        if !is_due {
            return None;
        }
        self.leave_alone(case.due_ns(), pool);
        Some((Ending::Ignored, None))
    }

    /// What was told and not done counts as if it had been, for what is told next.
    pub(super) fn only_told(&mut self, pool: PoolId, step: Resize) {
        if let Some(known) = self.world.queue_mut(pool) {
            known.spare(step);
        }
    }

    pub(super) fn leave_alone(&mut self, now_ns: u64, pool: PoolId) {
        if let Some(known) = self.world.queue_mut(pool) {
            known.rests_until_ns = now_ns + REST_NS;
        }
    }
}
