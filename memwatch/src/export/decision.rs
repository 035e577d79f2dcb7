//! Lines about what the policy decided: JSON for programs, a sentence for people.
//!
//! One flat object a line, as for events; docs/decisions.md tells the keys.

use std::fmt::Write as _;

use serde::Serialize;

use super::clock::Clock;
use super::escape;
use super::schema::VERSION;
use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Candidate, Cause, Closing, Command, Decision, Ending, Engine, Figures, Gravity, Holding, Mode, Outbox,
    Resize, Warning, Who,
};
use crate::core::quantity::{Bytes, Nanos};

/// Writes decisions, their ends, and warnings.
#[derive(Clone, Copy, Debug)]
pub struct Decisions {
    clock: Option<Clock>,
}

#[derive(Serialize)]
struct Line<'a, Body: Serialize> {
    #[serde(rename = "event.name")]
    name: &'static str,
    #[serde(rename = "memwatch.schema_version")]
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(rename = "memwatch.boot_ns")]
    boot_ns: u64,
    #[serde(flatten)]
    process: Option<Process<'a>>,
    #[serde(flatten)]
    body: Body,
}

/// Who, by the keys that events use.
#[derive(Serialize)]
struct Process<'a> {
    #[serde(rename = "process.pid")]
    pid: u32,
    #[serde(rename = "memwatch.process.start_ns")]
    start_ns: u64,
    #[serde(rename = "memwatch.process.comm", skip_serializing_if = "Option::is_none")]
    comm: Option<&'a str>,
    #[serde(rename = "process.executable.path", skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(rename = "memwatch.cgroup.path", skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(rename = "memwatch.unit", skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(rename = "container.id", skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
}

impl<'a> Process<'a> {
    fn new(key: ProcessKey, who: Option<&'a Who>) -> Self {
        Self {
            pid: key.tgid,
            start_ns: key.start_ns,
            comm: who.map(|who| who.comm.as_str()),
            exe: who.and_then(|who| who.exe.as_deref()),
            cgroup: who.and_then(|who| who.cgroup.as_deref()),
            unit: who.and_then(|who| who.unit.as_deref()),
            container: who.and_then(|who| who.container.as_deref()),
        }
    }
}

#[derive(Serialize)]
struct DecisionBody<'a> {
    #[serde(rename = "memwatch.decision.id")]
    id: u64,
    #[serde(rename = "memwatch.decision.rule")]
    rule: &'static str,
    #[serde(rename = "memwatch.decision.entry", skip_serializing_if = "Option::is_none")]
    entry: Option<&'a str>,
    #[serde(rename = "memwatch.decision.mode")]
    mode: &'static str,
    #[serde(rename = "memwatch.decision.gravity")]
    gravity: Gravity,
    #[serde(rename = "memwatch.decision.signal")]
    signal: String,
    #[serde(flatten)]
    numbers: Numbers,
    #[serde(flatten)]
    holding: Option<HoldingBody<'a>>,
    #[serde(rename = "memwatch.decision.reason")]
    reason: String,
    #[serde(rename = "memwatch.decision.candidates")]
    candidates: Vec<String>,
}

/// A cause, flat: which it is, and those of the numbers that it has.
#[derive(Default, Serialize)]
struct Numbers {
    #[serde(rename = "memwatch.decision.cause")]
    cause: &'static str,
    #[serde(rename = "memwatch.decision.bytes", skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(rename = "memwatch.decision.bound_bytes", skip_serializing_if = "Option::is_none")]
    bound: Option<u64>,
    #[serde(rename = "memwatch.decision.lower_bytes", skip_serializing_if = "Option::is_none")]
    lower: Option<u64>,
    #[serde(rename = "memwatch.decision.wanted", skip_serializing_if = "Option::is_none")]
    wanted: Option<u32>,
    #[serde(rename = "memwatch.decision.descriptor_limit", skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(rename = "memwatch.decision.touched_bytes", skip_serializing_if = "Option::is_none")]
    touched: Option<u64>,
    #[serde(
        rename = "memwatch.decision.full_pressure_basis_points",
        skip_serializing_if = "Option::is_none"
    )]
    full: Option<u32>,
    #[serde(rename = "memwatch.decision.bytes_per_second", skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    #[serde(rename = "memwatch.decision.reached_in_ns", skip_serializing_if = "Option::is_none")]
    reached_in_ns: Option<u64>,
    #[serde(rename = "memwatch.decision.rounds", skip_serializing_if = "Option::is_none")]
    rounds: Option<u32>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    queue: Option<QueueNumbers>,
}

/// What a change of a pool's size was decided by.
#[derive(Serialize)]
struct QueueNumbers {
    #[serde(rename = "memwatch.decision.step")]
    step: Resize,
    #[serde(rename = "memwatch.decision.workers")]
    workers: u32,
    #[serde(rename = "memwatch.decision.idle_workers")]
    idle: u32,
    #[serde(rename = "memwatch.decision.waiting")]
    waiting: u64,
    #[serde(rename = "memwatch.decision.waiting_bound")]
    bound: u64,
    #[serde(rename = "memwatch.decision.lasting_ns")]
    lasting_ns: u64,
    #[serde(rename = "memwatch.decision.peak_bytes", skip_serializing_if = "Option::is_none")]
    peak: Option<u64>,
    #[serde(rename = "memwatch.decision.after_recycle")]
    after_recycle: bool,
}

impl Numbers {
    fn new(cause: &Cause) -> Self {
        let of =
            |cause, bytes, bound| Self { cause, bytes: Some(bytes), bound: Some(bound), ..Self::default() };
        match *cause {
            Cause::AboveLower { used, lower, upper, wanted } => {
                Self { lower: Some(lower), wanted: Some(wanted), ..of("above_lower", used, upper) }
            }
            Cause::AboveUpper { used, upper } => of("above_upper", used, upper),
            Cause::WorkerLimit { bytes, limit } => of("worker_limit", bytes, limit),
            Cause::PoolTotal { bytes, limit } => of("pool_total", bytes, limit),
            Cause::FdTable { limit, bytes, touched, bound } => {
                Self { limit: Some(limit), touched: Some(touched), ..of("fd_table", bytes, bound) }
            }
            Cause::Pressure { full, available, below } => {
                Self { full: Some(full), ..of("pressure", available, below) }
            }
            Cause::Growth { bytes, limit, rate, reached_in_ns } => {
                Self { rate: Some(rate), reached_in_ns: Some(reached_in_ns), ..of("growth", bytes, limit) }
            }
            Cause::Queue {
                step,
                workers,
                idle,
                waiting,
                bound,
                lasting_ns,
                peak,
                worst,
                room,
                after_recycle,
            } => Self {
                cause: "queue",
                bytes: worst,
                bound: room,
                queue: Some(QueueNumbers {
                    step,
                    workers,
                    idle,
                    waiting,
                    bound,
                    lasting_ns,
                    peak,
                    after_recycle,
                }),
                ..Self::default()
            },
            Cause::Respawns { rounds } => Self { cause: "respawns", rounds: Some(rounds), ..Self::default() },
        }
    }
}

#[derive(Serialize)]
struct ClosingBody {
    #[serde(rename = "memwatch.decision.id")]
    id: u64,
    #[serde(rename = "memwatch.closing.ending")]
    ending: Ending,
    #[serde(rename = "memwatch.closing.was_killed")]
    was_killed: bool,
    #[serde(rename = "memwatch.closing.returned_bytes", skip_serializing_if = "Option::is_none")]
    returned_bytes: Option<u64>,
    #[serde(rename = "memwatch.closing.sent_after_ns", skip_serializing_if = "Option::is_none")]
    sent_after_ns: Option<u64>,
    #[serde(rename = "memwatch.closing.ended_after_ns", skip_serializing_if = "Option::is_none")]
    ended_after_ns: Option<u64>,
}

#[derive(Serialize)]
struct WarningBody<'a> {
    #[serde(rename = "memwatch.warning.kind")]
    kind: &'static str,
    #[serde(rename = "memwatch.warning.text")]
    text: String,
    #[serde(flatten)]
    holding: Option<HoldingBody<'a>>,
}

/// What a cgroup truly holds.
#[derive(Serialize)]
struct HoldingBody<'a> {
    #[serde(rename = "memwatch.cgroup.path", skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(rename = "memwatch.true_use.bytes")]
    used: u64,
    #[serde(rename = "memwatch.true_use.bytes_low", skip_serializing_if = "Option::is_none")]
    low: Option<u64>,
    #[serde(rename = "memwatch.true_use.bytes_high", skip_serializing_if = "Option::is_none")]
    high: Option<u64>,
    #[serde(rename = "memwatch.true_use.charged_bytes")]
    charged: u64,
    #[serde(rename = "memwatch.true_use.missing_bytes")]
    missing: u64,
    #[serde(rename = "memwatch.true_use.limit_bytes", skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(rename = "memwatch.true_use.took_ns", skip_serializing_if = "Option::is_none")]
    took_ns: Option<u64>,
    #[serde(rename = "memwatch.true_use.cpu_ns", skip_serializing_if = "Option::is_none")]
    cpu_ns: Option<u64>,
}

impl<'a> HoldingBody<'a> {
    fn new(cgroup: Option<&'a str>, holding: &Holding) -> Self {
        Self {
            cgroup,
            used: holding.used,
            low: Some(holding.used_low),
            high: Some(holding.used_high),
            charged: holding.charged,
            missing: holding.missing,
            limit: holding.limit,
            took_ns: Some(holding.took_ns),
            cpu_ns: Some(holding.cpu_ns),
        }
    }

    fn of_warning(warning: &Warning, engine: &'a Engine) -> Option<Self> {
        let Warning::UnderCharged { cgroup, used, charged, missing, limit } = *warning else { return None };
        let cgroup = engine.cgroup(cgroup);
        let (low, high, took_ns, cpu_ns) = (None, None, None, None);
        Some(Self { cgroup, used, low, high, charged, missing, limit, took_ns, cpu_ns })
    }
}

impl Decisions {
    /// States moments by a clock, or on the boot clock only.
    #[must_use]
    pub const fn new(clock: Option<Clock>) -> Self {
        Self { clock }
    }

    /// Appends the line of a command, if it is one that is told.
    pub fn json(&self, time_ns: u64, command: &Command, engine: &Engine, outbox: &Outbox, out: &mut Vec<u8>) {
        match command {
            Command::Decided(decision) => {
                let ranked = outbox.ranking(decision).iter().map(|candidate| ranked(candidate, engine));
                let body = DecisionBody {
                    id: decision.id,
                    rule: decision.rule,
                    entry: engine.entry_name(decision),
                    mode: engine.settings().mode.name(),
                    gravity: decision.gravity,
                    signal: decision.means(),
                    numbers: Numbers::new(&decision.cause),
                    // The process's cgroup may be one below that of the scope.
                    holding: engine.truly_held(decision).map(|holding| HoldingBody::new(None, &holding)),
                    reason: reason_of(decision, engine),
                    candidates: ranked.collect(),
                };
                let process = Process::new(decision.key, engine.who(decision.key));
                self.line("memwatch.decision", time_ns, Some(process), body, out);
            }
            Command::Closed(closing) => {
                let body = ClosingBody {
                    id: closing.decision,
                    ending: closing.ending,
                    was_killed: closing.was_killed,
                    returned_bytes: closing.returned_bytes,
                    sent_after_ns: closing.sent_after_ns,
                    ended_after_ns: closing.ended_after_ns,
                };
                let process = Process::new(closing.key, engine.who(closing.key));
                self.line("memwatch.closing", time_ns, Some(process), body, out);
            }
            Command::Warn(warning) => {
                let process = concerned(warning).map(|key| Process::new(key, engine.who(key)));
                let body = WarningBody {
                    kind: kind(warning),
                    text: warn(warning, engine),
                    holding: HoldingBody::of_warning(warning, engine),
                };
                self.line("memwatch.warning", time_ns, process, body, out);
            }
            Command::Measure(_)
            | Command::Audit(_)
            | Command::Send { .. }
            | Command::Tell { .. }
            | Command::KillCgroup { .. }
            | Command::RunHook { .. }
            | Command::Limit(_)
            | Command::Rule { .. }
            | Command::LookWithin(_) => {}
        }
    }

    /// Appends the line of what a cgroup truly holds.
    pub fn holding(&self, time_ns: u64, cgroup: &str, holding: &Holding, out: &mut Vec<u8>) {
        self.line("memwatch.true_use", time_ns, None, HoldingBody::new(Some(cgroup), holding), out);
    }

    fn line<Body: Serialize>(
        &self,
        name: &'static str,
        time_ns: u64,
        process: Option<Process<'_>>,
        body: Body,
        out: &mut Vec<u8>,
    ) {
        let timestamp = self.clock.map(|clock| {
            let mut text = Vec::new();
            clock.push_rfc3339(time_ns, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let line = Line { name, version: VERSION, timestamp, boot_ns: time_ns, process, body };
        // Into memory, of types that are numbers and text: it cannot fail.
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }
}

/// Sentences for people, or nothing for commands that are not told.
#[must_use]
pub fn sentence(command: &Command, engine: &Engine, outbox: &Outbox) -> Option<String> {
    match command {
        Command::Decided(decision) => Some(decided(decision, engine, outbox)),
        Command::Closed(closing) => Some(closed(closing)),
        Command::Warn(warning) => Some(format!("warning: {}", warn(warning, engine))),
        Command::Measure(_)
        | Command::Audit(_)
        | Command::Send { .. }
        | Command::Tell { .. }
        | Command::KillCgroup { .. }
        | Command::RunHook { .. }
        | Command::Limit(_)
        | Command::Rule { .. }
        | Command::LookWithin(_) => None,
    }
}

fn decided(decision: &Decision, engine: &Engine, outbox: &Outbox) -> String {
    let verb = match (engine.settings().mode, decision.gravity) {
        (Mode::Enforce, Gravity::Resize) => "telling",
        (Mode::Observe, Gravity::Resize) => "would tell",
        (Mode::Enforce, Gravity::Graceful) => "asking",
        (Mode::Enforce, Gravity::Kill) => "killing",
        (Mode::Enforce, Gravity::KillCgroup) => "killing the cgroup of",
        (Mode::Observe, Gravity::Graceful) => "would ask",
        (Mode::Observe, Gravity::Kill) => "would kill",
        (Mode::Observe, Gravity::KillCgroup) => "would kill the cgroup of",
    };
    let own = outbox.ranking(decision).iter().find(|candidate| candidate.key == decision.key);
    let mut text = format!(
        "decision {}: {verb} {} with {}: {}",
        decision.id,
        name_of(decision.key, engine),
        decision.means(),
        reason_of(decision, engine)
    );
    if let Some(private) = own.and_then(|own: &Candidate| own.figures.private) {
        let _ = write!(text, "; it holds {} of its own", size(private));
    }
    let _ = write!(text, " ({}", decision.rule);
    if let Some(entry) = engine.entry_name(decision) {
        let _ = write!(text, " of {entry}");
    }
    let _ = write!(text, ", first of {} candidates)", decision.candidates.max(1));
    text
}

fn closed(closing: &Closing) -> String {
    let ending = match closing.ending {
        Ending::Returned => "it ended and its memory is back",
        Ending::NotReturned => "it ended, but its memory did not come back in time",
        Ending::Stuck => "it did not end, not even by SIGKILL, in time",
        Ending::Observed => "nothing was done: the policy observes",
        Ending::Gone => "it was gone already",
        Ending::Failed => "it could not be carried out",
        Ending::Resized => "the pool has followed",
        Ending::Ignored => "the master did not follow, and is left alone for ten minutes",
    };
    let mut text = format!("decision {}: {ending}", closing.decision);
    if let Some(bytes) = closing.returned_bytes {
        let _ = write!(text, ", {} returned", size(bytes));
    }
    if let Some(after) = closing.ended_after_ns {
        let _ = write!(text, " after {}", Nanos(after));
    }
    if closing.was_killed && closing.ending != Ending::Observed {
        text.push_str(", by SIGKILL");
    }
    text
}

/// The finding in words, with what the kernel says where it was decided by what the cgroup truly holds.
fn reason_of(decision: &Decision, engine: &Engine) -> String {
    let mut text = reason(&decision.cause);
    if let Some(Holding { charged, missing, .. }) = engine.truly_held(decision) {
        let _ = write!(
            text,
            "; that is its true use: the cgroup is charged for {}, and {} of what it holds are charged elsewhere",
            size(charged),
            size(missing)
        );
    }
    text
}

/// The finding in words.
#[must_use]
pub fn reason(cause: &Cause) -> String {
    match *cause {
        Cause::AboveLower { used, lower, upper, wanted } => {
            format!("{} in use, between {} and {}: {wanted} to recycle", size(used), size(lower), size(upper))
        }
        Cause::AboveUpper { used, upper } => format!("{} in use, the bound is {}", size(used), size(upper)),
        Cause::WorkerLimit { bytes, limit } => {
            format!("it holds {}, its limit is {}", size(bytes), size(limit))
        }
        Cause::PoolTotal { bytes, limit } => {
            format!("its pool holds {}, the limit of all is {}", size(bytes), size(limit))
        }
        Cause::FdTable { limit, bytes, touched, bound } => format!(
            "one slot for each of {limit} possible descriptors: {} mapped, {} touched, the bound is {}",
            size(bytes),
            size(touched),
            size(bound)
        ),
        Cause::Pressure { full, available, below } => format!(
            "all tasks waited for memory {:.1} % of the time and {} are available, less than {}",
            f64::from(full) / 100.0,
            size(available),
            size(below)
        ),
        Cause::Growth { bytes, limit, rate, reached_in_ns } => format!(
            "{} in use and {} a second more: {} are reached in {}",
            size(bytes),
            size(rate),
            size(limit),
            Nanos(reached_in_ns)
        ),
        Cause::Queue {
            step,
            workers,
            idle,
            waiting,
            bound,
            lasting_ns,
            peak,
            worst,
            room,
            after_recycle,
        } => {
            let mut text = format!(
                "{waiting} of {bound} connections wait, {idle} of {workers} workers are idle, for {} now: one {}",
                Nanos(lasting_ns),
                match step {
                    Resize::Grow => "more",
                    Resize::Shrink => "less",
                }
            );
            if after_recycle {
                text.push_str(", in place of a new one for the one that goes");
            }
            if let (Resize::Grow, Some(peak), Some(worst), Some(room)) = (step, peak, worst, room) {
                let _ = write!(
                    text,
                    "; should all come to hold the {} that one has held, {} more are needed of {}",
                    size(peak),
                    size(worst),
                    size(room)
                );
            }
            text
        }
        Cause::Respawns { rounds } => format!("its victims were started again {rounds} times in a row"),
    }
}

fn warn(warning: &Warning, engine: &Engine) -> String {
    let scope_name =
        |scope: usize| engine.settings().scopes.get(scope).map_or("?", |scope| scope.name.as_str());
    match *warning {
        Warning::BudgetSpent { kills, .. } => format!(
            "the kill budget is spent ({kills} kills): nothing more is killed until the cool-down is over; [budget] sets both"
        ),
        Warning::Stopped { key, rounds } => format!(
            "{} was started again {rounds} times in a row: nothing more is done about its siblings; raise the limit, or set \
             `then` to act on their master",
            name_of(key, engine)
        ),
        Warning::NobodyLeft { scope, used, bound } => format!(
            "scope {} uses {}, its bound is {}, and nobody in it may go: add pools, or set `any_process`",
            scope_name(scope),
            size(used),
            size(bound)
        ),
        Warning::Growing { scope, bytes, limit, reached_in_ns, .. } => format!(
            "scope {} uses {} and reaches {} in {} at its present rate",
            scope.map_or("?", scope_name),
            size(bytes),
            size(limit),
            Nanos(reached_in_ns)
        ),
        Warning::Thrashing { scope, refaults, major_faults, reclaimed, stalled } => {
            let mut text = format!(
                "scope {} thrashes: {refaults} pages a second are read in again, {major_faults} faults a second wait for a disk",
                scope_name(scope)
            );
            if let Some(reclaimed) = reclaimed {
                let _ = write!(text, ", {reclaimed} pages a second are taken back on the spot");
            }
            if let Some(stalled) = stalled {
                let _ = write!(text, ", tasks wait {:.1} % of the time", f64::from(stalled) / 100.0);
            }
            text + "; give it memory, or take a worker away, before it stops to answer"
        }
        Warning::UnderCharged { cgroup, used, charged, missing, limit } => {
            let path = cgroup_name(engine, cgroup);
            let mut text = format!(
                "cgroup {path} truly uses {} and is charged for {}: {} of what it holds are charged elsewhere",
                size(used),
                size(charged),
                size(missing)
            );
            if let Some(limit) = limit {
                let _ = write!(text, ", and its limit of {} does not see them", size(limit));
            }
            text + &format!(
                "; `memwatch audit --cgroup {path}` names where and of which files, and a [[scope]] with measure = \"true-use\" \
                 bounds its true use"
            )
        }
        Warning::Forecast { foretold_ns, reached_ns } => match reached_ns {
            Some(reached) => format!(
                "the bound was reached {} {} than foretold",
                Nanos(foretold_ns.abs_diff(reached)),
                if reached < foretold_ns { "earlier" } else { "later" }
            ),
            None => "the bound that was foretold was not reached".to_owned(),
        },
        Warning::FdTable { key, bytes, touched } => format!(
            "{} holds one slot per possible descriptor: {} mapped, {} touched",
            name_of(key, engine),
            size(bytes),
            size(touched)
        ),
    }
}

/// A candidate in words: who, whether it may be chosen, and its bytes.
fn ranked(candidate: &Candidate, engine: &Engine) -> String {
    let standing = super::explain::standing(candidate.standing);
    let Figures { resident, private, proportional, idle, .. } = candidate.figures;
    let mut text = format!("{} {standing}", name_of(candidate.key, engine));
    for (name, bytes) in [("private", private), ("proportional", proportional), ("resident", resident)] {
        if let Some(bytes) = bytes {
            let _ = write!(text, " {name}={bytes}");
        }
    }
    if let Some(idle) = idle {
        let _ = write!(text, " idle={idle}");
    }
    text
}

const fn kind(warning: &Warning) -> &'static str {
    match warning {
        Warning::BudgetSpent { .. } => "budget_spent",
        Warning::Stopped { .. } => "stopped",
        Warning::NobodyLeft { .. } => "nobody_left",
        Warning::Growing { .. } => "growing",
        Warning::Thrashing { .. } => "thrashing",
        Warning::UnderCharged { .. } => "under_charged",
        Warning::Forecast { .. } => "forecast",
        Warning::FdTable { .. } => "fd_table",
    }
}

const fn concerned(warning: &Warning) -> Option<ProcessKey> {
    match *warning {
        Warning::Stopped { key, .. } | Warning::FdTable { key, .. } => Some(key),
        Warning::Growing { worker, .. } => worker,
        Warning::BudgetSpent { .. }
        | Warning::NobodyLeft { .. }
        | Warning::Thrashing { .. }
        | Warning::UnderCharged { .. }
        | Warning::Forecast { .. } => None,
    }
}

/// Path of a cgroup; names are any bytes and leave escaped.
fn cgroup_name(engine: &Engine, number: u64) -> String {
    let mut name = Vec::new();
    escape::terminal(engine.cgroup(number).unwrap_or("?").as_bytes(), &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

/// Name and process id; names are any bytes and leave escaped.
fn name_of(key: ProcessKey, engine: &Engine) -> String {
    let mut name = Vec::new();
    match engine.who(key) {
        Some(who) => escape::terminal(who.comm.as_bytes(), &mut name),
        None => name.push(b'?'),
    }
    format!("{} ({})", String::from_utf8_lossy(&name), key.tgid)
}

fn size(bytes: u64) -> Bytes {
    Bytes(bytes)
}
