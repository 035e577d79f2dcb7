//! What was seen: the host, its pools and their workers, from inputs as policies take them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::pool::Pool;
use super::rate::Series;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Figures, Host, Input, Server, Who};

/// What bounds memory: the host, or a cgroup that has a limit.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Path of the cgroup; `None`: the host.
    pub cgroup: Option<String>,
    /// Bytes that there are.
    pub limit: u64,
    /// Bytes in use that the kernel cannot drop, over time.
    pub used: Series,
    /// Masters in it.
    masters: BTreeSet<ProcessKey>,
}

impl Bound {
    fn new(cgroup: Option<String>) -> Self {
        Self { cgroup, limit: 0, used: Series::default(), masters: BTreeSet::new() }
    }
}

/// Everything seen so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    now_ns: u64,
    from_ns: Option<u64>,
    living: HashMap<ProcessKey, Arc<Who>>,
    holders: HashMap<u32, ProcessKey>,
    pools: BTreeMap<ProcessKey, Pool>,
    /// The master of each worker.
    masters: HashMap<ProcessKey, ProcessKey>,
    /// A process whose children are workers, whatever it runs.
    named: Option<u32>,
    host: Option<Bound>,
    cgroups: Vec<Bound>,
}

impl History {
    /// Nothing seen. The children of `named` that run the same program as it are taken for a pool, although it is no known
    /// server.
    #[must_use]
    pub fn new(named: Option<u32>) -> Self {
        Self { named, ..Self::default() }
    }

    /// Takes one input.
    pub fn take(&mut self, time_ns: u64, input: &Input) {
        self.now_ns = self.now_ns.max(time_ns);
        self.from_ns.get_or_insert(time_ns);
        match input {
            Input::Runs(who) => self.runs(who),
            Input::Ended(key) => self.ended(*key),
            Input::Figures { key, figures } => self.look(*key, *figures),
            Input::Host(host) => self.host(*host),
            Input::Unreadable(_)
            | Input::Table(_)
            | Input::Sweeps(_)
            | Input::Acted(_)
            | Input::Strain { .. }
            | Input::Holding { .. }
            | Input::Queue(_)
            | Input::Outcome { .. }
            | Input::Tick => {}
        }
    }

    /// Takes a look at a cgroup that has a limit and a pool, whose master this is, in it.
    pub fn take_cgroup(&mut self, time_ns: u64, master: ProcessKey, path: &str, limit: u64, used: u64) {
        self.now_ns = self.now_ns.max(time_ns);
        let known = self.cgroups.iter().position(|bound| bound.cgroup.as_deref() == Some(path));
        let at = known.unwrap_or(self.cgroups.len());
        if known.is_none() {
            self.cgroups.push(Bound::new(Some(path.to_owned())));
        }
        if let Some(bound) = self.cgroups.get_mut(at) {
            bound.limit = limit;
            bound.used.add(time_ns, used);
            bound.masters.insert(master);
        }
    }

    /// Takes the number of connections that the pool of a master has taken so far; `None`: they cannot be told from those of
    /// others.
    pub fn take_connections(&mut self, master: ProcessKey, taken: Option<u64>) {
        if let Some(pool) = self.pools.get_mut(&master) {
            pool.take_connections(taken);
        }
    }

    /// Time of the last input.
    #[must_use]
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Time from the first input to the last.
    #[must_use]
    pub fn seen_ns(&self) -> u64 {
        self.from_ns.map_or(0, |from| self.now_ns.saturating_sub(from))
    }

    /// The pools, by their masters.
    #[must_use]
    pub const fn pools(&self) -> &BTreeMap<ProcessKey, Pool> {
        &self.pools
    }

    /// The host, once it was looked at.
    #[must_use]
    pub const fn bound_of_host(&self) -> Option<&Bound> {
        self.host.as_ref()
    }

    /// The cgroups with a limit that the pool of a master is in.
    pub fn bounds_of(&self, master: ProcessKey) -> impl Iterator<Item = &Bound> {
        self.cgroups.iter().filter(move |bound| bound.masters.contains(&master))
    }

    /// Living masters and workers of all pools.
    pub fn members(&self) -> impl Iterator<Item = ProcessKey> + '_ {
        self.pools
            .iter()
            .flat_map(|(master, pool)| std::iter::once(*master).chain(pool.workers.keys().copied()))
    }

    fn runs(&mut self, who: &Who) {
        let key = who.key;
        if let Some(before) = self.holders.insert(key.tgid, key).filter(|before| *before != key) {
            self.ended(before);
            self.holders.insert(key.tgid, key);
        }
        let who = Arc::new(who.clone());
        self.living.insert(key, Arc::clone(&who));
        let parent = who.parent.and_then(|tgid| self.holders.get(&tgid)).and_then(|key| self.living.get(key));
        let Some(parent) = parent.map(Arc::clone) else { return };
        let master = parent.key;
        let is_of_worker = self.masters.contains_key(&master);
        let server = Server::of_worker(&who, &parent);
        let is_named = self.named == Some(master.tgid) && who.program() == parent.program();
        if !is_of_worker && (server.is_some() || is_named) {
            self.pools.entry(master).or_insert_with(|| Pool::new(server, parent)).begins(key);
            self.masters.insert(key, master);
        } else if let Some(pool) = self.masters.remove(&key).and_then(|master| self.pools.get_mut(&master)) {
            // It was forked as a worker is, and then ran something else.
            pool.workers.remove(&key);
        }
    }

    fn ended(&mut self, key: ProcessKey) {
        self.living.remove(&key);
        if self.holders.get(&key.tgid) == Some(&key) {
            self.holders.remove(&key.tgid);
        }
        if let Some(pool) = self.masters.remove(&key).and_then(|master| self.pools.get_mut(&master)) {
            pool.ends(key);
        }
        self.pools.remove(&key);
    }

    fn look(&mut self, key: ProcessKey, figures: Figures) {
        let now_ns = self.now_ns;
        if let Some(pool) = self.pools.get_mut(&key) {
            pool.look_at_master(now_ns, figures);
        }
        if let Some(pool) = self.masters.get(&key).and_then(|master| self.pools.get_mut(master)) {
            pool.look(now_ns, key, figures);
        }
    }

    fn host(&mut self, host: Host) {
        let bound = self.host.get_or_insert_with(|| Bound::new(None));
        bound.limit = host.total;
        bound.used.add(self.now_ns, host.used());
        for pool in self.pools.values_mut() {
            pool.note(self.now_ns);
        }
    }
}
