//! The cases: opened by a decision, moved by ticks and answers, closed when the memory is back.

use std::cmp::Reverse;

use super::{Engine, LIMIT_RULES};
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::case::{Case, KILL_DEADLINE_NS, Stage};
use crate::core::policy::command::{Command, Signal};
use crate::core::policy::decision::{Cause, Ending, Gravity, Outcome};
use crate::core::policy::input::Acted;
use crate::core::policy::rule::{self, Among, Proposal};
use crate::core::policy::settings::{Mode, Reach, TableAction};
use crate::core::policy::sizing::Resize;
use crate::core::policy::world::pool_settings;

/// A process that was observed, or that the actuator refused, is left alone for this time, in nanoseconds.
const REST_NS: u64 = 60_000_000_000;
/// Time for leaving when asked, where nothing else says so, in nanoseconds.
const DEADLINE_NS: u64 = 10_000_000_000;

/// Time between questions to a budget that is spent, in nanoseconds.
const WAIT_NS: u64 = 1_000_000_000;

impl Engine {
    /// Begins to carry out a decision about `key`.
    pub(super) fn open_case(
        &mut self,
        now_ns: u64,
        proposal: &Proposal,
        key: ProcessKey,
        signal: Signal,
        scope: Option<usize>,
        out: &mut Outbox,
    ) {
        let as_one = self.settings.oom_group
            && self.world.get(key).is_some_and(|member| member.figures().as_one == Some(true))
            && (proposal.gravity != Gravity::Kill || self.may_take_cgroup(key, out));
        let gravity = match proposal.gravity {
            Gravity::Kill if as_one => Gravity::KillCgroup,
            Gravity::Resize
            | Gravity::Refuse
            | Gravity::Graceful
            | Gravity::StopUnit
            | Gravity::Kill
            | Gravity::KillCgroup => proposal.gravity,
        };
        let in_place = self.in_place(proposal, key);
        let mut decision = self.record(now_ns, &Proposal { gravity, ..*proposal }, key, signal, out);
        if let Some((_, order)) = in_place
            && let Some(Command::Decided(told)) = out.commands.last_mut()
        {
            decision.order = Some(order);
            *told = decision;
        }
        let Some(member) = self.world.get(key) else { return };
        let pool = member.pool;
        let settings = pool.and_then(|pool| pool_settings(&self.settings, pool));
        let table = proposal.entry.filter(|_| proposal.rule == rule::FD_TABLE);
        let deadline_ns = table
            .and_then(|entry| self.settings.fd_tables.get(entry))
            .map(|rule| rule.deadline_ns)
            .or_else(|| settings.map(|pool| pool.deadline_ns))
            .unwrap_or(DEADLINE_NS);
        let before = settings.map(|pool| &pool.hooks).filter(|hooks| !hooks.before.is_empty());
        let mut case = Case {
            decision,
            scope,
            pool,
            stage: Stage::Before { until_ns: now_ns + before.map_or(0, |hooks| hooks.deadline_ns) },
            used_before: scope.and_then(|scope| self.world.used(scope, &self.settings)).map(|(used, _)| used),
            expected: member.weight(),
            deadline_ns,
            sent_ns: None,
            ended_ns: None,
            was_killed: false,
            as_one,
            resized: None,
            has_shrunk: false,
            by_master: in_place.map(|(master, _)| master),
        };
        if before.is_some() && self.settings.mode == Mode::Enforce {
            let pool = pool.and_then(|pool| pool.entry);
            out.commands.push(Command::RunHook { decision: decision.id, key, pool, before: true });
        } else {
            send(&mut case, now_ns, out);
        }
        self.cases.push(case);
        if let Some(pool) = pool.filter(|_| in_place.is_some()) {
            self.goes_unreplaced(now_ns, pool);
        }
    }

    /// A rule or limit acted in the kernel: the decision is written afterwards.
    pub(super) fn acted(&mut self, now_ns: u64, acted: &Acted, out: &mut Outbox) {
        let Acted { key, rule, bytes, bound, done } = *acted;
        let Ok(entry) = usize::try_from(rule & (LIMIT_RULES - 1)) else { return };
        let member = self.world.get(key);
        let is_refused = rule < LIMIT_RULES
            && self.settings.fd_tables.get(entry).is_some_and(|rule| rule.action == TableAction::Refuse);
        let (name, cause, signal) = if rule >= LIMIT_RULES {
            let signal = self.settings.process_limits.get(entry).map(|limit| limit.signal);
            (rule::PROCESS_LIMIT, Cause::WorkerLimit { bytes, limit: bound }, signal)
        } else {
            let limit = member.and_then(|member| member.table).map_or(0, |table| table.limit);
            let signal = self.settings.fd_tables.get(entry).map(|rule| rule.signal);
            (rule::FD_TABLE, Cause::FdTable { limit, bytes, touched: 0, bound }, signal)
        };
        let signal = signal.unwrap_or(Signal::KILL);
        let is_kill = signal == Signal::KILL && !is_refused;
        let pool = member.and_then(|member| member.pool);
        let proposal = Proposal {
            rule: name,
            entry: Some(entry),
            cause,
            gravity: if is_refused { Gravity::Refuse } else { Gravity::of(signal) },
            among: Among::One(key),
            wanted: 1,
            idle_first: false,
        };
        self.ranking.clear();
        let decision = self.record(now_ns, &proposal, key, signal, out);
        let until_ns = now_ns + if is_kill { KILL_DEADLINE_NS } else { DEADLINE_NS };
        let case = Case {
            decision,
            scope: None,
            pool,
            stage: if is_kill { Stage::Killed { until_ns } } else { Stage::Asked { until_ns } },
            used_before: None,
            expected: bytes,
            deadline_ns: DEADLINE_NS,
            sent_ns: done.then_some(now_ns),
            ended_ns: None,
            was_killed: done && is_kill,
            as_one: false,
            resized: None,
            has_shrunk: false,
            by_master: None,
        };
        if is_refused && done {
            // Nobody was signalled, and nobody is to end by it.
            out.commands.push(Command::Closed(case.close(now_ns, Ending::Refused, None)));
        } else if done {
            let is_first = !self.cases.iter().any(|case| case.decision.key == key);
            self.cases.push(case);
            if is_first {
                self.book(now_ns, &proposal, key, out);
            }
        } else {
            let is_enforced = self.settings.mode == Mode::Enforce;
            let ending = if is_enforced { Ending::Failed } else { Ending::Observed };
            out.commands.push(Command::Closed(case.close(now_ns, ending, None)));
            self.rest(key, now_ns);
        }
    }

    /// What became of a command.
    pub(super) fn outcome(&mut self, now_ns: u64, decision: u64, outcome: Outcome, out: &mut Outbox) {
        let Some(place) = self.cases.iter().position(|case| case.decision.id == decision) else { return };
        let Some(case) = self.cases.get_mut(place) else { return };
        if case.resized.is_some() {
            return self.told(now_ns, place, outcome, out);
        }
        if case.by_master.is_some()
            && matches!(outcome, Outcome::Gone | Outcome::Guarded | Outcome::Failed(_))
        {
            return self.ask_itself(place, now_ns, out);
        }
        let ending = match outcome {
            Outcome::Sent => {
                case.sent_ns.get_or_insert(now_ns);
                return;
            }
            Outcome::HookEnded | Outcome::HookFailed => {
                if let Stage::Before { .. } = case.stage {
                    self.step(place, now_ns, out, send);
                }
                return;
            }
            // It ended between two signals; its end is on its way.
            Outcome::Gone if case.sent_ns.is_some() => return,
            Outcome::Gone => Ending::Gone,
            Outcome::WouldSend => Ending::Observed,
            Outcome::Guarded | Outcome::Failed(_) => Ending::Failed,
        };
        let key = case.decision.key;
        let closing = case.close(now_ns, ending, None);
        let case = self.cases.swap_remove(place);
        if let Some(pool) = case.pool.filter(|_| case.by_master.is_some()) {
            self.only_told(pool, Resize::Shrink);
        }
        if outcome == Outcome::Guarded
            && let Some(member) = self.world.get_mut(key)
        {
            // The actuator knows better: nobody else may go for what this one holds.
            (member.scopes, member.pool) = (0, None);
            self.hand_down(key, out);
        }
        if ending != Ending::Gone {
            self.rest(key, now_ns);
        }
        out.commands.push(Command::Closed(closing));
    }

    fn rest(&mut self, key: ProcessKey, now_ns: u64) {
        if let Some(member) = self.world.get_mut(key) {
            member.rests_until_ns = now_ns + REST_NS;
        }
    }

    /// A process ended.
    pub(super) fn ended(&mut self, now_ns: u64, key: ProcessKey, out: &mut Outbox) {
        self.masters.forget(key.tgid);
        self.has_left(key);
        for case in self.cases.iter_mut().filter(|case| case.decision.key == key) {
            case.ended_ns = Some(now_ns);
            if case.resized.is_some() {
                continue;
            }
            if let Some(Reach::Cgroup(path)) =
                case.scope.and_then(|scope| self.settings.scopes.get(scope)).map(|scope| &scope.reach)
            {
                self.world.cgroups.left(now_ns, path);
            }
            case.stage = Stage::Ended { until_ns: now_ns + self.settings.returned_within_ns };
            let settings = case.pool.and_then(|pool| pool_settings(&self.settings, pool));
            if settings.is_some_and(|pool| !pool.hooks.after.is_empty()) && case.sent_ns.is_some() {
                let pool = case.pool.and_then(|pool| pool.entry);
                let decision = case.decision.id;
                out.commands.push(Command::RunHook { decision, key, pool, before: false });
            }
        }
        self.world.ended(key);
    }

    /// A process that was asked to leave closes descriptor after descriptor instead, which takes minutes for 2^30 of
    /// them: it is not waited for.
    pub(super) fn escalate_sweep(&mut self, now_ns: u64, key: ProcessKey, out: &mut Outbox) {
        for case in self.cases.iter_mut().filter(|case| case.decision.key == key) {
            if let Stage::Asked { until_ns } = &mut case.stage
                && case.sent_ns.is_some()
            {
                *until_ns = now_ns;
            }
        }
        self.advance(now_ns, out);
    }

    /// Takes every case as far as time and memory allow.
    pub(super) fn advance(&mut self, now_ns: u64, out: &mut Outbox) {
        let mut place = 0;
        while let Some(case) = self.cases.get(place).copied() {
            let is_due = now_ns >= case.due_ns();
            let closing = match case.stage {
                Stage::Before { .. } if is_due => {
                    self.step(place, now_ns, out, send);
                    None
                }
                Stage::Asked { .. } if is_due && case.by_master.is_some() => {
                    self.ask_itself(place, now_ns, out);
                    None
                }
                Stage::Asked { .. } if is_due => {
                    let step = if self.may_kill(now_ns, out) { kill } else { wait };
                    self.step(place, now_ns, out, step);
                    None
                }
                Stage::Killed { .. } if is_due => {
                    self.rest(case.decision.key, now_ns);
                    Some((Ending::Stuck, None))
                }
                Stage::Told { .. } => self.has_followed(&case, is_due),
                Stage::Ended { .. } => self.returned(&case, is_due),
                Stage::Before { .. } | Stage::Asked { .. } | Stage::Killed { .. } => None,
            };
            match closing {
                Some((ending, returned)) => {
                    out.commands.push(Command::Closed(case.close(now_ns, ending, returned)));
                    self.cases.swap_remove(place);
                }
                None => place += 1,
            }
        }
    }

    /// Kills who was asked to leave and would be chosen now: the largest of them. Whether there is one.
    pub(super) fn escalate(&mut self, now_ns: u64, among: Among, out: &mut Outbox) -> bool {
        let is_among = |case: &Case| match among {
            Among::Scope(scope) => case.scope == Some(scope),
            Among::Pool(pool) => case.pool == Some(pool),
            Among::One(key) => case.decision.key == key,
        };
        let asked = self.cases.iter().enumerate().filter(|(_, case)| {
            matches!(case.stage, Stage::Asked { .. } | Stage::Before { .. }) && is_among(case)
        });
        let largest = asked.max_by_key(|(_, case)| (case.expected, Reverse(case.decision.id)));
        let Some(place) = largest.map(|(place, _)| place) else { return false };
        if self.may_kill(now_ns, out) {
            self.step(place, now_ns, out, kill);
        }
        true
    }

    pub(super) fn step(
        &mut self,
        place: usize,
        now_ns: u64,
        out: &mut Outbox,
        step: fn(&mut Case, u64, &mut Outbox),
    ) {
        self.look_around(place, out);
        if let Some(case) = self.cases.get_mut(place) {
            step(case, now_ns, out);
        }
    }

    /// How a case ends whose process has ended; `None`: its memory is still waited for.
    fn returned(&self, case: &Case, is_due: bool) -> Option<(Ending, Option<u64>)> {
        let now = case.scope.and_then(|scope| self.world.used(scope, &self.settings)).map(|(used, _)| used);
        let returned = case.used_before.zip(now).map(|(before, now)| before.saturating_sub(now));
        // The use of such a scope is the sum of its processes, and the kernel tells of an end when it has taken the memory
        // back (do_exit in kernel/exit.c, 6.18): what others take meanwhile is no reason to wait.
        let is_summed = case.scope.and_then(|scope| self.settings.scopes.get(scope));
        let is_summed = is_summed.is_some_and(|scope| scope.reach != Reach::Host);
        match returned {
            None => Some((Ending::Returned, None)),
            Some(_) if is_summed => Some((Ending::Returned, returned)),
            // Others take memory meanwhile: half of it is as good as all.
            Some(bytes) if bytes > 0 && bytes >= case.expected / 2 => Some((Ending::Returned, returned)),
            Some(_) if is_due => Some((Ending::NotReturned, returned)),
            Some(_) => None,
        }
    }
}

/// Sends what was decided.
pub(super) fn send(case: &mut Case, now_ns: u64, out: &mut Outbox) {
    let (decision, key, signal) = (case.decision.id, case.decision.key, case.decision.signal);
    match case.decision.gravity {
        Gravity::Graceful | Gravity::Resize | Gravity::Refuse => {
            case.stage = Stage::Asked { until_ns: now_ns + case.deadline_ns };
            out.commands.push(match case.by_master.zip(case.decision.order) {
                Some((master, order)) => Command::Tell { decision, key: master, order },
                None => Command::Send { decision, key, signal },
            });
        }
        Gravity::StopUnit => {
            // What does not stop in time is killed, with whoever is in its cgroup.
            case.as_one = true;
            case.stage = Stage::Asked { until_ns: now_ns + case.deadline_ns };
            out.commands.push(Command::StopUnit { decision, key });
        }
        Gravity::Kill => kill(case, now_ns, out),
        Gravity::KillCgroup => {
            case.as_one = true;
            kill(case, now_ns, out);
        }
    }
}

/// The budget is spent: asked again later.
fn wait(case: &mut Case, now_ns: u64, _: &mut Outbox) {
    case.stage = Stage::Asked { until_ns: now_ns + WAIT_NS };
}

/// Kills.
fn kill(case: &mut Case, now_ns: u64, out: &mut Outbox) {
    case.was_killed = true;
    case.stage = Stage::Killed { until_ns: now_ns + KILL_DEADLINE_NS };
    let (decision, key) = (case.decision.id, case.decision.key);
    out.commands.push(if case.as_one {
        Command::KillCgroup { decision, key }
    } else {
        Command::Send { decision, key, signal: Signal::KILL }
    });
}
