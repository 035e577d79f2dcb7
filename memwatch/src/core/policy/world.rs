//! What the engine knows: the host, its processes, their pools.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::audited::Cgroups;
use super::course::Courses;
use super::guard::{self, Guard, Own};
use super::input::{Figures, Holding, Host, Strain, Table};
use super::queue::{Known, Queue};
use super::server::Server;
use super::settings::{Measure, Pool, ProcessLimit, Reach, Scope, Settings};
use super::who::Who;
use crate::core::fact::ProcessKey;

/// Processes for which room is made at the start. Making it takes time, and tests do so tens of thousands of times.
pub(super) const ROOM: usize = if cfg!(test) { 64 } else { 16_384 };
/// Age of figures from which on they are taken anew; growth of RSS since is added to them meanwhile.
const STALE_NS: u64 = 5_000_000_000;

/// By process or pool. Ids are the kernel's choice, so that no hash that withstands an adversary is needed: the engine
/// looks everybody up several times for a decision.
pub(super) type ById<Key, Value> = HashMap<Key, Value, FixedState>;

/// A pool as it runs: one entry of the settings (or a server found by itself) below one master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolId {
    /// Number in the settings; `None`: found by itself.
    pub(super) entry: Option<usize>,
    /// Process id of the master.
    pub(super) master: u32,
}

/// A glance at what a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Glance {
    is_idle: bool,
    /// When it was.
    time_ns: u64,
    /// Since when each glance has been the same.
    since_ns: u64,
}

/// What the kernel side was told to do about a process by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// It keeps a limit.
    pub(super) has_limit: bool,
    /// It follows this fd-table rule, by number in the settings.
    pub(super) rule: Option<usize>,
    /// The last one that it followed: a child that was forked then may be heard of later.
    pub(super) last_rule: Option<usize>,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) who: Arc<Who>,
    pub(super) guard: Option<Guard>,
    /// Bit per scope of the settings.
    pub(super) scopes: u64,
    pub(super) pool: Option<PoolId>,
    /// Number in the settings of the limit that concerns it.
    limit: Option<usize>,
    pub(super) orders: Orders,
    pub(super) table: Option<Table>,
    /// Resident bytes now.
    pub(super) resident: Option<u64>,
    /// The most of them that was seen, or that the kernel has told.
    pub(super) highest: u64,
    /// The last full look, and when it was.
    full: Option<(u64, Figures)>,
    /// Whether it waited for a client at the last glance.
    glance: Option<Glance>,
    /// A look was asked for at this time and has not been answered.
    pub(super) asked_ns: Option<u64>,
    /// Whether the last look failed.
    pub(super) is_unreadable: bool,
    /// Nothing is proposed about it before this time: it was observed or refused.
    pub(super) rests_until_ns: u64,
}

impl Member {
    /// Its figures now: those of the last full look, moved by what RSS did since.
    pub(super) fn figures(&self) -> Figures {
        let Some((_, figures)) = self.full else {
            return Figures { resident: self.resident, idle: self.idle(), ..Figures::default() };
        };
        Figures { idle: self.idle(), ..figures.moved(self.resident) }
    }

    fn idle(&self) -> Option<bool> {
        self.glance.map(|glance| glance.is_idle)
    }

    /// Whether it waited for a client at a glance that is no older than this.
    pub(super) fn has_waited(&self, now_ns: u64, at_most_ns: u64) -> bool {
        self.glance
            .is_some_and(|glance| glance.is_idle && now_ns.saturating_sub(glance.time_ns) <= at_most_ns)
    }

    /// Whether it waits for a client, and for how long each glance has said the same.
    pub(super) fn spell(&self, now_ns: u64) -> Option<(bool, u64)> {
        self.glance.map(|glance| (glance.is_idle, now_ns.saturating_sub(glance.since_ns)))
    }

    fn seen(&mut self, now_ns: u64, is_idle: bool) {
        let since_ns =
            self.glance.filter(|last| last.is_idle == is_idle).map_or(now_ns, |last| last.since_ns);
        self.glance = Some(Glance { is_idle, time_ns: now_ns, since_ns });
    }

    /// Bytes by which candidates are ranked: private ones, or the best that is known.
    pub(super) fn weight(&self) -> u64 {
        let figures = self.figures();
        figures.private.or(figures.proportional).or(figures.resident).unwrap_or(0)
    }

    /// Bytes that it adds to its scope. Shared pages must not count twice: without a full look it counts nothing.
    fn share(&self) -> u64 {
        let figures = self.figures();
        figures.proportional.or(figures.private).unwrap_or(0)
    }

    pub(super) fn measured(&self, measure: Measure) -> Option<u64> {
        let figures = self.figures();
        match measure {
            Measure::Resident => figures.resident,
            Measure::Private => figures.private,
            Measure::Proportional => figures.proportional,
        }
    }

    /// The same, or what is resident where that is all that is known.
    pub(super) fn held(&self, measure: Measure) -> Option<u64> {
        self.measured(measure).or(self.resident)
    }

    /// The limit that concerns it, and its number in the settings.
    pub(super) fn limit<'a>(&self, settings: &'a Settings) -> Option<(usize, &'a ProcessLimit)> {
        let entry = self.limit?;
        settings.process_limits.get(entry).map(|limit| (entry, limit))
    }

    /// Whether a full look is due.
    pub(super) fn is_stale(&self, now_ns: u64) -> bool {
        self.full.is_none_or(|(time_ns, _)| now_ns.saturating_sub(time_ns) > STALE_NS)
    }

    /// Whether it may be acted on at all: it is in a scope, and nothing guards it.
    pub(super) const fn is_free(&self) -> bool {
        self.scopes != 0 && self.guard.is_none()
    }
}

/// Everything known.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) host: Option<Host>,
    /// Signs of thrash, of the host and of cgroups, with the time of the look.
    strains: Vec<(Reach, u64, Strain)>,
    /// What cgroups truly hold.
    pub(super) cgroups: Cgroups,
    /// Time of the last input.
    pub(super) now_ns: u64,
    own: Own,
    /// Side by side: going through all of them, several times for a look, takes time by their number and not by the room.
    members: IndexMap<ProcessKey, Member, FixedState>,
    /// Who holds a process id now.
    holders: ById<u32, ProcessKey>,
    /// Roots of trees, once they were seen, by id. A later process of the same id is another one, also for later settings.
    roots: BTreeMap<u32, ProcessKey>,
    /// Queues of pools, by the id of their master.
    queues: ById<u32, Known>,
    /// How the memory of pools has changed.
    courses: Courses,
}

impl World {
    pub(super) fn new(own: Own) -> Self {
        Self {
            host: None,
            strains: Vec::new(),
            cgroups: Cgroups::default(),
            now_ns: 0,
            own,
            members: IndexMap::with_capacity_and_hasher(ROOM, FixedState::default()),
            holders: ById::with_capacity_and_hasher(ROOM, FixedState::default()),
            roots: BTreeMap::new(),
            queues: ById::default(),
            courses: Courses::default(),
        }
    }

    pub(super) fn get(&self, key: ProcessKey) -> Option<&Member> {
        self.members.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Member> {
        self.members.get_mut(&key)
    }

    /// Who holds a process id now.
    pub(super) fn holder(&self, tgid: u32) -> Option<&Member> {
        self.members.get(self.holders.get(&tgid)?)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (ProcessKey, &Member)> {
        self.members.iter().map(|(key, member)| (*key, member))
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// A process runs, or runs something else now. Gives the process that held its id before, if its end was missed.
    pub(super) fn runs(&mut self, mut who: Who, settings: &Settings) -> Option<ProcessKey> {
        let key = who.key;
        if settings.audit.is_some() {
            self.cgroups.met(self.now_ns, &who);
        }
        let before = self.holders.insert(key.tgid, key).filter(|earlier| *earlier != key);
        if let Some(earlier) = before {
            self.members.swap_remove(&earlier);
        }
        let parent = who.parent.and_then(|tgid| self.holder(tgid));
        let inherited = self.members.get(&key).or(parent).map_or(0, |known| known.scopes);
        let parent_who = parent.map(|parent| Arc::clone(&parent.who));
        let is_of_worker = parent.is_some_and(|parent| parent.pool.is_some());
        // A fork hands the mark of a rule down, and no limit.
        let rule = parent.and_then(|parent| parent.orders.last_rule);
        if let Some(known) = self.members.get(&key) {
            let known = known.who.trees.iter().filter(|tree| !who.trees.contains(tree)).copied();
            let known: Vec<u32> = known.collect();
            who.trees.extend(known);
        }
        let scopes = self.scopes_of(&mut who, inherited, settings);
        let guard = guard::of(&who, parent_who.as_deref(), &self.own, &settings.protect);
        let pool = if is_of_worker { None } else { pool_of(&who, parent_who.as_deref(), settings) };
        let limit = settings
            .process_limits
            .iter()
            .position(|limit| limit.matching.matches(&who, parent_who.as_deref()));
        let who = Arc::new(who);
        match self.members.get_mut(&key) {
            Some(known) => {
                (known.who, known.guard, known.scopes, known.pool) = (who, guard, scopes, pool);
                known.limit = limit;
            }
            None => {
                let member = Member {
                    who,
                    guard,
                    scopes,
                    pool,
                    limit,
                    orders: Orders { has_limit: false, rule, last_rule: rule },
                    table: None,
                    resident: None,
                    highest: 0,
                    full: None,
                    glance: None,
                    asked_ns: None,
                    is_unreadable: false,
                    rests_until_ns: 0,
                };
                self.members.insert(key, member);
            }
        }
        before
    }

    /// The scopes of a process. What trees it is of is kept with it: a later look may find its parents gone.
    fn scopes_of(&mut self, who: &mut Who, inherited: u64, settings: &Settings) -> u64 {
        let mut scopes = 0;
        for (index, scope) in settings.scopes.iter().enumerate() {
            let is_in = match &scope.reach {
                Reach::Host => true,
                Reach::Cgroup(path) => who.is_below(path),
                Reach::Tree(tgid) => {
                    let is_in = (who.key.tgid == *tgid
                        && *self.roots.entry(*tgid).or_insert(who.key) == who.key)
                        || inherited & bit(index) != 0
                        || who.trees.contains(tgid);
                    if is_in && !who.trees.contains(tgid) {
                        who.trees.push(*tgid);
                    }
                    is_in
                }
            };
            if is_in {
                scopes |= bit(index);
            }
        }
        scopes
    }

    pub(super) fn ended(&mut self, key: ProcessKey) -> Option<Member> {
        if self.holders.get(&key.tgid) == Some(&key) {
            self.holders.remove(&key.tgid);
            self.queues.remove(&key.tgid);
            self.courses.forget(key.tgid);
        }
        self.members.swap_remove(&key)
    }

    pub(super) fn figures(&mut self, key: ProcessKey, now_ns: u64, figures: Figures) {
        let Some(member) = self.members.get_mut(&key) else { return };
        member.resident = figures.resident.or(member.resident);
        let seen = figures.resident.max(figures.peak).unwrap_or(0);
        member.highest = member.highest.max(seen);
        if let Some(is_idle) = figures.idle {
            member.seen(now_ns, is_idle);
        }
        if figures.private.is_some() || figures.proportional.is_some() {
            let resident = member.resident.or(Some(0));
            member.full = Some((now_ns, Figures { resident, ..figures }));
            member.asked_ns = None;
            member.is_unreadable = false;
        }
    }

    /// The sockets of a pool were looked at. One whose master is another by now is of no interest.
    pub(super) fn queued(&mut self, now_ns: u64, queue: Queue) {
        let tgid = queue.master.tgid;
        if self.holders.get(&tgid) != Some(&queue.master) {
            return;
        }
        let (mut workers, mut bytes) = (0_u32, 0_u64);
        for member in self.members.values().filter(|m| m.pool.is_some_and(|pool| pool.master == tgid)) {
            workers += 1;
            bytes += member.weight();
        }
        let mean = bytes.checked_div(u64::from(workers)).unwrap_or(0);
        match self.queues.get_mut(&tgid) {
            Some(known) => known.read(now_ns, queue, workers, mean),
            None => {
                self.queues.insert(tgid, Known::new(now_ns, queue, workers));
            }
        }
    }

    /// Takes a sample of what each pool holds, where it is time for one.
    pub(super) fn sample(&mut self) {
        if self.courses.are_due(self.now_ns) {
            let workers = self.members.values().filter_map(|member| Some((member.pool?, member.resident?)));
            self.courses.take(self.now_ns, workers);
        }
    }

    /// Bytes a second by which the workers of a pool have grown over the last minute, or shrunk.
    pub(super) fn growth(&self, pool: PoolId) -> Option<i64> {
        self.courses.growth(pool)
    }

    /// What is known of a pool's queue.
    pub(super) fn queue(&self, pool: PoolId) -> Option<&Known> {
        self.queues.get(&pool.master)
    }

    pub(super) fn queue_mut(&mut self, pool: PoolId) -> Option<&mut Known> {
        self.queues.get_mut(&pool.master)
    }

    /// New settings: every process is looked at with them, and nothing is ordered yet.
    pub(super) fn reconsider(&mut self, settings: &Settings) {
        let mut all: Vec<Arc<Who>> = self.members.values().map(|member| Arc::clone(&member.who)).collect();
        // Parents before children.
        all.sort_by_key(|who| (who.key.start_ns, who.key.tgid));
        for member in self.members.values_mut() {
            (member.scopes, member.pool, member.rests_until_ns) = (0, None, 0);
            (member.limit, member.orders) = (None, Orders::default());
        }
        self.strains.retain(|(reach, ..)| settings.scopes.iter().any(|scope| scope.reach == *reach));
        if settings.audit.is_none() {
            self.cgroups.forget();
        }
        // Entries may have other numbers.
        self.courses = Courses::default();
        for who in all {
            if let Some(parent) = who.parent.and_then(|tgid| self.holder(tgid)).map(|parent| parent.scopes)
                && let Some(member) = self.members.get_mut(&who.key)
            {
                member.scopes = parent;
            }
            self.runs(Arc::unwrap_or_clone(who), settings);
        }
    }

    /// A cgroup or the host was looked at. One that is no scope is of no interest.
    pub(super) fn strained(
        &mut self,
        now_ns: u64,
        cgroup: Option<String>,
        strain: Strain,
        settings: &Settings,
    ) {
        let reach = cgroup.map_or(Reach::Host, Reach::Cgroup);
        match self.strains.iter_mut().find(|(known, ..)| *known == reach) {
            Some((_, time_ns, known)) => (*time_ns, *known) = (now_ns, strain),
            None if settings.scopes.iter().any(|scope| scope.reach == reach) => {
                self.strains.push((reach, now_ns, strain));
            }
            None => {}
        }
    }

    /// The last look at what a scope reaches, and when it was.
    pub(super) fn strain(&self, reach: &Reach) -> Option<(u64, Strain)> {
        self.strains.iter().find(|(known, ..)| known == reach).map(|(_, time_ns, strain)| (*time_ns, *strain))
    }

    /// Bytes in use in a scope, and its memory. `None` while nothing is known of the host.
    pub(super) fn used(&self, scope: usize, settings: &Settings) -> Option<(u64, u64)> {
        let host = self.host?;
        let scope_settings = settings.scopes.get(scope)?;
        let (used, limit) = match &scope_settings.reach {
            Reach::Host => (host.used(), None),
            Reach::Cgroup(path) => {
                let shares = self.used_by(scope);
                let held = self.cgroups.used(self.now_ns, path, shares).filter(|_| scope_settings.true_use);
                held.unwrap_or((shares, None))
            }
            Reach::Tree(_) => (self.used_by(scope), None),
        };
        Some((used, scope_settings.memory.or(limit).unwrap_or(host.total)))
    }

    /// Whether the use of a scope takes in what the last one who had to go has given back.
    pub(super) fn is_current(&self, scope: usize, settings: &Settings) -> bool {
        settings.scopes.get(scope).is_none_or(|scope| match &scope.reach {
            Reach::Cgroup(path) => !scope.true_use || self.cgroups.is_current(path),
            Reach::Host | Reach::Tree(_) => true,
        })
    }

    /// What a cgroup truly holds was read.
    pub(super) fn held(&mut self, cgroup: &str, holding: Option<Holding>, settings: &Settings) {
        let is_it = |scope: &Scope| scope.reach == Reach::Cgroup(cgroup.to_owned());
        let shares = settings.scopes.iter().position(is_it).map_or(0, |scope| self.used_by(scope));
        self.cgroups.read(self.now_ns, cgroup, holding, shares);
    }

    /// Bytes that the processes in a scope use.
    pub(super) fn used_by(&self, scope: usize) -> u64 {
        self.members_of(scope).map(|(_, member)| member.share()).sum()
    }

    /// Bytes resident in a scope, shared pages counted in each process: never less than what is in use.
    pub(super) fn resident(&self, scope: usize) -> u64 {
        self.members_of(scope).filter_map(|(_, member)| member.resident).sum()
    }

    /// Processes in a scope.
    pub(super) fn members_of(&self, scope: usize) -> impl Iterator<Item = (ProcessKey, &Member)> {
        self.members().filter(move |(_, member)| member.scopes & bit(scope) != 0)
    }

    /// What is kept beyond processes: their ids, queues of pools, cgroups, what was seen of scopes, and roots of trees.
    #[cfg(test)]
    pub(super) fn kept(&self) -> [usize; 5] {
        [
            self.holders.len(),
            self.queues.len(),
            self.cgroups.each().count(),
            self.strains.len(),
            self.roots.len(),
        ]
    }

    /// Workers of a pool.
    pub(super) fn workers(&self, pool: PoolId) -> impl Iterator<Item = (ProcessKey, &Member)> {
        self.members().filter(move |(_, member)| member.pool == Some(pool))
    }
}

/// The bit of a scope in [`Member::scopes`]; scopes beyond the 64th are refused by the configuration.
pub(super) const fn bit(scope: usize) -> u64 {
    1 << (scope & 63)
}

/// The pool that a process is a worker of: its parent, the master, matches as well, or the entry names the parent.
fn pool_of(who: &Who, parent: Option<&Who>, settings: &Settings) -> Option<PoolId> {
    let parent = parent?;
    let server = Server::of(parent);
    if server.is_some_and(|server| server.is_never) {
        return None;
    }
    for (entry, pool) in settings.pools.iter().enumerate() {
        if pool.matching.matches(who, Some(parent))
            && (!pool.matching.parent_exe.is_empty() || pool.matching.matches(parent, None))
        {
            return Some(PoolId { entry: Some(entry), master: parent.key.tgid });
        }
    }
    settings.found_pools.as_ref()?;
    let is_worker = Server::of_worker(who, parent).is_some_and(|server| server.found_signal().is_some());
    is_worker.then_some(PoolId { entry: None, master: parent.key.tgid })
}

/// The settings of a running pool.
pub(super) fn pool_settings(settings: &Settings, pool: PoolId) -> Option<&Pool> {
    match pool.entry {
        Some(entry) => settings.pools.get(entry),
        None => settings.found_pools.as_ref(),
    }
}
