//! Lines about what the policy decided: JSON for programs, a sentence for people.
//!
//! One flat object a line, as for events; docs/decisions.md tells the keys.

mod severity;
mod warning;
mod words;

use serde::Serialize;

use super::clock::Clock;
use super::event::{Event, Severity};
use super::json;
use super::schema::VERSION;
use super::table::shown;
use crate::core::fact::ProcessKey;
use crate::core::naming::Naming;
use crate::core::policy::{
    Cause, Command, Ending, Engine, Gravity, Holding, Outbox, Resize, Told, Turn, Who,
};
pub use warning::concerned;
pub(super) use warning::kind;
use words::{ranked, reason_of};
pub use words::{reason, sentence};

const DECISION: &str = "memwatch.decision";
const CLOSING: &str = "memwatch.closing";
const WARNING: &str = "memwatch.warning";
const TRUE_USE: &str = "memwatch.true_use";

/// Writes decisions, their ends, and warnings.
#[derive(Clone, Copy, Debug)]
pub struct Decisions {
    clock: Option<Clock>,
    has_arguments: bool,
}

#[derive(Serialize)]
struct Line<'a, Body: Serialize> {
    #[serde(rename = "event.name")]
    name: &'static str,
    #[serde(rename = "memwatch.schema_version")]
    version: u64,
    #[serde(rename = "memwatch.severity")]
    severity: &'static str,
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
    #[serde(rename = "process.command_args", skip_serializing_if = "<[_]>::is_empty")]
    args: &'a [String],
    #[serde(rename = "memwatch.process.command_args_cut", skip_serializing_if = "std::ops::Not::not")]
    args_cut: bool,
    #[serde(rename = "memwatch.cgroup.path", skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(rename = "memwatch.unit", skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(rename = "container.id", skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(rename = "k8s.pod.uid", skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
}

impl<'a> Process<'a> {
    fn new(key: ProcessKey, who: Option<&'a Who>, has_arguments: bool) -> Self {
        Self {
            pid: key.tgid,
            start_ns: key.start_ns,
            comm: who.map(|who| who.comm.as_str()),
            exe: who.and_then(|who| who.exe.as_deref()),
            args: who.filter(|_| has_arguments).map(|who| who.args.as_slice()).unwrap_or_default(),
            args_cut: who.is_some_and(|who| has_arguments && who.args_cut && !who.args.is_empty()),
            cgroup: who.and_then(|who| who.cgroup.as_deref()),
            unit: who.and_then(|who| who.unit.as_deref()),
            container: who.and_then(|who| who.container.as_deref()),
            pod: who.and_then(|who| who.pod.as_deref()),
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
    #[serde(rename = "memwatch.decision.unreplaced", skip_serializing_if = "std::ops::Not::not")]
    is_unreplaced: bool,
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
}

impl QueueNumbers {
    /// What is needed and free, `worst` and `room`, are the cause's bytes and bound.
    const fn new(turn: Turn) -> Self {
        let Turn { step, workers, idle, waiting, bound, lasting_ns, peak, worst: _, room: _ } = turn;
        Self { step, workers, idle, waiting, bound, lasting_ns, peak }
    }
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
            Cause::Queue(turn) => Self {
                cause: "queue",
                bytes: turn.worst,
                bound: turn.room,
                queue: Some(QueueNumbers::new(turn)),
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
}

impl Decisions {
    /// States moments by a clock, or on the boot clock only.
    #[must_use]
    pub const fn new(clock: Option<Clock>) -> Self {
        Self { clock, has_arguments: false }
    }

    /// Tells the arguments of processes as well, or does not.
    #[must_use]
    pub const fn with_arguments(self, has_arguments: bool) -> Self {
        Self { has_arguments, ..self }
    }

    /// The event of a command, if it is one that is told.
    #[must_use]
    pub fn event(&self, time_ns: u64, command: &Command, engine: &Engine, outbox: &Outbox) -> Option<Event> {
        let told = command.told()?;
        let name = match told {
            Told::Decided(_) => DECISION,
            Told::Closed(_) => CLOSING,
            Told::Warned(_) => WARNING,
        };
        let mut object = Vec::new();
        self.json(time_ns, command, engine, outbox, &mut object);
        let sentence = sentence(command, engine, outbox);
        Some(Event { name, severity: severity::of(told), object, sentence })
    }

    /// Appends the line of a command, if it is one that is told.
    pub fn json(&self, time_ns: u64, command: &Command, engine: &Engine, outbox: &Outbox, out: &mut Vec<u8>) {
        let process = |key| Process::new(key, engine.who(key), self.has_arguments);
        let Some(told) = command.told() else { return };
        let severity = severity::of(told);
        match told {
            Told::Decided(decision) => {
                let ranked = outbox.ranking(decision).iter().map(|candidate| ranked(candidate, engine));
                let body = DecisionBody {
                    id: decision.id,
                    rule: decision.rule,
                    entry: engine.entry_name(decision),
                    mode: engine.settings().mode.name(),
                    gravity: decision.gravity,
                    signal: decision.means(),
                    is_unreplaced: decision.is_unreplaced(),
                    numbers: Numbers::new(&decision.cause),
                    // The process's cgroup may be one below that of the scope.
                    holding: engine.truly_held(decision).map(|holding| HoldingBody::new(None, &holding)),
                    reason: reason_of(decision, engine),
                    candidates: ranked.collect(),
                };
                self.line((DECISION, severity), time_ns, Some(process(decision.key)), body, out);
            }
            Told::Closed(closing) => {
                let body = ClosingBody {
                    id: closing.decision,
                    ending: closing.ending,
                    was_killed: closing.was_killed,
                    returned_bytes: closing.returned_bytes,
                    sent_after_ns: closing.sent_after_ns,
                    ended_after_ns: closing.ended_after_ns,
                };
                self.line((CLOSING, severity), time_ns, Some(process(closing.key)), body, out);
            }
            Told::Warned(warning) => {
                let body = warning::Body::new(warning, engine);
                self.line((WARNING, severity), time_ns, concerned(warning).map(process), body, out);
            }
        }
    }

    /// The event of what a cgroup truly holds.
    #[must_use]
    pub fn holding(&self, time_ns: u64, cgroup: &str, holding: &Holding) -> Event {
        let (name, severity) = (TRUE_USE, Severity::Info);
        let mut object = Vec::new();
        let body = HoldingBody::new(Some(cgroup), holding);
        self.line((name, severity), time_ns, None, body, &mut object);
        Event { name, severity, object, sentence: None }
    }

    fn line<Body: Serialize>(
        &self,
        (name, severity): (&'static str, Severity),
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
        let severity = severity.name();
        let line = Line { name, version: VERSION, severity, timestamp, boot_ns: time_ns, process, body };
        // Into memory, of types that are numbers and text: it cannot fail.
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }
}

/// Adds the names of its container to an event.
pub fn add_naming(event: &mut Event, id: &str, naming: &Naming) {
    json::add_naming(&mut event.object, id, naming);
    let words = super::words::naming(naming);
    if let Some(sentence) = &mut event.sentence
        && !words.is_empty()
    {
        *sentence += &format!(" [{}]", shown(words.as_bytes()));
    }
}
