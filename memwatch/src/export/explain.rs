//! The answer of `memwatch explain`: what the daemon sends over its socket, and what a person reads.
//!
//! One JSON object; docs/decisions.md tells the keys. What is not known is left out.

mod table;
mod words;

use serde::{Deserialize, Serialize};

use super::schema::VERSION;
use crate::core::policy::Reach;
use crate::core::policy::Who;
use crate::core::policy::explain::{
    Demand, Explanation, PoolState, QueueState, Ranked, Refused, ScopeState, Spending, Step, UnderWay,
};
use crate::core::policy::{Figures, Host, Queue};

pub use table::text;
pub(super) use words::standing;

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    schema_version: u64,
    /// When, on the boot clock.
    boot_ns: u64,
    mode: String,
    /// Processes known.
    processes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostPart>,
    budget: BudgetPart,
    under_way: Vec<CasePart>,
    scopes: Vec<ScopePart>,
    pools: Vec<PoolPart>,
    refused: Vec<RefusedPart>,
    /// What the socket has seen since the daemon started.
    pub peers: Peers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HostPart {
    total_bytes: u64,
    available_bytes: u64,
    swap_total_bytes: u64,
    swap_free_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_pressure_basis_points: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BudgetPart {
    kills: u32,
    of: u32,
    window_ns: u64,
    /// How long nobody is killed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_for_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CasePart {
    decision: u64,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    reason: String,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<String>,
    signal: String,
    /// `hook`, `asked`, `killed`, `told` or `ended`.
    step: String,
    due_in_ns: u64,
    holds_kills: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ScopePart {
    name: String,
    reach: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_bytes: Option<u64>,
    /// `nothing`, `recycle` or `kill`.
    demand: String,
    /// `recycle`: how many should be on their way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for_decision: Option<u64>,
    ranked: usize,
    candidates: Vec<CandidatePart>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ProcessPart {
    pid: u32,
    start_ns: u64,
    comm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CandidatePart {
    place: usize,
    #[serde(flatten)]
    process: ProcessPart,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proportional_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<bool>,
    age_ns: u64,
    /// `eligible`, `young`, `deaf`, `handled` or `needed`.
    standing: String,
    /// Whether it would go now.
    goes: bool,
    /// What stands in its way, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PoolPart {
    name: String,
    master: u32,
    workers: usize,
    leaving: usize,
    memory_bytes: u64,
    peak_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    growth_bytes_per_s: Option<i64>,
    min_alive: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soft_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<QueuePart>,
}

/// What waits at the pool's sockets, and what its size has to do with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct QueuePart {
    sockets: u32,
    unix_sockets: u32,
    per_worker: bool,
    waiting: u64,
    most_at_one: u64,
    bound: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_overflows: Option<u64>,
    age_ns: u64,
    idle: u32,
    busy: u32,
    /// The longest that a worker has been seen waiting for a client, and busy, at each glance.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_idle_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_busy_ns: Option<u64>,
    first_workers: u32,
    /// Workers that would have gone, where nothing was done.
    spared_workers: i32,
    mean_saved_bytes: u64,
    /// Why its size does not change, in words; absent: it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_stays: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_workers: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RefusedPart {
    #[serde(flatten)]
    process: ProcessPart,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    /// `guarded`, `out_of_scope`, `master` or `no_worker`.
    kind: String,
    why: String,
}

/// What became of those who connected to the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Answered.
    pub answered: u64,
    /// Neither root nor the daemon's own user.
    pub refused: u64,
    /// What they sent is no question.
    pub garbled: u64,
    /// They did not send a whole question, or did not read the answer, in time.
    pub slow: u64,
    /// Too many at a time.
    pub turned_away: u64,
}

impl Peers {
    /// Those that got no answer.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.refused + self.garbled + self.slow + self.turned_away
    }
}

impl Answer {
    /// In the words of the outside.
    #[must_use]
    pub fn new(explanation: &Explanation, peers: Peers) -> Self {
        let now_ns = explanation.time_ns;
        Self {
            schema_version: VERSION,
            boot_ns: now_ns,
            mode: explanation.mode.name().to_owned(),
            processes: explanation.processes,
            host: explanation.host.as_ref().map(host),
            budget: budget(&explanation.budget, now_ns),
            under_way: explanation.under_way.iter().map(|case| under_way(case, now_ns)).collect(),
            scopes: explanation.scopes.iter().map(|scope| self::scope(scope, now_ns)).collect(),
            pools: explanation.pools.iter().map(|state| pool(state, now_ns)).collect(),
            refused: explanation.refused.iter().map(|process| refused(process, now_ns)).collect(),
            peers,
        }
    }

    /// Whether it tells of any process or pool that was asked about.
    #[must_use]
    pub const fn is_about_nobody(&self) -> bool {
        self.scopes.is_empty() && self.pools.is_empty() && self.refused.is_empty()
    }
}

const fn host(host: &Host) -> HostPart {
    HostPart {
        total_bytes: host.total,
        available_bytes: host.available,
        swap_total_bytes: host.swap_total,
        swap_free_bytes: host.swap_free,
        full_pressure_basis_points: host.full_pressure,
    }
}

fn budget(spending: &Spending, now_ns: u64) -> BudgetPart {
    BudgetPart {
        kills: spending.kills,
        of: spending.of,
        window_ns: spending.window_ns,
        closed_for_ns: spending.closed_until_ns.map(|until| until.saturating_sub(now_ns)),
    }
}

fn under_way(case: &UnderWay, now_ns: u64) -> CasePart {
    let step = match case.step {
        Step::Hook => "hook",
        Step::Asked => "asked",
        Step::Killed => "killed",
        Step::Told => "told",
        Step::Ended => "ended",
    };
    CasePart {
        decision: case.decision,
        rule: case.rule.to_owned(),
        entry: case.entry.clone(),
        reason: super::decision::reason(&case.cause),
        pid: case.key.tgid,
        comm: case.who.as_ref().map(|who| who.comm.clone()),
        signal: case.means.clone(),
        step: step.to_owned(),
        due_in_ns: case.due_ns.saturating_sub(now_ns),
        holds_kills: case.holds_kills,
    }
}

fn scope(scope: &ScopeState, now_ns: u64) -> ScopePart {
    let (demand, wanted) = match scope.demand {
        Demand::Nothing => ("nothing", None),
        Demand::Recycle(count) => ("recycle", Some(count)),
        Demand::Kill => ("kill", None),
    };
    ScopePart {
        name: scope.name.clone(),
        reach: match &scope.reach {
            Reach::Host => "the whole host".to_owned(),
            Reach::Cgroup(path) => format!("cgroup {path}"),
            Reach::Tree(root) => format!("the tree of process {root}"),
        },
        used_bytes: scope.used,
        memory_bytes: scope.memory,
        lower_bytes: scope.lower,
        upper_bytes: scope.upper,
        demand: demand.to_owned(),
        wanted,
        waits_for_decision: scope.waits_for,
        ranked: scope.ranked,
        candidates: scope.candidates.iter().map(|candidate| self::candidate(candidate, now_ns)).collect(),
    }
}

fn process(who: &Who) -> ProcessPart {
    ProcessPart {
        pid: who.key.tgid,
        start_ns: who.key.start_ns,
        comm: who.comm.clone(),
        executable: who.exe.clone(),
        cgroup: who.cgroup.clone(),
        unit: who.unit.clone(),
        container: who.container.clone(),
        pod: who.pod.clone(),
    }
}

fn candidate(candidate: &Ranked, now_ns: u64) -> CandidatePart {
    let Figures { resident, private, proportional, swap, idle, .. } = candidate.figures;
    CandidatePart {
        place: candidate.place,
        process: process(&candidate.who),
        pool: candidate.pool.clone(),
        private_bytes: private,
        proportional_bytes: proportional,
        resident_bytes: resident,
        swap_bytes: swap,
        idle,
        age_ns: now_ns.saturating_sub(candidate.who.key.start_ns),
        standing: words::standing(candidate.standing).to_owned(),
        goes: candidate.goes,
        why: candidate.obstacle.as_ref().map(|obstacle| words::why(obstacle, now_ns)),
    }
}

fn pool(pool: &PoolState, now_ns: u64) -> PoolPart {
    PoolPart {
        name: pool.name.clone(),
        master: pool.master,
        workers: pool.workers,
        leaving: pool.leaving,
        memory_bytes: pool.memory,
        peak_bytes: pool.peak,
        growth_bytes_per_s: pool.growth,
        min_alive: pool.min_alive,
        signal: pool.signal.map(|signal| signal.to_string()),
        soft_bytes: pool.soft,
        hard_bytes: pool.hard,
        total_bytes: pool.total,
        queue: pool.queue.as_ref().map(|state| queue(state, now_ns)),
    }
}

fn queue(state: &QueueState, now_ns: u64) -> QueuePart {
    let Queue { sockets, unix, is_per_worker, waiting, most, bound, dropped, overflows, .. } = state.queue;
    QueuePart {
        sockets,
        unix_sockets: unix,
        per_worker: is_per_worker,
        waiting,
        most_at_one: most,
        bound,
        dropped,
        namespace_overflows: overflows,
        age_ns: now_ns.saturating_sub(state.time_ns),
        idle: state.idle,
        busy: state.busy,
        longest_idle_ns: state.longest_idle_ns,
        longest_busy_ns: state.longest_busy_ns,
        first_workers: state.first,
        spared_workers: state.spared,
        mean_saved_bytes: state.mean_saved,
        size_stays: state.stays.map(|why| words::stays(why, now_ns)),
        max_workers: state.max_workers,
    }
}

fn refused(refused: &Refused, now_ns: u64) -> RefusedPart {
    RefusedPart {
        process: process(&refused.who),
        resident_bytes: refused.resident,
        kind: words::kind(&refused.obstacle).to_owned(),
        why: words::why(&refused.obstacle, now_ns),
    }
}
