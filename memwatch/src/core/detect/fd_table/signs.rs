//! How sure is it? Signs for and against, each a number of points and a sentence.
//!
//! A point is worth about a factor of three in odds. The weights are those at which the corpus of scenarios comes
//! out right; docs/detection.md explains them to users. What is not known weighs nothing.

mod length;

use std::fmt::Write as _;

use memwatch_ebpf::abi::event::{CloseSweep, FdTable, UNKNOWN};
use memwatch_ebpf::abi::state::{LEARNED_READ_HARD, LEARNED_SET};
use memwatch_ebpf::table::{Fit, MAP_NORESERVE};

use super::finding::{Confidence, Reason, State};
use super::process::{Process, Region};
use super::programs::{Program, is_sum_of_tables};
use super::wording::{errno, signal_name};
use crate::core::quantity::{Bytes, Nanos};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Points from which a finding is of medium confidence.
const MEDIUM: i32 = 4;
/// Points from which a finding is of high confidence.
const HIGH: i32 = 7;

/// Regions of one length that a program's tables may come to.
const ALIKE_MAX: usize = 3;
/// The same from a gibibyte on: libvma keeps four tables of pointers side by side, and few pools have blocks this large.
const LARGE_ALIKE_MAX: usize = 8;

/// All that is weighed.
pub(super) struct Evidence<'a> {
    pub(super) table: &'a FdTable,
    pub(super) fit: Fit,
    pub(super) state: State,
    pub(super) region: &'a Region,
    pub(super) process: &'a Process,
    pub(super) program: Option<&'static Program>,
}

impl Evidence<'_> {
    /// Whether it is known who learned the limit. A scan finds what stands, and saw nothing happen.
    const fn is_look_up_seen(&self) -> bool {
        self.table.learned.tgid != 0
    }

    /// The elements that the program is known to have; several tables in one area add up.
    fn known_elements(&self) -> &'static [u32] {
        self.program.map_or(&[], |program| &program.element_bytes)
    }
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
    length::weigh(evidence, &mut scale);
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

/// Which element sizes do tables have?
fn element(evidence: &Evidence<'_>, scale: &mut Scale) {
    let size = evidence.table.element;
    if is_known_table(evidence) && size > 64 {
        return;
    }
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
        _ if size.is_multiple_of(8) && size < 64 => {
            scale.add(0, "element_struct", format!("{size} bytes per descriptor: a small structure"));
        }
        _ if size.is_multiple_of(8) => {
            scale.add(
                -1,
                "element_large",
                format!("{size} bytes per descriptor: a large structure, which few tables hold"),
            );
        }
        _ => scale.add(
            -2,
            "element_odd",
            format!("{size} bytes per descriptor: an unusual size for a structure"),
        ),
    }
}

/// Who learned the limit, and how?
fn knowledge(evidence: &Evidence<'_>, scale: &mut Scale) {
    let learned = &evidence.table.learned;
    match learned.forks {
        _ if !evidence.is_look_up_seen() => in_force(evidence, scale),
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
        LEARNED_READ_HARD if evidence.is_look_up_seen() => scale.add(
            -2,
            "limit_hard",
            "it is the hard limit that came along with a look-up; tables follow the soft one",
        ),
        LEARNED_READ_HARD => {
            scale.add(-2, "limit_hard", "it is the hard limit; tables follow the soft one");
        }
        _ => {}
    }
}

/// A scan knows the limit, and not whether anybody asked for it.
fn in_force(evidence: &Evidence<'_>, scale: &mut Scale) {
    if is_known_table(evidence) {
        let text = "the limit is the one in force now, and the program is known to go by it";
        scale.add(1, "limit_in_force", text);
    } else {
        let text = "the limit is the one in force now: that the program looked it up was not seen";
        scale.add(-1, "limit_in_force", text);
    }
}

/// There is no time window, but most tables follow at once.
fn time(evidence: &Evidence<'_>, scale: &mut Scale) {
    let Some(lag_ns) = evidence.region.lag_ns else { return };
    let asked_ns = evidence.table.learned.time_ns.saturating_add(lag_ns);
    let lag = swept_until(evidence, asked_ns).map_or(lag_ns, |end_ns| asked_ns.saturating_sub(end_ns));
    let after = Nanos(lag_ns);
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
fn swept_until(evidence: &Evidence<'_>, asked_ns: u64) -> Option<u64> {
    let sweep: CloseSweep = evidence.process.sweep?;
    (sweep.last_ns >= evidence.table.learned.time_ns && sweep.last_ns <= asked_ns).then_some(sweep.last_ns)
}

fn size(evidence: &Evidence<'_>, scale: &mut Scale) {
    let total = evidence.table.total.max(evidence.table.length);
    if total < 16 * MIB {
        scale.add(-2, "small", format!("{} in all: many allocations are of this size", Bytes(total)));
    } else if total < 64 * MIB {
        scale.add(-1, "small", format!("{} in all: allocations of this size are not rare", Bytes(total)));
    } else if total >= GIB {
        scale.add(1, "large", format!("{} in all: few programs ask for this much at once", Bytes(total)));
    }
    // What fits jemalloc's classes looks as jemalloc has it.
    if evidence.table.flags & MAP_NORESERVE != 0 && evidence.fit != Fit::SizeClass {
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
    let few = if evidence.region.length >= GIB { LARGE_ALIKE_MAX } else { ALIKE_MAX };
    if alike > few || evidence.table.ordinal > 12 {
        scale.add(-4, "repeated", format!("region {} of its kind in this process, {alike} of the same length: arenas, stacks and buffers come in numbers", evidence.table.ordinal));
        scale.cap(Confidence::Low);
    } else if alike > ALIKE_MAX {
        scale.add(0, "alike_large", format!("{alike} regions of {} each: tables of one program come so, and so does address space that is only reserved", Bytes(evidence.region.length)));
        if evidence.state == State::Mapped {
            scale.cap(Confidence::Medium);
        }
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
    let Some(program) = evidence.program.filter(|program| !program.element_bytes.is_empty()) else { return };
    let size = evidence.table.element;
    if is_known_table(evidence) && !program.element_bytes.contains(&size) {
        let text =
            format!("{} is known to keep tables that add up to {size} bytes per descriptor", program.name);
        scale.add(4, "program_known", text);
        scale.add(1, "several_tables", "tables side by side make one area");
    } else if is_known_table(evidence) {
        scale.add(
            4,
            "program_known",
            format!("{} is known to keep a table with {size} bytes per descriptor", program.name),
        );
    } else {
        scale.add(
            1,
            "program_family",
            format!("{} is known to size memory by the descriptor limit", program.name),
        );
    }
}

/// Whether the program is known to keep a table of just this element size.
fn is_known_table(evidence: &Evidence<'_>) -> bool {
    let (known, element) = (evidence.known_elements(), evidence.table.element);
    known.contains(&element) || (!evidence.is_look_up_seen() && is_sum_of_tables(known, element))
}

fn state(evidence: &Evidence<'_>, scale: &mut Scale) {
    let table = evidence.table;
    // Whoever asks for a region of an unlikely shape touches it as well.
    let proves = evidence.state == State::Touched && table.element <= 64 && table.touched >= table.total / 2;
    scale.points += i32::from(proves);
    scale.reasons.push(match evidence.state {
        State::Failed => Reason {
            code: "refused",
            text: format!(
                "the kernel refused {} ({}): most programs exit or abort now, with no OOM kill anywhere",
                Bytes(table.length),
                errno(table.result)
            ),
        },
        State::Mapped | State::Touched if evidence.is_look_up_seen() => progress(table.touched, table.total),
        State::Mapped | State::Touched => residence(table.touched, table.total),
    });
}

/// Whether a good part of the tables is resident.
pub(super) const fn is_touched(touched: u64, total: u64) -> bool {
    touched != 0 && touched >= total / 16
}

/// How much of the tables is resident.
pub(super) fn progress(touched: u64, total: u64) -> Reason {
    let (have, whole) = (Bytes(touched), Bytes(total));
    if !is_touched(touched, total) {
        let text = format!("{whole} mapped, {have} of it touched so far: untouched memory costs nothing");
        return Reason { code: "mapped_only", text };
    }
    let text = format!("{have} of the {whole} were touched");
    Reason { code: touched_code(touched, total), text }
}

const fn touched_code(touched: u64, total: u64) -> &'static str {
    if touched >= total / 2 { "touched" } else { "touched_partly" }
}

/// The same where the pages of the tables themselves were counted; `UNKNOWN` where they could not be.
fn residence(touched: u64, total: u64) -> Reason {
    if touched == UNKNOWN {
        let text = "how much of it is resident could not be read".to_owned();
        return Reason { code: "residence_unknown", text };
    }
    if !is_touched(touched, total) {
        return progress(touched, total);
    }
    let text = format!("{} of the {} are resident or swapped out", Bytes(touched), Bytes(total));
    Reason { code: touched_code(touched, total), text }
}

/// How the process ended, as a reason of its last report.
pub(super) fn end(state: State, oom_killed: bool, status: u32, lived_ns: u64) -> Reason {
    let (signal, code) = (status & 0x7f, (status >> 8) & 0xff);
    let how = if signal == 0 {
        format!("exited with status {code}")
    } else {
        format!("was ended by signal {signal}{}", signal_name(signal))
    };
    let after = Nanos(lived_ns);
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
