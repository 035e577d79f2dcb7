//! From a proposal to the process that goes.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::budget::Answer;
use crate::core::policy::case::Case;
use crate::core::policy::command::{Command, Signal};
use crate::core::policy::decision::{Candidate, Cause, Decision, Gravity, Standing, Warning};
use crate::core::policy::explain::Obstacle;
use crate::core::policy::masters::was_started_again;
use crate::core::policy::rule::{self, Among, Proposal, candidates};
use crate::core::policy::server::Server;
use crate::core::policy::settings::{Mode, Then};
use crate::core::policy::world::{ById, Member, PoolId, bit, pool_settings};
use crate::core::policy::{FdTableRule, Outbox, Who};

/// Candidates named in a record: the first of the ranking.
const NAMED: usize = 64;
/// Victims of one master in a row that are borne with where no pool says so.
const ROUNDS: u32 = 5;
/// That nobody is left is told anew after this time in which it was not so, in nanoseconds.
const EPISODE_NS: u64 = 60_000_000_000;

/// Victims of one master in a row.
struct Row {
    /// The last of them.
    victim: ProcessKey,
    who: Arc<Who>,
    victims: u32,
    /// As many are borne with.
    rounds: u32,
    then: Then,
    /// Whether the budget was asked for a kill that was not made.
    is_booked: bool,
}

impl Engine {
    /// Carries out as much of a proposal as may be.
    pub(super) fn consider(&mut self, now_ns: u64, proposal: &Proposal, out: &mut Outbox) {
        if proposal.gravity == Gravity::Resize {
            return self.resize(now_ns, proposal, out);
        }
        let is_kill = proposal.gravity != Gravity::Graceful;
        let scope = self.scope_of(proposal);
        if is_kill && self.cases.iter().any(|case| case.holds_kills() && case.scope == scope) {
            return;
        }
        if is_kill && self.escalate(now_ns, proposal.among, out) {
            return;
        }
        let observed = self.observed(now_ns, proposal.among);
        let under_way = if is_kill { 0 } else { self.under_way(proposal.among) };
        let wanted = proposal.wanted.saturating_sub(under_way + observed);
        if wanted == 0 {
            return;
        }
        self.rank(now_ns, proposal);
        let (mut made, mut place) = (0, 0);
        while made < wanted {
            let next = self.ranking.get(place).filter(|next| self.may_go(next)).copied();
            let Some(next) = next else {
                self.nobody_left(now_ns, proposal, scope, out);
                return;
            };
            place += 1;
            // Each that goes leaves its pool with one less.
            let pool = self.pool_for(proposal, next.key);
            if standing(self.obstacle(now_ns, next.key, pool, &self.alive)) > Standing::Young {
                continue;
            }
            if !self.decide(now_ns, proposal, next.key, scope, out) {
                return;
            }
            made += 1;
        }
    }

    /// Whether a candidate may be chosen; those that may come first in the ranking.
    pub(super) fn may_go(&self, candidate: &Candidate) -> bool {
        let pool = self.world.get(candidate.key).and_then(|member| member.pool);
        match candidate.standing {
            Standing::Eligible | Standing::Young => true,
            Standing::Deaf => pool.is_some_and(|pool| pool.entry.is_some()),
            Standing::Handled | Standing::Needed => false,
        }
    }

    /// The pool whose needs count when a process is chosen; rules on single processes hold whatever a pool needs.
    fn pool_for(&self, proposal: &Proposal, key: ProcessKey) -> Option<PoolId> {
        self.world.get(key)?.pool.filter(|_| !is_of_process(proposal))
    }

    /// Tells that nobody is left, once for as long as that goes on.
    fn nobody_left(&mut self, now_ns: u64, proposal: &Proposal, scope: Option<usize>, out: &mut Outbox) {
        let Some(scope) = scope else { return };
        let Cause::AboveUpper { used, upper } = proposal.cause else { return };
        if self.cases.iter().any(|case| case.scope == Some(scope)) {
            return;
        }
        if self.nobody_left.len() <= scope {
            self.nobody_left.resize(scope + 1, None);
        }
        let Some(last) = self.nobody_left.get_mut(scope) else { return };
        if last.is_none_or(|last| now_ns.saturating_sub(last) >= EPISODE_NS) {
            out.commands.push(Command::Warn(Warning::NobodyLeft { scope, used, bound: upper }));
        }
        *last = Some(now_ns);
    }

    /// The scope whose memory is to come back: the proposal's, or the smallest that the process is in.
    pub(super) fn scope_of(&self, proposal: &Proposal) -> Option<usize> {
        let scopes = match proposal.among {
            Among::Scope(scope) => return Some(scope),
            Among::One(key) => self.world.get(key)?.scopes,
            Among::Pool(pool) => self.world.workers(pool).next()?.1.scopes,
        };
        let memory = |scope: &usize| self.settings.scopes.get(*scope).and_then(|scope| scope.memory);
        let all = (0..self.settings.scopes.len()).filter(|scope| scopes & bit(*scope) != 0);
        all.min_by_key(|scope| memory(scope).unwrap_or(u64::MAX))
    }

    /// Acts under way among them. Of one that has ended the last look at the host tells what it gave back.
    pub(super) fn under_way(&self, among: Among) -> u32 {
        let goes_on = |case: &&Case| case.ended_ns.is_none_or(|ended_ns| ended_ns >= self.looked_ns);
        let count = self.cases.iter().filter(goes_on).filter(|case| match among {
            Among::Scope(scope) => case.scope == Some(scope),
            Among::Pool(pool) => case.pool == Some(pool),
            Among::One(key) => case.decision.key == key,
        });
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    /// Those among them that would have been acted on a while ago: they stand for acts under way.
    pub(super) fn observed(&self, now_ns: u64, among: Among) -> u32 {
        if self.settings.mode == Mode::Enforce {
            return 0;
        }
        let all = candidates(&self.settings, &self.world, among);
        let count = all.filter(|(_, member)| member.rests_until_ns > now_ns).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Ranks all candidates, the first to go first: those that may go, the old before the young, the idle before the
    /// busy where that is asked for, those with more private memory first, then the older, then by id. Where a pool is to have
    /// one worker less, and nobody holds too much, the older go before those with more memory, as servers have it.
    pub(super) fn rank(&mut self, now_ns: u64, proposal: &Proposal) {
        let (mut ranking, mut alive) = (std::mem::take(&mut self.ranking), std::mem::take(&mut self.alive));
        self.count_alive(&mut alive);
        self.rank_into(now_ns, proposal, &alive, &mut ranking);
        (self.ranking, self.alive) = (ranking, alive);
    }

    /// The same into memory of the caller's, with the workers of each pool counted before.
    pub(super) fn rank_into(
        &self,
        now_ns: u64,
        proposal: &Proposal,
        alive: &ById<PoolId, usize>,
        ranking: &mut Vec<Candidate>,
    ) {
        ranking.clear();
        let all = candidates(&self.settings, &self.world, proposal.among);
        ranking.extend(all.map(|(key, member)| {
            let figures = member.figures();
            let pool = member.pool.filter(|_| !is_of_process(proposal));
            // In a pool that nobody described, who does not hear is no worker: a gateway, a logger.
            let is_deaf = pool.is_some_and(|pool| {
                (proposal.gravity == Gravity::Graceful || pool.entry.is_none())
                    && !self.hears(pool, figures.caught)
            });
            let standing = standing(self.obstacle_of(now_ns, key, member, pool, alive));
            let standing = if is_deaf { standing.max(Standing::Deaf) } else { standing };
            Candidate { key, figures, standing }
        }));
        ranking.sort_unstable_by_key(|candidate| {
            let figures = candidate.figures;
            let bytes = figures.private.or(figures.proportional).or(figures.resident).unwrap_or(0);
            let is_busy = proposal.idle_first && figures.idle != Some(true);
            let born_ns = candidate.key.start_ns;
            let by_age = (proposal.gravity == Gravity::Resize).then_some(born_ns);
            (candidate.standing, is_busy, by_age, Reverse(bytes), born_ns, candidate.key.tgid)
        });
    }

    /// What stands in the way of a candidate, apart from hearing no signal.
    pub(super) fn obstacle(
        &self,
        now_ns: u64,
        key: ProcessKey,
        pool: Option<PoolId>,
        alive: &ById<PoolId, usize>,
    ) -> Option<Obstacle> {
        self.obstacle_of(now_ns, key, self.world.get(key)?, pool, alive)
    }

    fn obstacle_of(
        &self,
        now_ns: u64,
        key: ProcessKey,
        member: &Member,
        pool: Option<PoolId>,
        alive: &ById<PoolId, usize>,
    ) -> Option<Obstacle> {
        if let Some(case) = self.cases.iter().find(|case| case.decision.key == key) {
            return Some(Obstacle::UnderWay { decision: case.decision.id });
        }
        if member.rests_until_ns > now_ns {
            return Some(Obstacle::Rests { until_ns: member.rests_until_ns });
        }
        if let Some(master) = member.who.parent.filter(|master| self.masters.is_stopped(*master)) {
            return Some(Obstacle::Stopped { master });
        }
        let pool = pool?;
        let settings = pool_settings(&self.settings, pool)?;
        let leaving = self.cases.iter().filter(|case| case.pool == Some(pool)).count();
        let alive = alive.get(&pool).copied().unwrap_or(0);
        let age_ns = now_ns.saturating_sub(key.start_ns);
        if alive.saturating_sub(leaving) <= settings.min_alive as usize {
            Some(Obstacle::Needed { alive, leaving, min_alive: settings.min_alive })
        } else if age_ns < settings.min_lifetime_ns {
            Some(Obstacle::Young { age_ns, min_lifetime_ns: settings.min_lifetime_ns })
        } else {
            None
        }
    }

    /// Counts the workers of each pool, those that have ended and whose case is not closed yet included: they stand among
    /// the cases.
    pub(super) fn count_alive(&self, alive: &mut ById<PoolId, usize>) {
        alive.clear();
        let ended = self.cases.iter().filter(|case| case.ended_ns.is_some()).filter_map(|case| case.pool);
        for pool in self.world.members().filter_map(|(_, member)| member.pool).chain(ended) {
            *alive.entry(pool).or_default() += 1;
        }
    }

    /// Whether a pool allows one more of its workers to be asked to leave now.
    fn is_paced(&self, now_ns: u64, pool: PoolId) -> bool {
        let Some(settings) = pool_settings(&self.settings, pool) else { return true };
        let leaving = self.cases.iter().filter(|case| case.pool == Some(pool));
        let last = leaving.clone().map(|case| case.decision.time_ns).max();
        leaving.count() < settings.at_once.max(1) as usize
            && last.is_none_or(|last| now_ns.saturating_sub(last) >= settings.stagger_ns)
    }

    /// Makes a decision about one process. Whether it was made.
    fn decide(
        &mut self,
        now_ns: u64,
        proposal: &Proposal,
        key: ProcessKey,
        scope: Option<usize>,
        out: &mut Outbox,
    ) -> bool {
        let Some(member) = self.world.get(key) else { return false };
        let (pool, who) = (member.pool, Arc::clone(&member.who));
        let is_ordered = match proposal.rule {
            rule::FD_TABLE => member.orders.rule.is_some(),
            rule::PROCESS_LIMIT => member.orders.has_limit,
            _ => false,
        };
        // The bounds of a scope set their own number; a pool's pace is for its own limits.
        let is_of_pool = !matches!(proposal.among, Among::Scope(_));
        if proposal.gravity == Gravity::Graceful {
            if is_of_pool && pool.is_some_and(|pool| !self.is_paced(now_ns, pool)) {
                return false;
            }
        } else if !self.may_kill(now_ns, out) {
            return false;
        }
        let (rounds, then) = self.patience(proposal, pool);
        let master = self.master_of(&who);
        let victims = master.map_or(1, |master| self.masters.count(master, &who, now_ns));
        let is_booked = proposal.gravity != Gravity::Graceful;
        let row = Row { victim: key, who, victims, rounds, then, is_booked };
        if victims > rounds {
            self.enough(now_ns, &row, out);
            return false;
        }
        let signal = match proposal.gravity {
            Gravity::Graceful | Gravity::Resize | Gravity::Refuse | Gravity::StopUnit => {
                self.graceful(proposal, pool)
            }
            Gravity::Kill | Gravity::KillCgroup => Signal::KILL,
        };
        self.open_case(now_ns, proposal, key, signal, scope, out);
        if is_ordered && master.is_some() {
            self.bear(now_ns, &Row { is_booked: false, ..row }, out);
        }
        true
    }

    /// Asks the budget for a kill.
    pub(super) fn may_kill(&mut self, now_ns: u64, out: &mut Outbox) -> bool {
        match self.spent.ask(now_ns) {
            Answer::Yes => true,
            Answer::No => false,
            Answer::SpentNow { until_ns } => {
                let kills = self.spent.kills();
                out.commands.push(Command::Warn(Warning::BudgetSpent { kills, until_ns }));
                false
            }
        }
    }

    /// Victims of one master in a row that are borne with, and what is done then.
    fn patience(&self, proposal: &Proposal, pool: Option<PoolId>) -> (u32, Then) {
        if let Some(rule) = self.table_rule(proposal) {
            return (rule.rounds, rule.then);
        }
        let settings = pool.and_then(|pool| pool_settings(&self.settings, pool));
        settings.map_or((ROUNDS, Then::Stop), |pool| (pool.rounds, pool.then))
    }

    fn table_rule(&self, proposal: &Proposal) -> Option<&FdTableRule> {
        let entry = proposal.entry.filter(|_| proposal.rule == rule::FD_TABLE)?;
        self.settings.fd_tables.get(entry)
    }

    /// What asks the process to leave.
    fn graceful(&self, proposal: &Proposal, pool: Option<PoolId>) -> Signal {
        if let Some(rule) = self.table_rule(proposal) {
            return rule.signal;
        }
        if proposal.rule == rule::PROCESS_LIMIT
            && let Some(limit) = proposal.entry.and_then(|entry| self.settings.process_limits.get(entry))
        {
            return limit.signal;
        }
        pool.and_then(|pool| self.pool_signal(pool)).unwrap_or(Signal::TERM)
    }

    /// Whether a worker has a handler for the signal that asks it to leave; one that cannot be looked at is believed to.
    pub(super) fn hears(&self, pool: PoolId, caught: Option<u64>) -> bool {
        let Some(signal) = self.pool_signal(pool) else { return false };
        caught.is_none_or(|caught| signal.is_in(caught))
    }

    /// A pool that was found by itself is asked the way its server wants to be.
    pub(super) fn pool_signal(&self, pool: PoolId) -> Option<Signal> {
        if pool.entry.is_some() {
            return pool_settings(&self.settings, pool).map(|settings| settings.signal);
        }
        Server::of(&self.world.holder(pool.master)?.who)?.found_signal()
    }

    /// Who may start a process again.
    fn master_of(&self, who: &Who) -> Option<u32> {
        // The first process adopts everybody's children: it starts nothing again.
        // Of one that has ended nothing comes any more, and its id may be another's soon.
        who.parent.filter(|master| *master > 1 && self.world.holder(*master).is_some())
    }

    /// Counts what the kernel side did.
    pub(super) fn book(&mut self, now_ns: u64, proposal: &Proposal, key: ProcessKey, out: &mut Outbox) {
        if proposal.gravity == Gravity::Kill
            && let Some(until_ns) = self.spent.book(now_ns)
        {
            let kills = self.spent.kills();
            out.commands.push(Command::Warn(Warning::BudgetSpent { kills, until_ns }));
        }
        let Some(member) = self.world.get(key) else { return };
        let (pool, who) = (member.pool, Arc::clone(&member.who));
        let Some(master) = self.master_of(&who) else { return };
        let (rounds, then) = self.patience(proposal, pool);
        let victims = self.masters.count(master, &who, now_ns);
        self.bear(now_ns, &Row { victim: key, who, victims, rounds, then, is_booked: false }, out);
    }

    /// The kernel side asks nobody: once so many victims are there as are borne with, it may take no other.
    fn bear(&mut self, now_ns: u64, row: &Row, out: &mut Outbox) {
        let is_stopped = row.who.parent.is_some_and(|master| self.masters.is_stopped(master));
        if row.victims >= row.rounds && was_started_again(&row.who, now_ns) && !is_stopped {
            self.enough(now_ns, row, out);
        }
    }

    /// A master starts its victims again and again: what the operator chose for that.
    fn enough(&mut self, now_ns: u64, row: &Row, out: &mut Outbox) {
        let Some(master) = row.who.parent else { return };
        let chosen = match row.then {
            Then::Master => {
                let key =
                    self.world.holder(master).filter(|member| member.is_free()).map(|member| member.who.key);
                let key = key.filter(|key| !self.is_kept(now_ns, *key));
                key.map(|key| (key, Gravity::Graceful, Signal::TERM))
            }
            Then::Unit => {
                let key = self.left_of(row).filter(|key| self.may_stop_unit(*key, out));
                key.map(|key| (key, Gravity::StopUnit, Signal::TERM))
            }
            Then::Cgroup => {
                let key = self.left_of(row).filter(|key| self.may_take_cgroup(*key, out));
                key.map(|key| (key, Gravity::KillCgroup, Signal::KILL))
            }
            Then::Stop => None,
        };
        let is_kill = chosen.is_some_and(|(_, gravity, _)| gravity == Gravity::KillCgroup);
        if is_kill && !row.is_booked && !self.may_kill(now_ns, out) {
            // Asked again at the next victim.
            return;
        }
        self.masters.stop(master);
        self.hand_down_to(|member| member.who.parent == Some(master) || member.who.key.tgid == master, out);
        let Some((key, gravity, signal)) = chosen else {
            out.commands.push(Command::Warn(Warning::Stopped { key: row.victim, rounds: row.victims }));
            return;
        };
        let proposal = Proposal {
            rule: "respawn",
            entry: None,
            cause: Cause::Respawns { rounds: row.victims },
            gravity,
            among: Among::One(key),
            wanted: 1,
            idle_first: false,
        };
        self.rank(now_ns, &proposal);
        let scope = self.scope_of(&proposal);
        self.open_case(now_ns, &proposal, key, signal, scope, out);
    }

    /// Whether a master stays: it is on its way out already, or the pool that it works in itself needs it.
    fn is_kept(&mut self, now_ns: u64, key: ProcessKey) -> bool {
        let mut alive = std::mem::take(&mut self.alive);
        self.count_alive(&mut alive);
        let pool = self.world.get(key).and_then(|member| member.pool);
        let obstacle = self.obstacle(now_ns, key, pool, &alive);
        self.alive = alive;
        matches!(obstacle, Some(Obstacle::UnderWay { .. } | Obstacle::Needed { .. }))
    }

    /// A process of a victim's cgroup: the victim, or where that was killed by the kernel side another one.
    fn left_of(&self, row: &Row) -> Option<ProcessKey> {
        let is_left = |key: ProcessKey| !self.cases.iter().any(|case| case.decision.key == key);
        if is_left(row.victim) {
            return Some(row.victim);
        }
        let cgroup = row.who.cgroup.as_deref()?;
        let others = self.world.members().filter(|(key, member)| {
            member.is_free() && member.who.cgroup.as_deref() == Some(cgroup) && is_left(*key)
        });
        others.map(|(key, _)| key).min()
    }

    /// Writes the record of a decision, with the ranking as it stands.
    pub(super) fn record(
        &mut self,
        now_ns: u64,
        proposal: &Proposal,
        key: ProcessKey,
        signal: Signal,
        out: &mut Outbox,
    ) -> Decision {
        self.last_id += 1;
        let first_candidate = out.candidates.len();
        out.candidates.extend(self.ranking.iter().take(NAMED));
        let decision = Decision {
            id: self.last_id,
            time_ns: now_ns,
            rule: proposal.rule,
            entry: proposal.entry,
            cause: proposal.cause,
            gravity: proposal.gravity,
            key,
            signal,
            order: None,
            first_candidate,
            candidates: out.candidates.len() - first_candidate,
        };
        out.commands.push(Command::Decided(decision));
        decision
    }
}

/// Whether a proposal comes from a rule on single processes, in a pool or not: it holds whatever else the pool needs.
pub(super) fn is_of_process(proposal: &Proposal) -> bool {
    proposal.rule == rule::FD_TABLE || proposal.rule == rule::PROCESS_LIMIT
}

const fn standing(obstacle: Option<Obstacle>) -> Standing {
    match obstacle {
        None => Standing::Eligible,
        Some(Obstacle::Young { .. }) => Standing::Young,
        Some(Obstacle::Needed { .. }) => Standing::Needed,
        Some(_) => Standing::Handled,
    }
}
