//! A checked configuration: every unit resolved, every name compiled. `config.rs` makes it from what was written.

use super::command::Signal;
use super::who::Who;
use crate::core::pattern::Pattern;

/// Everything the engine is told by its operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether commands are carried out.
    pub mode: Mode,
    /// Parts of the host whose memory is bounded.
    pub scopes: Vec<Scope>,
    /// Pools of workers, the first that matches a process wins.
    pub pools: Vec<Pool>,
    /// Settings of pools that are found by themselves: a known prefork server's master and its children. `None`: none are looked for.
    pub found_pools: Option<Pool>,
    /// Limits that the kernel side keeps by itself.
    pub process_limits: Vec<ProcessLimit>,
    /// What to do about fd tables, the first rule that matches wins.
    pub fd_tables: Vec<FdTableRule>,
    /// Pressure.
    pub pressure: Option<Pressure>,
    /// What to tell about thrash.
    pub thrash: Option<Thrash>,
    /// What cgroups truly hold.
    pub audit: Option<Audit>,
    /// Growth.
    pub growth: Option<Growth>,
    /// Processes that are never touched, beyond those that are guarded by nature.
    pub protect: Protect,
    /// How many kills in what time.
    pub budget: Budget,
    /// How long the next kill waits for the memory of the last one.
    pub returned_within_ns: u64,
    /// Whether a kill takes the victim's whole cgroup where `memory.oom.group` says so.
    pub oom_group: bool,
}

/// Whether commands are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What would be done is told.
    Observe,
    /// It is done.
    Enforce,
}

impl Mode {
    /// Its name in the configuration and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// A quantity of memory: absolute, or a share of the scope's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of a percent of the scope's memory.
    Share(u32),
}

impl Amount {
    /// In bytes, of a whole.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => (whole as u128 * share as u128 / 10_000) as u64,
        }
    }
}

/// What a scope reaches over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole host; use is what `MemAvailable` leaves.
    Host,
    /// A cgroup and those below it; use is the sum of its processes' shares (PSS).
    Cgroup(String),
    /// A process and its descendants, those of today and those to come; use as of a cgroup.
    Tree(u32),
}

/// A part of the host with a memory budget.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its name in reports.
    pub name: String,
    /// What it reaches over.
    pub reach: Reach,
    /// Its memory in bytes; `None`: all of the host's, or with `true_use` the cgroup's limit where it has one.
    pub memory: Option<u64>,
    /// Whether its use is what its cgroup truly holds, instead of the sum of its processes' shares.
    pub true_use: bool,
    /// When to recycle and when to kill.
    pub bounds: Option<Bounds>,
    /// Whether every process in it is a candidate, not only the workers of pools.
    pub any_process: bool,
}

/// The respawn algorithm's bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Use from which workers are recycled.
    pub lower: Amount,
    /// Use from which they are killed.
    pub upper: Amount,
    /// Between the bounds `ceil(n x ((use - lower) / (upper - lower)) ^ exponent)` workers are recycled.
    pub exponent: f64,
    /// Instead of the exponent, when not empty: how many from which use on, in rising order.
    pub steps: Vec<Step>,
}

/// One line of the table of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Use from which it holds.
    pub at: Amount,
    /// Workers to recycle.
    pub count: u32,
}

/// Which processes. Every list that is not empty must have a pattern that matches.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Path of the executable, or its file name.
    pub exe: Vec<Pattern>,
    /// An argument, the program's own name included.
    pub args: Vec<Pattern>,
    /// The process's name. Anybody may choose one.
    pub comm: Vec<Pattern>,
    /// Executable of the parent.
    pub parent_exe: Vec<Pattern>,
    /// Cgroups: these and those below.
    pub cgroup: Vec<String>,
    /// systemd unit.
    pub unit: Vec<Pattern>,
    /// Container id.
    pub container: Vec<Pattern>,
    /// Real user ids.
    pub uid: Vec<u32>,
}

impl Match {
    /// Whether nothing is asked for, which matches every process.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.exe.is_empty()
            && self.args.is_empty()
            && self.comm.is_empty()
            && self.parent_exe.is_empty()
            && self.cgroup.is_empty()
            && self.unit.is_empty()
            && self.container.is_empty()
            && self.uid.is_empty()
    }

    /// Whether a process matches; what is unknown of it matches nothing.
    #[must_use]
    pub fn matches(&self, who: &Who, parent: Option<&Who>) -> bool {
        any(&self.exe, |pattern| is_program(pattern, Some(who)))
            && any(&self.args, |pattern| who.args.iter().any(|argument| pattern.matches(argument.as_bytes())))
            && any(&self.comm, |pattern| pattern.matches(who.comm.as_bytes()))
            && any(&self.parent_exe, |pattern| is_program(pattern, parent))
            && any(&self.cgroup, |cgroup| who.is_below(cgroup))
            && any(&self.unit, |pattern| text_matches(pattern, who.unit.as_deref()))
            && any(&self.container, |pattern| text_matches(pattern, who.container.as_deref()))
            && any(&self.uid, |uid| who.uid == Some(*uid))
    }
}

fn any<T>(asked: &[T], holds: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(holds)
}

fn is_program(pattern: &Pattern, who: Option<&Who>) -> bool {
    who.is_some_and(|who| text_matches(pattern, who.exe.as_deref()) || text_matches(pattern, who.program()))
}

fn text_matches(pattern: &Pattern, text: Option<&str>) -> bool {
    text.is_some_and(|text| pattern.matches(text.as_bytes()))
}

/// What of a worker's memory is held against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// RSS: shared pages in full.
    Resident,
    /// USS: pages of this process only.
    Private,
    /// PSS: shared pages by their share.
    Proportional,
}

/// A pool of workers below one master. Times in nanoseconds, memory in bytes.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name in reports.
    pub name: String,
    /// Its workers. The master, the parent of them that runs the same program, is never one.
    pub matching: Match,
    /// What asks a worker to leave at the end of its request.
    pub signal: Signal,
    /// Time it has for that, then it is killed.
    pub deadline_ns: u64,
    /// What the limits hold against.
    pub measure: Measure,
    /// Memory of a worker from which on it is recycled.
    pub soft: Option<u64>,
    /// Memory of a worker from which on it is killed.
    pub hard: Option<u64>,
    /// Memory of all workers from which on the largest is recycled.
    pub total: Option<u64>,
    /// Workers recycled at once.
    pub at_once: u32,
    /// Time between two of them.
    pub stagger_ns: u64,
    /// Workers that bounds and the pool's own limits leave alone. Rules on single processes (fd tables, process limits) hold
    /// regardless.
    pub min_alive: u32,
    /// A younger worker goes last.
    pub min_lifetime_ns: u64,
    /// Kills in a row, each within the stagger of a respawn, after which the pool is stopped over.
    pub rounds: u32,
    /// What is done then.
    pub then: Then,
    /// Programs run around an act.
    pub hooks: Hooks,
    /// How its number of workers follows the load; `None`: it is left as it is.
    pub size: Option<Sizing>,
}

/// How the number of a pool's workers follows what waits at its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Workers at most.
    pub max_workers: u32,
    /// Idle workers from which on one may go.
    pub idle_min: u32,
    /// How long they have to be idle, in nanoseconds.
    pub idle_for_ns: u64,
    /// Connections that may wait to be accepted: more of them is a long queue, half of them a nearly empty one.
    pub waiting: u32,
    /// How long the queue has to be long, in nanoseconds.
    pub waiting_for_ns: u64,
    /// Idle workers that are kept in reserve: fewer of them count as a long queue.
    pub spare: u32,
    /// Time from a growth to the next shrink, in nanoseconds.
    pub turn_ns: u64,
}

impl Sizing {
    /// Time between looks at a pool in nanoseconds: some fit into each time that something has to last.
    #[must_use]
    pub fn gap_ns(&self) -> u64 {
        (self.waiting_for_ns / 2).min(self.idle_for_ns / 4).clamp(100_000_000, 1_000_000_000)
    }
}

/// What is done about a master that starts its victims again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Stop acting on it, and say so.
    Stop,
    /// Act on the master.
    Master,
    /// Have systemd stop the unit.
    Unit,
    /// Kill the whole cgroup.
    Cgroup,
}

/// Programs run before and after an act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Before the signal; empty: none.
    pub before: Vec<String>,
    /// After the process has ended; empty: none.
    pub after: Vec<String>,
    /// Time each has, in nanoseconds.
    pub deadline_ns: u64,
}

/// A limit that the kernel side keeps by itself: the process is signalled in the act of passing it.
#[derive(Clone, Debug)]
pub struct ProcessLimit {
    /// Its name in reports.
    pub name: String,
    /// Whom it concerns.
    pub matching: Match,
    /// Resident bytes.
    pub bytes: u64,
    /// What is sent.
    pub signal: Signal,
}

/// What to do about fd tables.
#[derive(Clone, Debug)]
pub struct FdTableRule {
    /// Its name in reports.
    pub name: String,
    /// Whom it concerns.
    pub matching: Match,
    /// Bytes of all tables of the process from which on it holds.
    pub min_bytes: u64,
    /// Least confidence: 0 low, 1 medium, 2 high.
    pub confidence: u8,
    /// What is done.
    pub action: TableAction,
    /// What is sent.
    pub signal: Signal,
    /// Time until SIGKILL follows, in nanoseconds.
    pub deadline_ns: u64,
    /// Victims of one master after which `then` is done.
    pub rounds: u32,
    /// What is done about a master that starts them again.
    pub then: Then,
}

/// What is done about an fd table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableAction {
    /// It is reported.
    Report,
    /// The process is signalled when this many bytes of it are touched.
    Touched(u64),
    /// The kernel side signals before the first touch. Only for programs that the rule names.
    Mapped,
    /// The kernel refuses the mapping with ENOMEM, where it can. Only for programs that the rule names.
    Refuse,
}

/// Pressure: acted on only when memory is truly short as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Full pressure over ten seconds, in hundredths of a percent.
    pub full: u32,
    /// How long it has to last, in nanoseconds.
    pub lasting_ns: u64,
    /// Available memory below which memory is short.
    pub available_below: Amount,
}

/// Thrash, which is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thrash {
    /// Refaults a second.
    pub refaults: u64,
    /// Share of the time in which a task waits for memory, in hundredths of a percent.
    pub stalled: u32,
    /// Time over which both are taken, in nanoseconds.
    pub window_ns: u64,
}

/// What cgroups truly hold, beside what they are charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Time between two readings of a cgroup that is no scope, in nanoseconds.
    pub every_ns: u64,
    /// Time from the first process in a new cgroup to its first reading, in nanoseconds.
    pub settle_ns: u64,
    /// Bytes charged elsewhere from which on it is told.
    pub min_missing: u64,
    /// And share of its true use.
    pub min_share: Amount,
}

/// Growth towards a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Time to the limit from which on it is told, in nanoseconds.
    pub warn_within_ns: u64,
    /// Time to the limit from which on a worker is recycled, in nanoseconds; 0: never.
    pub recycle_within_ns: u64,
    /// Time over which the rate is taken, in nanoseconds.
    pub window_ns: u64,
}

/// Processes that are never touched.
#[derive(Clone, Debug, Default)]
pub struct Protect {
    /// Any of these.
    pub matching: Vec<Match>,
}

impl Protect {
    /// Whether it protects a process.
    #[must_use]
    pub fn covers(&self, who: &Who, parent: Option<&Who>) -> bool {
        self.matching.iter().any(|matching| matching.matches(who, parent))
    }
}

/// How many kills in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Kills.
    pub kills: u32,
    /// In this time, in nanoseconds.
    pub window_ns: u64,
    /// Time without kills once they are spent, in nanoseconds.
    pub cool_down_ns: u64,
}
