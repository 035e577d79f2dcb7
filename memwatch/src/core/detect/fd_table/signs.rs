//! How sure is it? Signs for and against, each a number of points and a sentence.
//!
//! A point is worth about a factor of three in odds. The weights are those at which the corpus of scenarios comes
//! out right; docs/detection.md explains them to users. What is not known weighs nothing.

use std::fmt::Write as _;

use memwatch_ebpf::abi::event::{CloseSweep, FdTable};
use memwatch_ebpf::abi::state::{LEARNED_READ_HARD, LEARNED_SET};
use memwatch_ebpf::table::Fit;

use super::finding::{Confidence, Reason, State};
use super::process::{Process, Region};
use super::programs::Program;

/// `MAP_NORESERVE` (include/uapi/asm-generic/mman-common.h).
const MAP_NORESERVE: u32 = 0x4000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Points from which a finding is of medium confidence.
const MEDIUM: i32 = 4;
/// Points from which a finding is of high confidence.
const HIGH: i32 = 7;

/// All that is weighed.
pub(super) struct Evidence<'a> {
    pub(super) table: &'a FdTable,
    pub(super) fit: Fit,
    pub(super) state: State,
    pub(super) region: &'a Region,
    pub(super) process: &'a Process,
    pub(super) program: Option<&'static Program>,
}

/// Points and reasons so far, and the confidence they may not pass.
struct Scale {
    points: i32,
    cap: Confidence,
    reasons: Vec<Reason>,
}

impl Scale {
    fn add(&mut self, points: i32, code: &'static str, text: impl Into<String>) {
        self.points += points;
        self.reasons.push(Reason { code, text: text.into() });
    }

    fn cap(&mut self, cap: Confidence) {
        self.cap = self.cap.min(cap);
    }
}

/// Weighs the evidence.
pub(super) fn weigh(evidence: &Evidence<'_>) -> (Confidence, Vec<Reason>) {
    let mut scale = Scale { points: 0, cap: Confidence::High, reasons: Vec::new() };
    length(evidence, &mut scale);
    element(evidence, &mut scale);
    knowledge(evidence, &mut scale);
    time(evidence, &mut scale);
    sweep(evidence, &mut scale);
    size(evidence, &mut scale);
    neighbours(evidence, &mut scale);
    program(evidence, &mut scale);
    state(evidence, &mut scale);
    let confidence = match scale.points {
        HIGH.. => Confidence::High,
        MEDIUM..HIGH => Confidence::Medium,
        _ => Confidence::Low,
    };
    (confidence.min(scale.cap), scale.reasons)
}

/// How surprising is it that this length fits this limit at all?
fn length(evidence: &Evidence<'_>, scale: &mut Scale) {
    let (limit, table) = (evidence.table.learned.limit, evidence.table);
    match evidence.fit {
        Fit::Exact => scale.add(
            0,
            "fit_exact",
            format!("{} is {limit} x {} bytes, rounded up to a page", bytes(table.length), table.element),
        ),
        Fit::PowerOfTwo => scale.add(
            0,
            "fit_power_of_two",
            format!(
                "{} is {} bytes for each of the power of two above {limit}",
                bytes(table.length),
                table.element
            ),
        ),
        Fit::Capped => scale.add(
            1,
            "fit_capped",
            format!(
                "{} is 16 bytes for each of 2^27, to which Erlang's run-time system caps a limit of {limit}",
                bytes(table.length)
            ),
        ),
        Fit::SizeClass => {
            scale.add(-3, "fit_size_class", format!("{} is the size class into which jemalloc rounds {limit} x {} bytes, as it does many other sizes", bytes(table.length), table.element));
            scale.cap(Confidence::Medium);
        }
        Fit::Heap => {
            scale.add(
                -1,
                "fit_heap",
                format!(
                    "the heap grew by {}: {limit} x {} bytes and malloc's padding",
                    bytes(table.length),
                    table.element
                ),
            );
            scale.cap(Confidence::Medium);
        }
    }
    // A step of 4 x N bytes holds this many lengths (in pages), of which one or two fit.
    let steps = limit / 1024;
    match steps {
        0..8 => {
            scale.add(
                -6,
                "any_length_fits",
                format!(
                    "with a limit of {limit} nearly every length is a multiple of it once rounded to pages"
                ),
            );
            scale.cap(Confidence::Low);
        }
        8..512 => scale.add(
            0,
            "chance_considerable",
            format!("about one length in {steps} fits a limit of {limit} by accident"),
        ),
        _ if is_round(table.length) => {
            scale.add(
                1,
                "length_round",
                format!(
                    "{} is a power of two (or three times one), as programs choose for many reasons",
                    bytes(table.length)
                ),
            );
            if evidence.program.is_none() && !swept(evidence) {
                scale.cap(Confidence::Medium);
            }
        }
        512..16_384 => scale.add(
            3,
            "chance_small",
            format!("only one length in {steps} fits a limit of {limit} by accident"),
        ),
        _ => scale.add(
            4,
            "chance_tiny",
            format!("only one length in {steps} fits a limit of {limit} by accident"),
        ),
    }
}

/// Which element sizes do tables have?
fn element(evidence: &Evidence<'_>, scale: &mut Scale) {
    let size = evidence.table.element;
    match size {
        8 => scale.add(
            2,
            "element_pointer",
            "8 bytes per descriptor: an array of pointers, the most common kind of table",
        ),
        4 | 12 | 16 | 32 | 64 => scale.add(
            1,
            "element_common",
            format!("{size} bytes per descriptor: a common size of a table's element"),
        ),
        _ if size.is_multiple_of(8) => scale.add(
            0,
            "element_struct",
            format!("{size} bytes per descriptor: the size a structure may have"),
        ),
        _ => scale.add(
            -1,
            "element_odd",
            format!("{size} bytes per descriptor: an unusual size for a structure"),
        ),
    }
}

/// Who learned the limit, and how?
fn knowledge(evidence: &Evidence<'_>, scale: &mut Scale) {
    let learned = &evidence.table.learned;
    match learned.forks {
        0 => scale.add(0, "learned_self", "the process learned the limit by itself"),
        1 | 2 => scale.add(
            0,
            "learned_ancestor",
            format!("process {} learned the limit and handed it down by fork", learned.tgid),
        ),
        forks => scale.add(
            -1,
            "learned_far",
            format!("process {} learned the limit {forks} forks earlier", learned.tgid),
        ),
    }
    match learned.how {
        LEARNED_SET => {
            scale.add(1, "limit_set", "the limit was set by the program, which therefore counts on it")
        }
        LEARNED_READ_HARD => scale.add(
            -2,
            "limit_hard",
            "it is the hard limit that came along with a look-up; tables follow the soft one",
        ),
        _ => {}
    }
}

/// There is no time window, but most tables follow at once.
fn time(evidence: &Evidence<'_>, scale: &mut Scale) {
    let lag = swept_until(evidence).map_or(evidence.region.lag_ns, |end_ns| {
        (evidence.table.learned.time_ns + evidence.region.lag_ns).saturating_sub(end_ns)
    });
    let after = duration(evidence.region.lag_ns);
    if lag < 150 * MS {
        scale.add(2, "lag_short", format!("the memory was asked for {after} after the limit was learned"));
    } else if lag < SECOND {
        scale.add(1, "lag_short", format!("the memory was asked for {after} after the limit was learned"));
    } else if lag > 10 * SECOND {
        scale.add(-1, "lag_long", format!("the memory was asked for {after} after the limit was learned; most tables follow within a second"));
    }
}

fn sweep(evidence: &Evidence<'_>, scale: &mut Scale) {
    if let Some(sweep) = evidence.process.sweep
        && swept(evidence)
    {
        scale.add(
            2,
            "close_sweep",
            format!(
                "the process closed {} descriptors that were not open, about as many as the limit",
                sweep.count
            ),
        );
    }
}

/// Whether the process closed about as many descriptors as the limit allows.
fn swept(evidence: &Evidence<'_>) -> bool {
    let limit = evidence.table.learned.limit;
    evidence
        .process
        .sweep
        .is_some_and(|sweep| sweep.count >= limit / 2 && sweep.count <= limit.saturating_mul(2))
}

/// The end of a sweep that lies between look-up and request.
fn swept_until(evidence: &Evidence<'_>) -> Option<u64> {
    let sweep: CloseSweep = evidence.process.sweep?;
    let asked_ns = evidence.table.learned.time_ns + evidence.region.lag_ns;
    (sweep.last_ns >= evidence.table.learned.time_ns && sweep.last_ns <= asked_ns).then_some(sweep.last_ns)
}

fn size(evidence: &Evidence<'_>, scale: &mut Scale) {
    let total = evidence.table.total.max(evidence.table.length);
    if total < 16 * MIB {
        scale.add(-2, "small", format!("{} in all: many allocations are of this size", bytes(total)));
    } else if total < 64 * MIB {
        scale.add(-1, "small", format!("{} in all: allocations of this size are not rare", bytes(total)));
    } else if total >= GIB {
        scale.add(1, "large", format!("{} in all: few programs ask for this much at once", bytes(total)));
    }
    if evidence.table.flags & MAP_NORESERVE != 0 {
        scale.add(
            -2,
            "noreserve",
            "the mapping does not reserve memory (MAP_NORESERVE), as pools and arenas do",
        );
    }
}

/// A program has a handful of tables, no two of them the same, and all of them fit.
fn neighbours(evidence: &Evidence<'_>, scale: &mut Scale) {
    let alike = evidence.process.alike(evidence.region);
    let elements = evidence.process.elements();
    if alike > 3 || evidence.table.ordinal > 12 {
        scale.add(-4, "repeated", format!("region {} of its kind in this process, {alike} of the same length: arenas, stacks and buffers come in numbers", evidence.table.ordinal));
        scale.cap(Confidence::Low);
    } else if evidence.fit == Fit::Exact
        && (2..=6).contains(&elements.len())
        && evidence.table.learned.limit >= 512 * 1024
    {
        let mut list = String::new();
        for element in &elements {
            let _ = write!(list, "{}{element}", if list.is_empty() { "" } else { " + " });
        }
        scale.add(
            1,
            "several_tables",
            format!("{} tables fit the same limit, with {list} bytes per descriptor", elements.len()),
        );
    }
}

fn program(evidence: &Evidence<'_>, scale: &mut Scale) {
    let Some(program) = evidence.program else { return };
    if program.element_bytes.contains(&evidence.table.element) {
        scale.add(
            3,
            "program_known",
            format!(
                "{} is known to keep tables with {} bytes per descriptor",
                program.name, evidence.table.element
            ),
        );
    } else {
        scale.add(
            1,
            "program_known",
            format!("{} is known to size memory by the descriptor limit", program.name),
        );
    }
}

fn state(evidence: &Evidence<'_>, scale: &mut Scale) {
    let table = evidence.table;
    match evidence.state {
        State::Failed => scale.add(
            0,
            "refused",
            format!(
                "the kernel refused {} ({}): most programs exit or abort now, with no OOM kill anywhere",
                bytes(table.length),
                errno(table.result)
            ),
        ),
        State::Touched if table.touched >= table.total / 2 => scale.add(
            1,
            "touched",
            format!("the process's memory grew by {} of the {}", bytes(table.touched), bytes(table.total)),
        ),
        State::Touched => scale.add(
            0,
            "touched_partly",
            format!("the process's memory grew by {} of the {}", bytes(table.touched), bytes(table.total)),
        ),
        State::Mapped => scale.add(
            0,
            "mapped_only",
            format!(
                "{} mapped, {} of it touched so far: untouched memory costs nothing",
                bytes(table.total),
                bytes(table.touched)
            ),
        ),
    }
}

/// How the process ended, as a reason of its last report.
pub(super) fn end(state: State, oom_killed: bool, status: u32, lived_ns: u64) -> Reason {
    let (signal, code) = (status & 0x7f, (status >> 8) & 0xff);
    let how = if signal == 0 {
        format!("exited with status {code}")
    } else {
        format!("was ended by signal {signal}{}", signal_name(signal))
    };
    let after = duration(lived_ns);
    if oom_killed {
        Reason {
            code: "ended_by_oom",
            text: format!("the kernel killed the process for lack of memory {after} after the last report"),
        }
    } else if state == State::Failed && (signal != 0 || code != 0) {
        Reason {
            code: "ended_by_refusal",
            text: format!("the process {how} {after} after its request was refused"),
        }
    } else {
        Reason { code: "ended", text: format!("the process {how} {after} after the last report") }
    }
}

/// Powers of two and three times those, with or without an allocator's page.
const fn is_round(length: u64) -> bool {
    const fn round(length: u64) -> bool {
        length != 0 && matches!(length >> length.trailing_zeros(), 1 | 3)
    }
    round(length) || round(length.saturating_sub(4096))
}

const fn signal_name(signal: u32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn errno(result: i64) -> String {
    match result {
        -12 => "ENOMEM".to_owned(),
        -11 => "EAGAIN".to_owned(),
        other => format!("errno {}", other.unsigned_abs()),
    }
}

/// Bytes for people: three digits and a binary unit.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let mut scaled = count as f64;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = larger;
    }
    let digits = if unit == "B" || scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$} {unit}")
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}
