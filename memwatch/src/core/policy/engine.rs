//! The one place where proposals become acts.

mod act;
mod choose;
mod company;
mod explain;
mod gauges;
mod orders;
mod resize;
mod unreplaced;

use foldhash::fast::FixedState;
pub use orders::LIMIT_RULES;

use super::budget::Spent;
use super::case::Case;
use super::command::{Command, Outbox};
use super::decision::{Candidate, Decision, Warning};
use super::guard::Own;
use super::input::{Holding, Host, Input};
use super::masters::Masters;
use super::rule::{self, RULES, Rule, Totals, View, Wishes};
use super::settings::{Reach, Settings, TableAction};
use super::who::Who;
use super::world::{ById, PoolId, ROOM, World};
use crate::core::fact::ProcessKey;

/// Cases for which room is made at the start.
const CASES: usize = 256;
/// Pools for which room is made at the start.
pub(super) const POOLS: usize = 1024;
/// Time between looks at the host while nothing moves, in nanoseconds.
const REST_NS: u64 = 1_000_000_000;
/// Shortest time between looks, in nanoseconds.
const HASTE_NS: u64 = 1_000_000;
/// A look that was asked for and not answered in this time is asked for again, in nanoseconds.
const ANSWER_NS: u64 = 1_000_000_000;

/// Takes inputs, hands out commands.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    world: World,
    rules: Vec<Box<dyn Rule>>,
    cases: Vec<Case>,
    spent: Spent,
    masters: Masters,
    /// Whether the kernel side was told to kill nobody, as the budget is spent.
    is_disarmed: bool,
    last_id: u64,
    /// Time of the last look at the host.
    looked_ns: u64,
    /// When it was last found of each scope that something has to go and nobody may, boot clock, nanoseconds.
    nobody_left: Vec<Option<u64>>,
    wishes: Wishes,
    ranking: Vec<Candidate>,
    /// Workers of each pool when the ranking was made.
    alive: ById<PoolId, usize>,
    /// Bytes of each pool with a limit; kept for its room.
    totals: Totals,
    /// Pools of which a worker that goes needs no successor, as it was when the rules last looked.
    spareable: Vec<PoolId>,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings, own: Own) -> Self {
        Self {
            spent: Spent::new(settings.budget),
            settings,
            world: World::new(own),
            rules: RULES.iter().map(|make| make()).collect(),
            cases: Vec::with_capacity(CASES),
            masters: Masters::new(),
            is_disarmed: false,
            last_id: 0,
            looked_ns: 0,
            nobody_left: Vec::new(),
            wishes: Wishes::with_room(),
            ranking: Vec::with_capacity(ROOM),
            alive: ById::with_capacity_and_hasher(POOLS, FixedState::default()),
            totals: Totals::default(),
            spareable: Vec::with_capacity(POOLS),
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is known of a process.
    #[must_use]
    pub fn who(&self, key: ProcessKey) -> Option<&Who> {
        self.world.get(key).map(|member| &*member.who)
    }

    /// Path of a cgroup that is to be audited, or of which something is told; `None`: it is there no more.
    #[must_use]
    pub fn cgroup(&self, number: u64) -> Option<&str> {
        self.world.cgroups.get(number).map(|audited| audited.path.as_str())
    }

    /// What the cgroup of a scope truly held when it was last read, where a decision was made by that.
    #[must_use]
    pub fn truly_held(&self, decision: &Decision) -> Option<Holding> {
        let scope =
            self.settings.scopes.get(decision.entry.filter(|_| decision.rule == rule::HOST_BOUNDS)?)?;
        let Reach::Cgroup(path) = &scope.reach else { return None };
        let number = self.world.cgroups.number(path).filter(|_| scope.true_use)?;
        self.world.cgroups.get(number)?.read?.1
    }

    /// Processes known.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.world.len()
    }

    /// Decisions that are being carried out.
    #[must_use]
    pub fn open(&self) -> usize {
        self.cases.len()
    }

    /// Processes whose RSS has to be followed: those that a limit or bound concerns.
    pub fn followed(&self, out: &mut Vec<ProcessKey>) {
        out.clear();
        let scopes = self.settings.scopes.iter().enumerate().fold(0, |bits, (index, scope)| {
            let is_summed = scope.bounds.is_some() && (scope.reach != Reach::Host || scope.any_process);
            if is_summed { bits | super::world::bit(index) } else { bits }
        });
        let members = self.world.members().filter(|(_, member)| {
            !member.who.is_kernel
                && (member.scopes & scopes != 0
                    || (member.is_free()
                        && (member.pool.is_some() || member.limit(&self.settings).is_some())))
        });
        out.extend(members.map(|(key, _)| key));
    }

    /// Bytes until a bound on the host's own use is reached; `None`: there is none that is not passed already. Nothing else has to be
    /// known to act on it.
    #[must_use]
    pub fn left_of_host(&self, host: &Host) -> Option<u64> {
        let of_host = self.settings.scopes.iter().filter(|scope| scope.reach == Reach::Host);
        let bounds =
            of_host.filter_map(|scope| Some((scope.bounds.as_ref()?, scope.memory.unwrap_or(host.total))));
        let all =
            bounds.flat_map(|(bounds, memory)| [bounds.lower, bounds.upper].map(|bound| bound.of(memory)));
        all.filter_map(|bound| bound.checked_sub(host.used()).filter(|left| *left > 0)).min()
    }

    /// Uses of the host at which a bound of a scope or a limit of a pool is reached if whatever is taken is taken there.
    /// One that is passed already is none.
    pub fn bounds(&mut self, host: &Host, out: &mut Vec<u64>) {
        out.clear();
        for (index, scope) in self.settings.scopes.iter().enumerate() {
            let Some(bounds) = &scope.bounds else { continue };
            let (used, memory) = match self.world.used(index, &self.settings) {
                Some(known) if scope.reach != Reach::Host => known,
                Some(_) | None => (host.used(), scope.memory.unwrap_or(host.total)),
            };
            let left = [bounds.lower, bounds.upper].map(|bound| bound.of(memory).saturating_sub(used));
            out.extend(left.into_iter().filter(|left| *left > 0).map(|left| host.used() + left));
        }
        let pools = rule::left_in_pools(&self.settings, &self.world, &mut self.totals);
        out.extend(pools.map(|left| host.used() + left));
    }

    /// Puts new settings in force. What is under way goes on as it was decided. The kernel side has to have forgotten what it was
    /// told before: what it is to do now is said anew.
    pub fn change(&mut self, settings: Settings, out: &mut Outbox) {
        self.spent.change(settings.budget);
        self.settings = settings;
        self.masters.clear();
        self.nobody_left.clear();
        self.rules = RULES.iter().map(|make| make()).collect();
        self.world.reconsider(&self.settings);
        self.hand_down_to(|_| true, out);
    }

    /// Takes one input in; what follows from it is added to `out`.
    pub fn handle(&mut self, now_ns: u64, input: Input, out: &mut Outbox) {
        self.world.now_ns = now_ns;
        match input {
            Input::Runs(who) => {
                let key = who.key;
                if let Some(missed) = self.world.runs(*who, &self.settings) {
                    self.ended(now_ns, missed, out);
                }
                self.hand_down(key, out);
            }
            Input::Ended(key) => {
                self.ended(now_ns, key, out);
            }
            Input::Host(host) => {
                self.world.host = Some(host);
                self.looked_ns = now_ns;
                self.evaluate(now_ns, out);
            }
            Input::Strain { cgroup, strain } => {
                self.world.strained(now_ns, cgroup, strain, &self.settings);
            }
            Input::Holding { cgroup, holding } => {
                self.world.held(&cgroup, holding, &self.settings);
                self.evaluate(now_ns, out);
            }
            Input::Queue(queue) => self.world.queued(now_ns, queue),
            Input::Figures { key, figures } => self.world.figures(key, now_ns, figures),
            Input::Unreadable(key) => {
                if let Some(member) = self.world.get_mut(key) {
                    member.asked_ns = None;
                    member.is_unreadable = true;
                }
            }
            Input::Table(table) => {
                if let Some(member) = self.world.get_mut(table.key) {
                    member.table = Some(table);
                }
                self.tell_table(table.key, out);
                self.evaluate(now_ns, out);
            }
            Input::Sweeps(key) => self.escalate_sweep(now_ns, key, out),
            Input::Acted(acted) => self.acted(now_ns, &acted, out),
            Input::Outcome { decision, outcome } => self.outcome(now_ns, decision, outcome, out),
            Input::Tick => self.evaluate(now_ns, out),
        }
        self.arm(now_ns, out);
    }

    fn tell_table(&self, key: ProcessKey, out: &mut Outbox) {
        let Some(member) = self.world.get(key) else { return };
        let Some((_, rule)) = rule::table_for(&self.settings, &self.world, member) else { return };
        if let Some(table) = member.table
            && rule.action == TableAction::Report
            && table.bytes >= rule.min_bytes
            && table.confidence >= rule.confidence
        {
            out.commands.push(Command::Warn(Warning::FdTable {
                key,
                bytes: table.bytes,
                touched: table.touched,
            }));
        }
    }

    /// Moves the cases on, asks every rule, and carries out what may be carried out.
    fn evaluate(&mut self, now_ns: u64, out: &mut Outbox) {
        self.advance(now_ns, out);
        self.world.sample();
        let mut wishes = std::mem::take(&mut self.wishes);
        wishes.clear();
        self.world.cgroups.name(now_ns, &self.settings);
        let mut rules = std::mem::take(&mut self.rules);
        let view = View { now_ns, settings: &self.settings, world: &self.world };
        for rule in &mut rules {
            rule.propose(&view, &mut wishes);
        }
        self.rules = rules;
        self.world.cgroups.seen();
        self.spareable.clear();
        self.spareable.append(&mut wishes.spareable);
        out.commands.extend(wishes.warnings.drain(..).map(Command::Warn));
        for proposal in wishes.proposals.drain(..) {
            self.consider(now_ns, &proposal, out);
        }
        // Last: commands are obeyed in order, and no question may hold up a signal.
        self.ask(now_ns, &mut wishes, out);
        let due = self.cases.iter().map(|case| case.due_ns().saturating_sub(now_ns)).min();
        let within = [wishes.look_within_ns, due].into_iter().flatten().min().unwrap_or(REST_NS);
        out.commands.push(Command::LookWithin(within.clamp(HASTE_NS, REST_NS)));
        self.wishes = wishes;
    }

    /// Asks for figures, each process and cgroup once.
    fn ask(&mut self, now_ns: u64, wishes: &mut Wishes, out: &mut Outbox) {
        wishes.measure.sort_unstable();
        wishes.measure.dedup();
        for key in wishes.measure.drain(..) {
            let Some(member) = self.world.get_mut(key) else { continue };
            if member.asked_ns.is_none_or(|asked| now_ns.saturating_sub(asked) >= ANSWER_NS) {
                member.asked_ns = Some(now_ns);
                out.commands.push(Command::Measure(key));
            }
        }
        for number in wishes.audit.drain(..) {
            self.world.cgroups.asked(now_ns, number);
            out.commands.push(Command::Audit(number));
        }
    }
}

#[cfg(test)]
mod tests;
