//! Writes the inputs of a host that nobody looks after.

use std::collections::BTreeMap;

use memwatch::core::fact::ProcessKey;
use memwatch::core::policy::{Figures, Host, Input, Table, TableState, Who};
use memwatch::replay::Recorded;

pub(super) const SECOND: u64 = 1_000_000_000;

/// A host whose processes grow, and what was seen of it.
pub(super) struct Recording {
    pub(super) inputs: Vec<Recorded>,
    pub(super) total: u64,
    now_ns: u64,
    other: u64,
    living: BTreeMap<u32, (Who, u64, u64)>,
    highest: u64,
}

impl Recording {
    pub(super) fn new(total: u64, other: u64) -> Self {
        Self { inputs: Vec::new(), total, now_ns: 100 * SECOND, other, living: BTreeMap::new(), highest: 0 }
    }

    fn say(&mut self, input: Input) {
        self.inputs.push(Recorded { time_ns: self.now_ns, input });
    }

    /// A process starts. `shared` bytes of what it holds are its parent's too.
    pub(super) fn start(
        &mut self,
        tgid: u32,
        parent: u32,
        exe: &str,
        args: &[&str],
        cgroup: &str,
        private: u64,
        shared: u64,
    ) {
        let who = Who {
            key: ProcessKey { tgid, start_ns: self.now_ns + u64::from(tgid) },
            parent: Some(parent),
            comm: exe.rsplit('/').next().unwrap_or_default().chars().take(15).collect(),
            exe: Some(exe.to_owned()),
            args: args.iter().map(|argument| (*argument).to_owned()).collect(),
            args_cut: false,
            uid: Some(1000),
            cgroup: Some(cgroup.to_owned()),
            unit: cgroup.rsplit('/').next().filter(|name| name.ends_with(".service")).map(str::to_owned),
            container: None,
            pod: None,
            oom_score_adj: Some(0),
            is_kernel: false,
            trees: Vec::new(),
            runs_guarded: None,
            cgroup_id: None,
        };
        self.say(Input::Runs(Box::new(who.clone())));
        self.living.insert(tgid, (who, private, shared));
        self.look_at(tgid);
    }

    pub(super) fn end(&mut self, tgid: u32) {
        if let Some((who, ..)) = self.living.remove(&tgid) {
            self.say(Input::Ended(who.key));
        }
    }

    pub(super) fn key(&self, tgid: u32) -> ProcessKey {
        self.living[&tgid].0.key
    }

    pub(super) fn grow(&mut self, tgid: u32, bytes: u64) {
        if let Some((_, private, _)) = self.living.get_mut(&tgid) {
            *private += bytes;
        }
    }

    pub(super) fn grow_other(&mut self, bytes: u64) {
        self.other += bytes;
    }

    pub(super) fn table(&mut self, tgid: u32, bytes: u64, touched: u64) {
        let table = Table {
            key: self.key(tgid),
            limit: 1_073_741_816,
            bytes,
            touched,
            state: if touched > 0 { TableState::Touched } else { TableState::Mapped },
            confidence: 2,
        };
        self.say(Input::Table(table));
    }

    fn look_at(&mut self, tgid: u32) {
        let Some((who, private, shared)) = self.living.get(&tgid) else { return };
        let figures = Figures {
            resident: Some(private + shared),
            private: Some(*private),
            proportional: Some(private + shared / 4),
            swap: Some(0),
            idle: Some(false),
            caught: None,
            as_one: None,
            peak: None,
        };
        let key = who.key;
        self.say(Input::Figures { key, figures });
    }

    fn used(&self) -> u64 {
        let used = self.other + self.living.values().map(|(_, private, _)| private).sum::<u64>();
        used.min(self.total)
    }

    /// Time passes; everything is looked at.
    pub(super) fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        let all: Vec<u32> = self.living.keys().copied().collect();
        for tgid in all {
            self.look_at(tgid);
        }
        let used = self.used();
        self.highest = self.highest.max(used);
        let host = Host { total: self.total, available: self.total - used, ..Host::default() };
        self.say(Input::Host(host));
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }
}
