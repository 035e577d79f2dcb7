//! An engine that knows a crowded host, and what its decisions take: time, and allocations.
//!
//! Every rule has something to look at: bounds of the host and of a cgroup, limits of single processes and of workers,
//! growth, pressure. All but the masters are candidates.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use memwatch::config;
use memwatch::core::fact::ProcessKey;
use memwatch::core::policy::guard::Own;
use memwatch::core::policy::{Command, Engine, Figures, Host, Input, Outbox, Outcome, Who};

use crate::counting::allocations;

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
const TOTAL: u64 = 256 << 30;
/// Children of one master, itself included.
const POOL: u32 = 50;
/// Decisions after which everything has its size.
const WARM_UP: usize = 4;

const POLICY: &str = r#"
mode = "enforce"
whole_host = true
[budget]
kills = 100000
[[scope]]
name = "host"
[[scope]]
name = "web"
cgroup = "/web"
memory = "192GiB"
[[pool]]
name = "workers"
match = { exe = "/srv/worker" }
signal = "SIGHUP"
soft = "4GiB"
total = "100GiB"
min_alive = 1
min_lifetime = "1s"
rounds = 100000
[[process_limit]]
name = "hog"
match = { exe = "/srv/worker" }
limit = "8GiB"
[pressure]
[growth]
"#;

/// How a decision comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Use lies between the bounds: the largest workers are asked to leave.
    BetweenBounds,
    /// Use has reached the upper bound: one is killed.
    AboveUpper,
}

/// What decisions took.
#[derive(Debug, Default)]
pub struct Took {
    /// Nanoseconds from a look at the host to the signal, for each.
    pub ns: Vec<u64>,
    /// Allocations meanwhile, of all.
    pub allocations: u64,
}

/// The engine with its host.
pub struct Crowded {
    engine: Engine,
    out: Outbox,
    now_ns: u64,
    next_tgid: u32,
}

impl Crowded {
    /// A host with so many processes, each looked at.
    ///
    /// # Errors
    /// The policy has a fault.
    pub fn new(processes: u32) -> anyhow::Result<Self> {
        let settings = config::parse(POLICY, Path::new("crowded.toml"))?.policy;
        let engine = Engine::new(settings, Own { tgid: 1, ancestors: Vec::new() });
        let mut crowded = Self { engine, out: Outbox::default(), now_ns: 1000 * SECOND, next_tgid: 2 };
        let keys: Vec<ProcessKey> = (0..processes).map(|_| crowded.start()).collect();
        crowded.now_ns += 100 * SECOND;
        keys.into_iter().for_each(|key| crowded.look_at(key));
        Ok(crowded)
    }

    /// One more process, a master or its next worker, with memory of its own.
    fn start(&mut self) -> ProcessKey {
        let tgid = self.next_tgid;
        self.next_tgid += 1;
        let place = (tgid - 2) % POOL;
        let who = Who {
            key: ProcessKey { tgid, start_ns: self.now_ns },
            parent: Some(if place == 0 { 1 } else { tgid - place }),
            comm: "worker".into(),
            exe: Some("/srv/worker".into()),
            args: vec!["worker".into()],
            args_cut: false,
            uid: Some(1000),
            cgroup: Some("/web/site.service".into()),
            unit: Some("site.service".into()),
            container: None,
            pod: None,
            oom_score_adj: Some(0),
            is_kernel: false,
            runs_guarded: None,
            cgroup_id: None,
            trees: Vec::new(),
        };
        let key = who.key;
        self.handle(Input::Runs(Box::new(who)));
        self.look_at(key);
        key
    }

    fn look_at(&mut self, key: ProcessKey) {
        // No order that a sort could find at once.
        let private = 8 * MIB + u64::from(key.tgid.wrapping_mul(2_654_435_761) >> 18) * 64;
        let figures = Figures {
            resident: Some(private + 4 * MIB),
            private: Some(private),
            proportional: Some(private + MIB / 16),
            swap: Some(0),
            idle: Some(false),
            caught: Some(1),
            ..Figures::default()
        };
        self.handle(Input::Figures { key, figures });
    }

    fn handle(&mut self, input: Input) {
        self.out.clear();
        self.engine.handle(self.now_ns, input, &mut self.out);
    }

    fn look(&mut self, used: u64) {
        // Figures stay fresh all the while.
        self.now_ns += SECOND / 1000;
        self.handle(Input::Host(Host { total: TOTAL, available: TOTAL - used, ..Host::default() }));
    }

    /// Has it decide so often, and gives what that took once it is warm.
    ///
    /// # Errors
    /// A look is not followed by a signal.
    pub fn decide(&mut self, used: Use, times: usize) -> anyhow::Result<Took> {
        let bytes = match used {
            Use::BetweenBounds => TOTAL / 100 * 81,
            Use::AboveUpper => TOTAL / 100 * 95,
        };
        let mut took = Took::default();
        for time in 0..WARM_UP + times {
            let (before, started) = (allocations(), Instant::now());
            self.look(bytes);
            let (ns, allocated) = (u64::try_from(started.elapsed().as_nanos())?, allocations() - before);
            if time >= WARM_UP {
                took.ns.push(ns);
                took.allocations += allocated;
            }
            self.obey().with_context(|| format!("a look at {bytes} used bytes leads to no signal"))?;
        }
        Ok(took)
    }

    /// Whoever was signalled leaves, and others start; the memory is back at the next look.
    fn obey(&mut self) -> Option<()> {
        let sent: Vec<(u64, ProcessKey)> = self
            .out
            .commands
            .iter()
            .filter_map(|command| {
                if let Command::Send { decision, key, .. } = command { Some((*decision, *key)) } else { None }
            })
            .collect();
        sent.first()?;
        for (decision, key) in &sent {
            self.handle(Input::Outcome { decision: *decision, outcome: Outcome::Sent });
            self.handle(Input::Ended(*key));
        }
        self.look(TOTAL / 2);
        sent.iter().for_each(|_| _ = self.start());
        Some(())
    }
}
