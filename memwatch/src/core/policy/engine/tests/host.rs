//! A host made of numbers: processes with memory, and an actuator that obeys or not.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::fact::ProcessKey;
use crate::core::pattern::Pattern;
use crate::core::policy::guard::Own;
use crate::core::policy::{
    Amount, Bounds, Budget, Command, Decision, Ending, Engine, Figures, Gravity, Hooks, Host, Input, Match,
    Measure, Mode, Order, Outbox, Outcome, Pool, Protect, Reach, Scope, Settings, Signal, Then, Warning, Who,
};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const SECOND: u64 = 1_000_000_000;

/// A process of the simulated host.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) who: Who,
    pub(super) private: u64,
    /// Whether it leaves when asked to.
    pub(super) obeys: bool,
}

/// The host, its engine, and everything the engine ever said.
#[derive(Debug)]
pub(super) struct Sim {
    pub(super) engine: Engine,
    pub(super) now_ns: u64,
    pub(super) total: u64,
    /// Used by nobody that can be named.
    pub(super) other: u64,
    pub(super) processes: BTreeMap<ProcessKey, Fake>,
    pub(super) said: Vec<(u64, Command)>,
    /// Process ids that the actuator refuses.
    pub(super) refused: BTreeSet<u32>,
    /// Process ids without a handler for any signal.
    pub(super) deaf: BTreeSet<u32>,
    /// Whose cgroup has `memory.oom.group` set.
    pub(super) as_one: BTreeSet<u32>,
    /// Executables of all that ever ran.
    pub(super) started: BTreeMap<ProcessKey, Option<String>>,
    /// Workers of the pool at each decision about one of them: those not yet told to leave, this one included.
    pub(super) alive_at_decision: Vec<(usize, Gravity, &'static str)>,
    /// The ranking of each decision, by process id.
    pub(super) ranked: Vec<Vec<u32>>,
    /// Whom kills of whole cgroups took.
    pub(super) taken: Vec<ProcessKey>,
    out: Outbox,
}

pub(super) fn who(tgid: u32, parent: u32, exe: &str, start_ns: u64) -> Who {
    Who {
        parent: Some(parent),
        comm: exe.rsplit('/').next().unwrap_or_default().to_owned(),
        exe: Some(exe.to_owned()),
        args: vec![exe.to_owned()],
        uid: Some(1000),
        cgroup: Some("/web".into()),
        oom_score_adj: Some(0),
        ..Who::unknown(ProcessKey { tgid, start_ns })
    }
}

pub(super) fn matching(exe: &str) -> Match {
    Match { exe: vec![Pattern::parse(exe).expect("a pattern")], ..Match::default() }
}

pub(super) fn pool(exe: &str) -> Pool {
    Pool {
        name: "pool".into(),
        matching: matching(exe),
        signal: Signal(1),
        deadline_ns: 5 * SECOND,
        measure: Measure::Private,
        soft: None,
        hard: None,
        total: None,
        at_once: 1,
        stagger_ns: SECOND,
        min_alive: 1,
        min_lifetime_ns: 0,
        rounds: 5,
        then: Then::Stop,
        hooks: Hooks::default(),
        size: None,
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        mode: Mode::Enforce,
        scopes: vec![Scope {
            name: "host".into(),
            reach: Reach::Host,
            memory: None,
            bounds: Some(Bounds {
                lower: Amount::Share(7000),
                upper: Amount::Share(9000),
                exponent: 2.0,
                steps: Vec::new(),
            }),
            any_process: false,
            true_use: false,
        }],
        pools: vec![pool("/srv/worker")],
        found_pools: None,
        process_limits: Vec::new(),
        fd_tables: Vec::new(),
        pressure: None,
        thrash: None,
        audit: None,
        growth: None,
        protect: Protect::default(),
        budget: Budget { kills: 100, window_ns: 60 * SECOND, cool_down_ns: 60 * SECOND },
        returned_within_ns: 2 * SECOND,
        oom_group: false,
    }
}

impl Sim {
    pub(super) fn new(settings: Settings, total: u64) -> Self {
        Self {
            engine: Engine::new(settings, Own { tgid: 99, ancestors: vec![98] }),
            now_ns: 1000 * SECOND,
            total,
            other: 0,
            processes: BTreeMap::new(),
            said: Vec::new(),
            refused: BTreeSet::new(),
            deaf: BTreeSet::new(),
            as_one: BTreeSet::new(),
            started: BTreeMap::new(),
            alive_at_decision: Vec::new(),
            ranked: Vec::new(),
            taken: Vec::new(),
            out: Outbox::default(),
        }
    }

    /// A master (pid 10) and `count` workers (pids from 11) of `private` bytes each, an hour old.
    pub(super) fn with_pool(mut self, count: u32, private: u64) -> Self {
        let born = self.now_ns - 900 * SECOND;
        self.start(Fake { who: who(10, 2, "/srv/worker", born), private: MIB, obeys: true });
        for tgid in 11..11 + count {
            self.start(Fake {
                who: who(tgid, 10, "/srv/worker", born + u64::from(tgid)),
                private,
                obeys: true,
            });
        }
        self
    }

    pub(super) fn start(&mut self, fake: Fake) {
        self.started.insert(fake.who.key, fake.who.exe.clone());
        self.feed(Input::Runs(Box::new(fake.who.clone())));
        self.processes.insert(fake.who.key, fake);
    }

    pub(super) fn end(&mut self, key: ProcessKey) {
        if self.processes.remove(&key).is_some() {
            self.feed(Input::Ended(key));
        }
    }

    pub(super) fn of(&mut self, tgid: u32) -> &mut Fake {
        self.processes.values_mut().find(|fake| fake.who.key.tgid == tgid).expect("a process")
    }

    pub(super) fn lives(&self, tgid: u32) -> bool {
        self.processes.keys().any(|key| key.tgid == tgid)
    }

    pub(super) fn used(&self) -> u64 {
        self.other + self.processes.values().map(|fake| fake.private).sum::<u64>()
    }

    /// Gives one input, and obeys what comes of it.
    pub(super) fn feed(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.engine.handle(self.now_ns, input, &mut out);
        let commands = std::mem::take(&mut out.commands);
        let decisions = commands.iter().filter_map(|command| {
            if let Command::Decided(decision) = command { Some(out.ranking(decision)) } else { None }
        });
        self.ranked
            .extend(decisions.map(|ranking| ranking.iter().map(|candidate| candidate.key.tgid).collect()));
        self.out = out;
        for command in &commands {
            self.said.push((self.now_ns, *command));
            if let Command::Decided(decision) = command {
                self.count_alive(decision);
            }
        }
        for command in &commands {
            self.obey(*command);
        }
    }

    fn count_alive(&mut self, decision: &Decision) {
        let engine = &self.engine;
        let Some(pool) = engine.world.get(decision.key).and_then(|member| member.pool) else { return };
        let leaving = engine.cases.iter().filter(|case| {
            case.pool == Some(pool) && case.ended_ns.is_none() && case.decision.id < decision.id
        });
        let alive = engine.world.workers(pool).count() - leaving.count();
        self.alive_at_decision.push((alive, decision.gravity, decision.rule));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Measure(key) => match self.processes.get(&key) {
                Some(fake) => {
                    let caught = self.deaf.contains(&key.tgid).then_some(0);
                    let as_one = self.as_one.contains(&key.tgid).then_some(true);
                    let figures = Figures { caught, as_one, ..figures(fake) };
                    self.feed(Input::Figures { key, figures });
                }
                None => self.feed(Input::Unreadable(key)),
            },
            Command::Send { decision, key, signal } => {
                let outcome = match self.processes.get(&key) {
                    None => Outcome::Gone,
                    Some(_) if self.refused.contains(&key.tgid) => Outcome::Guarded,
                    Some(_) if self.engine.settings().mode == Mode::Observe => Outcome::WouldSend,
                    Some(_) => Outcome::Sent,
                };
                self.feed(Input::Outcome { decision, outcome });
                let dies = self.processes.get(&key).is_some_and(|fake| fake.obeys || signal == Signal::KILL);
                if outcome == Outcome::Sent && dies {
                    self.end(key);
                }
            }
            Command::Tell { decision, key, order } => self.told(decision, key, order),
            Command::KillCgroup { decision, key } => {
                let outcome = self.enforced();
                self.feed(Input::Outcome { decision, outcome });
                let cgroup = self.processes.get(&key).and_then(|fake| fake.who.cgroup.clone());
                let Some(cgroup) = cgroup.filter(|_| outcome == Outcome::Sent) else { return };
                self.take_all(|fake| fake.who.is_below(&cgroup));
            }
            Command::StopUnit { decision, key } => {
                let outcome = self.enforced();
                self.feed(Input::Outcome { decision, outcome });
                let stops = self.processes.get(&key).filter(|fake| fake.obeys && outcome == Outcome::Sent);
                let Some(unit) = stops.and_then(|fake| fake.who.unit.clone()) else { return };
                self.take_all(|fake| fake.who.unit.as_deref() == Some(&*unit));
            }
            Command::RunHook { decision, .. } => {
                self.feed(Input::Outcome { decision, outcome: Outcome::HookEnded });
            }
            Command::Audit(number) => {
                let path = self.engine.cgroup(number).unwrap_or_default().to_owned();
                // When all have ended their cgroups are removed.
                if self.processes.is_empty() {
                    self.feed(Input::Holding { cgroup: path, holding: None });
                }
            }
            Command::Limit(_)
            | Command::Unlimit(_)
            | Command::Rule { .. }
            | Command::Unrule(_)
            | Command::LookWithin(_)
            | Command::Decided(_)
            | Command::Closed(_)
            | Command::Warn(_) => {}
        }
    }

    /// What becomes of an act that the actuator does not refuse.
    fn enforced(&self) -> Outcome {
        match self.engine.settings().mode {
            Mode::Observe => Outcome::WouldSend,
            Mode::Enforce => Outcome::Sent,
        }
    }

    fn take_all(&mut self, goes: impl Fn(&Fake) -> bool) {
        let all: Vec<_> =
            self.processes.values().filter(|fake| goes(fake)).map(|fake| fake.who.key).collect();
        for key in all {
            self.taken.push(key);
            self.end(key);
        }
    }

    /// A master follows at once, unless it does not obey: the newest worker is added or the oldest goes.
    fn told(&mut self, decision: u64, key: ProcessKey, order: Order) {
        let outcome = self.enforced();
        self.feed(Input::Outcome { decision, outcome });
        let Some(master) = self.processes.get(&key).filter(|fake| fake.obeys).cloned() else { return };
        let workers = self.processes.values().filter(|fake| fake.who.parent == Some(key.tgid));
        if outcome != Outcome::Sent {
            return;
        }
        if order == Order::Signal(Signal(21)) {
            let tgid = workers.map(|fake| fake.who.key.tgid).max().unwrap_or(key.tgid) + 1;
            let who =
                Who { key: ProcessKey { tgid, start_ns: self.now_ns }, parent: Some(key.tgid), ..master.who };
            self.start(Fake { who, private: 50 * MIB, obeys: true });
        } else if let Some(oldest) = workers.map(|fake| fake.who.key).min_by_key(|key| key.start_ns) {
            self.end(oldest);
        }
    }

    /// A tenth of a second passes ten times for each of these.
    pub(super) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.tenth();
        }
    }

    /// A tenth of a second passes; the host and every process are looked at.
    pub(super) fn tenth(&mut self) {
        self.now_ns += SECOND / 10;
        let all: Vec<_> = self.processes.values().map(|fake| (fake.who.key, fake.private)).collect();
        for (key, resident) in all {
            let figures = Figures { resident: Some(resident), ..Figures::default() };
            self.feed(Input::Figures { key, figures });
        }
        let host =
            Host { total: self.total, available: self.total.saturating_sub(self.used()), ..Host::default() };
        self.feed(Input::Host(host));
    }

    /// Signals sent so far: to whom, and which.
    pub(super) fn sent(&self) -> Vec<(u32, Signal)> {
        let sent = self.said.iter().filter_map(|(_, command)| {
            if let Command::Send { key, signal, .. } = command { Some((key.tgid, *signal)) } else { None }
        });
        sent.collect()
    }
}

fn figures(fake: &Fake) -> Figures {
    Figures {
        resident: Some(fake.private),
        private: Some(fake.private),
        proportional: Some(fake.private),
        swap: Some(0),
        peak: None,
        idle: None,
        caught: None,
        as_one: None,
    }
}

/// How the cases ended, in order.
pub(super) fn endings(sim: &Sim) -> Vec<Ending> {
    let closed = sim.said.iter().filter_map(|(_, command)| {
        if let Command::Closed(closing) = command { Some(closing.ending) } else { None }
    });
    closed.collect()
}

/// All that was warned of.
pub(super) fn warnings(sim: &Sim) -> Vec<Warning> {
    let warnings = sim
        .said
        .iter()
        .filter_map(|(_, command)| if let Command::Warn(warning) = command { Some(*warning) } else { None });
    warnings.collect()
}
