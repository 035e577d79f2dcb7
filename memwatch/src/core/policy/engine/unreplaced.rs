//! A worker that another rule recycles while its pool has idle ones to spare: it is its master that asks it to leave, and starts no
//! other in its place.
//!
//! A master that is told to have one worker less chooses who goes, and still counts those that are leaving. Told beside a signal
//! to a worker it would end a second one, and replace the first all the same: so it is told instead of that signal, and
//! only where its choice is the worker that is to go.

use super::Engine;
use super::act::send;
use super::choose::is_of_process;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::command::Order;
use crate::core::policy::decision::{Cause, Gravity, Turn};
use crate::core::policy::rule::Proposal;
use crate::core::policy::server::{Goes, Server};
use crate::core::policy::sizing::Resize;
use crate::core::policy::world::PoolId;

impl Engine {
    /// The master that is told to have one worker less, and how, in place of a signal to this one.
    pub(super) fn in_place(&self, proposal: &Proposal, key: ProcessKey) -> Option<(ProcessKey, Order)> {
        let pool = self.world.get(key)?.pool.filter(|pool| self.spareable.contains(pool))?;
        if proposal.gravity != Gravity::Graceful || is_of_process(proposal) {
            return None;
        }
        let master = self.world.holder(pool.master).filter(|master| master.is_free())?;
        let is_told = self.cases.iter().any(|case| {
            case.resized.is_some_and(|(of, _)| of == pool)
                || (case.by_master == Some(master.who.key) && case.ended_ns.is_none())
        });
        if is_told || Server::of(&master.who)?.goes != Some(Goes::Oldest) || !self.is_oldest(pool, key) {
            return None;
        }
        let order = self.order_of(pool, Resize::Shrink);
        (order != Order::Nothing).then_some((master.who.key, order))
    }

    /// Whether a worker is older than every other one of its pool. Starts that come from `/proc` are rounded: of two that
    /// started within a tick nobody can say it.
    fn is_oldest(&self, pool: PoolId, key: ProcessKey) -> bool {
        let others = self.world.workers(pool).filter(|(other, _)| *other != key);
        others
            .map(|(other, _)| other.start_ns)
            .min()
            .is_none_or(|next| key.start_ns < next && next - key.start_ns >= ProcessKey::TICK_NS)
    }

    /// A worker goes whom nobody follows.
    pub(super) fn goes_unreplaced(&mut self, now_ns: u64, pool: PoolId) {
        self.spareable.retain(|spareable| *spareable != pool);
        if let Some(known) = self.world.queue_mut(pool) {
            known.unreplaced_ns = Some(now_ns);
        }
    }

    /// The worker whom its master was to ask to leave has not gone, or the master could not be told: it is asked itself, and the size of its
    /// pool is left alone for a while.
    pub(super) fn ask_itself(&mut self, place: usize, now_ns: u64, out: &mut Outbox) {
        let Some(case) = self.cases.get_mut(place) else { return };
        case.by_master = None;
        let pool = case.pool;
        if let Some(pool) = pool {
            self.leave_alone(now_ns, pool);
        }
        self.step(place, now_ns, out, send);
    }

    /// A process ends. If nothing else has asked it to, its master has followed who was told to have one worker less.
    pub(super) fn has_left(&mut self, key: ProcessKey) {
        let Some(pool) = self.world.get(key).and_then(|member| member.pool) else { return };
        if self.cases.iter().any(|case| case.decision.key == key) {
            return;
        }
        for case in self.cases.iter_mut().filter(|case| case.resized.is_some_and(|(of, _)| of == pool)) {
            let is_shrink = matches!(case.decision.cause, Cause::Queue(Turn { step: Resize::Shrink, .. }));
            case.has_shrunk |= is_shrink && key.start_ns <= case.decision.time_ns;
        }
    }

    /// The worker whom its master asks to leave by a decision.
    #[must_use]
    pub fn asked_by_master(&self, decision: u64) -> Option<ProcessKey> {
        let case = self.cases.iter().find(|case| case.decision.id == decision)?;
        case.by_master.map(|_| case.decision.key)
    }
}
