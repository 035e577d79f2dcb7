//! Answers to the question who would go now: read from the engine's state, with the ranking that a decision would use.

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::case::{Case, Stage};
use crate::core::policy::decision::{Candidate, Cause, Decision, Gravity, Standing};
use crate::core::policy::explain::{
    Demand, Explanation, Obstacle, PoolState, Query, Ranked, Refused, ScopeState, Spending, Step, UnderWay,
};
use crate::core::policy::guard::Guard;
use crate::core::policy::guard_names::guarded_program;
use crate::core::policy::rule::{self, Among, Proposal, View};
use crate::core::policy::server::Server;
use crate::core::policy::settings::Measure;
use crate::core::policy::world::{ById, Member, PoolId, bit, pool_settings};

impl Engine {
    /// Who would go now, and why. Nothing changes by it; it allocates, and takes the time of a decision for each scope.
    #[must_use]
    pub fn explain(&self, now_ns: u64, query: &Query) -> Explanation {
        let mut alive = ById::default();
        self.count_alive(&mut alive);
        let (kills, closed_until_ns) = self.spent.at(now_ns);
        let budget = self.settings.budget;
        let mut under_way: Vec<UnderWay> = self.cases.iter().map(|case| self.under_way_of(case)).collect();
        under_way.sort_by_key(|case| case.decision);
        let mut ranking = Vec::new();
        let scopes = 0..self.settings.scopes.len();
        Explanation {
            time_ns: now_ns,
            mode: self.settings.mode,
            host: self.world.host,
            processes: self.world.len(),
            budget: Spending { kills, of: budget.kills, window_ns: budget.window_ns, closed_until_ns },
            under_way,
            scopes: scopes
                .filter_map(|scope| self.scope_state(now_ns, scope, query, &alive, &mut ranking))
                .collect(),
            pools: self.pool_states(now_ns, query, &alive),
            refused: self.refused(query, &alive),
        }
    }

    /// Name of a decision's entry in the configuration.
    #[must_use]
    pub fn entry_name(&self, decision: &Decision) -> Option<&str> {
        let (settings, entry) = (&self.settings, decision.entry?);
        match decision.rule {
            "worker_pool" | rule::QUEUE | rule::POOL_GROWTH => {
                settings.pools.get(entry).map(|pool| pool.name.as_str())
            }
            rule::FD_TABLE => settings.fd_tables.get(entry).map(|rule| rule.name.as_str()),
            rule::PROCESS_LIMIT => settings.process_limits.get(entry).map(|limit| limit.name.as_str()),
            _ => settings.scopes.get(entry).map(|scope| scope.name.as_str()),
        }
    }

    fn under_way_of(&self, case: &Case) -> UnderWay {
        let decision = &case.decision;
        UnderWay {
            decision: decision.id,
            rule: decision.rule,
            entry: self.entry_name(decision).map(str::to_owned),
            cause: decision.cause,
            gravity: decision.gravity,
            means: decision.means(),
            key: decision.key,
            who: self.world.get(decision.key).map(|member| member.who.clone()),
            step: match case.stage {
                Stage::Before { .. } => Step::Hook,
                Stage::Asked { .. } => Step::Asked,
                Stage::Killed { .. } => Step::Killed,
                Stage::Told { .. } => Step::Told,
                Stage::Ended { .. } => Step::Ended,
            },
            due_ns: case.due_ns(),
            holds_kills: case.holds_kills(),
        }
    }

    /// A scope, with those of its candidates that are asked about; `None`: the question is about others.
    fn scope_state(
        &self,
        now_ns: u64,
        scope: usize,
        query: &Query,
        alive: &ById<PoolId, usize>,
        ranking: &mut Vec<Candidate>,
    ) -> Option<ScopeState> {
        let settings = self.settings.scopes.get(scope)?;
        let view = View { now_ns, settings: &self.settings, world: &self.world };
        let level = rule::level(&view, scope);
        let demand = match level {
            Some(level) if level.used >= level.upper => Demand::Kill,
            Some(level) if level.used >= level.lower => Demand::Recycle(level.wanted(&view)),
            Some(_) | None => Demand::Nothing,
        };
        let proposal = Proposal {
            rule: rule::HOST_BOUNDS,
            entry: Some(scope),
            cause: Cause::AboveUpper {
                used: level.map_or(0, |level| level.used),
                upper: level.map_or(0, |level| level.upper),
            },
            gravity: if demand == Demand::Kill { Gravity::Kill } else { Gravity::Graceful },
            among: Among::Scope(scope),
            wanted: 1,
            idle_first: false,
        };
        self.rank_into(now_ns, &proposal, alive, ranking);
        let holding = self.cases.iter().find(|case| case.holds_kills() && case.scope == Some(scope));
        let waits_for = holding.map(|case| case.decision.id);
        let wanted = match demand {
            Demand::Nothing => 0,
            Demand::Recycle(count) => count.saturating_sub(self.under_way(proposal.among)),
            Demand::Kill => u32::from(waits_for.is_none()),
        };
        let wanted = wanted.saturating_sub(self.observed(now_ns, proposal.among));
        let going = self.going(ranking, wanted, alive);
        let is_asked = |candidate: &Candidate| match query {
            Query::All => true,
            Query::Process(tgid) => candidate.key.tgid == *tgid,
            Query::Pool(name) => self.is_of_pool(candidate.key, name),
        };
        let asked = (1..).zip(ranking.iter()).filter(|(_, candidate)| is_asked(candidate));
        let candidates: Vec<Ranked> = asked
            .filter_map(|(place, candidate)| self.ranked(now_ns, place, candidate, alive, &going))
            .collect();
        if candidates.is_empty() && *query != Query::All {
            return None;
        }
        Some(ScopeState {
            name: settings.name.clone(),
            reach: settings.reach.clone(),
            used: level.map(|level| level.used),
            memory: level.map(|level| level.memory),
            lower: level.map(|level| level.lower),
            upper: level.map(|level| level.upper),
            demand,
            waits_for,
            ranked: ranking.len(),
            candidates,
        })
    }

    /// Those of a ranking that would go now, each of whom leaves its pool with one less.
    fn going(&self, ranking: &[Candidate], wanted: u32, alive: &ById<PoolId, usize>) -> Vec<ProcessKey> {
        let mut going: Vec<(ProcessKey, Option<PoolId>)> = Vec::new();
        for candidate in ranking.iter().take_while(|candidate| self.may_go(candidate)) {
            if going.len() >= wanted as usize {
                break;
            }
            let pool = self.world.get(candidate.key).and_then(|member| member.pool);
            let is_spared = pool.is_some_and(|pool| {
                let least = pool_settings(&self.settings, pool).map_or(0, |pool| pool.min_alive as usize);
                let alive = alive.get(&pool).copied().unwrap_or(0);
                let leaving = self.cases.iter().filter(|case| case.pool == Some(pool)).count();
                let chosen = going.iter().filter(|(_, of)| *of == Some(pool)).count();
                alive.saturating_sub(leaving + chosen) <= least
            });
            if !is_spared {
                going.push((candidate.key, pool));
            }
        }
        going.into_iter().map(|(key, _)| key).collect()
    }

    fn ranked(
        &self,
        now_ns: u64,
        place: usize,
        candidate: &Candidate,
        alive: &ById<PoolId, usize>,
        going: &[ProcessKey],
    ) -> Option<Ranked> {
        let member = self.world.get(candidate.key)?;
        let obstacle = match candidate.standing {
            Standing::Deaf => {
                Some(Obstacle::Deaf { signal: member.pool.and_then(|pool| self.pool_signal(pool)) })
            }
            Standing::Eligible | Standing::Young | Standing::Handled | Standing::Needed => {
                self.obstacle(now_ns, candidate.key, member.pool, alive)
            }
        };
        Some(Ranked {
            place,
            who: member.who.clone(),
            pool: member.pool.map(|pool| self.pool_name(pool)),
            figures: candidate.figures,
            standing: candidate.standing,
            obstacle,
            goes: going.contains(&candidate.key),
        })
    }

    pub(super) fn pool_states(
        &self,
        now_ns: u64,
        query: &Query,
        alive: &ById<PoolId, usize>,
    ) -> Vec<PoolState> {
        let is_asked = |pool: PoolId| match query {
            Query::All => true,
            Query::Process(tgid) => {
                self.world.holder(*tgid).is_some_and(|member| member.pool == Some(pool))
                    || pool.master == *tgid
            }
            Query::Pool(name) => self.pool_name(pool) == *name,
        };
        // Bytes of all workers, and the most that one ever had.
        let mut held: ById<PoolId, (u64, u64)> = ById::default();
        for (_, member) in self.world.members() {
            let Some(pool) = member.pool else { continue };
            let measure = pool_settings(&self.settings, pool).map_or(Measure::Resident, |pool| pool.measure);
            let (bytes, peak) = held.entry(pool).or_default();
            *bytes += member.held(measure).unwrap_or(0);
            *peak = (*peak).max(member.highest);
        }
        let asked = alive.iter().filter(|(pool, _)| is_asked(**pool));
        let mut states: Vec<PoolState> = asked
            .map(|(pool, workers)| {
                let settings = pool_settings(&self.settings, *pool);
                PoolState {
                    name: self.pool_name(*pool),
                    master: pool.master,
                    workers: *workers,
                    leaving: self.cases.iter().filter(|case| case.pool == Some(*pool)).count(),
                    memory: held.get(pool).map_or(0, |(bytes, _)| *bytes),
                    peak: held.get(pool).map_or(0, |(_, peak)| *peak),
                    growth: self.world.growth(*pool),
                    min_alive: settings.map_or(0, |pool| pool.min_alive),
                    signal: self.pool_signal(*pool),
                    soft: settings.and_then(|pool| pool.soft),
                    hard: settings.and_then(|pool| pool.hard),
                    total: settings.and_then(|pool| pool.total),
                    queue: self.queue_state(now_ns, *pool),
                }
            })
            .collect();
        states.sort_by(|one, other| (&one.name, one.master).cmp(&(&other.name, other.master)));
        states
    }

    /// A pool that was found by itself goes by its server.
    fn pool_name(&self, pool: PoolId) -> String {
        let written = pool.entry.and_then(|entry| self.settings.pools.get(entry));
        let found = || {
            let master = self.world.holder(pool.master)?;
            Some(Server::of(&master.who)?.kind.clone())
        };
        written.map(|pool| pool.name.clone()).or_else(found).unwrap_or_else(|| "found".to_owned())
    }

    fn is_of_pool(&self, key: ProcessKey, name: &str) -> bool {
        let pool = self.world.get(key).and_then(|member| member.pool);
        pool.is_some_and(|pool| self.pool_name(pool) == name)
    }

    /// Who is no candidate of any scope, and why.
    fn refused(&self, query: &Query, alive: &ById<PoolId, usize>) -> Vec<Refused> {
        let is_asked = |member: &Member| match query {
            Query::All => !member.who.is_kernel,
            Query::Process(tgid) => member.who.key.tgid == *tgid,
            Query::Pool(_) => false,
        };
        let asked = self.world.members().filter(|(_, member)| is_asked(member));
        let mut refused: Vec<Refused> = asked
            .filter_map(|(_, member)| {
                let obstacle = self.shut_out(member, alive)?;
                Some(Refused { who: member.who.clone(), resident: member.resident, obstacle })
            })
            .collect();
        refused.sort_by_key(|refused| refused.who.key.tgid);
        refused
    }

    fn shut_out(&self, member: &Member, alive: &ById<PoolId, usize>) -> Option<Obstacle> {
        if let Some(guard) = member.guard {
            let program = guarded_program(&member.who).filter(|_| guard == Guard::System);
            return Some(Obstacle::Guarded { guard, program });
        }
        if member.scopes == 0 {
            return Some(Obstacle::OutOfScope);
        }
        let takes_any = self
            .settings
            .scopes
            .iter()
            .enumerate()
            .any(|(index, scope)| member.scopes & bit(index) != 0 && scope.any_process);
        if member.pool.is_some() || takes_any {
            return None;
        }
        let is_master = alive.iter().any(|(pool, _)| pool.master == member.who.key.tgid);
        Some(if is_master { Obstacle::Master } else { Obstacle::NoWorker })
    }
}
