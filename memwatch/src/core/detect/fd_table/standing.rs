//! Tables that stand already: areas of a living process, weighed as the live detector weighs what it sees asked for.
//!
//! In: the limits in force and the areas that they explain. Out: one finding for the process, about the table that is
//! the surest. Nobody saw the limit looked up or the memory asked for, so the signs of both weigh nothing or little.

use std::sync::Arc;

use memwatch_ebpf::abi::event::{FdTable, SOURCE_BRK, SOURCE_MMAP, TABLE_MAPPED, TABLE_TOUCHED, UNKNOWN};
use memwatch_ebpf::abi::state::{LEARNED_READ_HARD, Learned};
use memwatch_ebpf::table::{ELEMENT_MAX, Fit, MAP_NORESERVE, Match, explain_area, explain_heap};

use super::programs::{Program, is_sum_of_tables, largest_element, largest_sum};
use super::{Finding, Process, Sight, Source, advice, explain, region_floor};
use crate::core::fact::Identity;
use crate::core::origin::{Limits, Origin};

/// Areas kept of one process, the largest. A program has a handful of tables; one with more has none.
pub const AREAS_MAX: usize = 32;

/// Bytes beside the table that are forgiven to a program known to keep one, at any limit: what a program maps at its
/// start lies next to it.
const KNOWN_SLACK: u64 = 32 << 10;
/// What is forgiven to others as a share of the limit: so at most one length in 256 fits.
const SLACK_SHARE: u64 = 64;
/// Of an area whose larger part is what the tables of a known program come to: the share that may be something else, the
/// bytes, and how large the tables have to be, as small areas fit by chance.
const JOINED_SHARE: u64 = 8;
const JOINED_MAX: u64 = 4 << 20;

/// An area of writable, private, anonymous memory whose length follows from a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its first address.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
    /// Whether it is the heap of `brk`.
    pub is_heap: bool,
    /// Whether it does not reserve memory (`MAP_NORESERVE`).
    pub is_noreserve: bool,
    /// Bytes of it that are resident or swapped out, when that could be read.
    pub touched: Option<u64>,
    /// The limit that explains it.
    limit: u64,
    /// Whether that is the hard limit and not the soft one.
    is_hard: bool,
    found: Match,
}

impl Area {
    /// The area, if a limit of its process explains its length. `known`: bytes per descriptor of the tables that its program
    /// is known to keep.
    #[must_use]
    pub fn explained(start: u64, length: u64, is_heap: bool, limits: Limits, known: &[u32]) -> Option<Self> {
        let explain = |limit: u64| {
            if is_heap {
                return explain_heap(limit, length);
            }
            let slack = (limit / SLACK_SHARE).max(if known.is_empty() { 0 } else { KNOWN_SLACK });
            let any = explain_area(limit, length, slack);
            any.filter(|found| is_sum_of_tables(known, found.element))
                .or_else(|| explain_joined(limit, length, known))
                .or(any)
        };
        let soft = explain(limits.soft).map(|found| (limits.soft, false, found));
        let hard = || explain(limits.hard).map(|found| (limits.hard, true, found));
        let (limit, is_hard, found) = soft.or_else(hard)?;
        Some(Self { start, length, is_heap, is_noreserve: false, touched: None, limit, is_hard, found })
    }

    fn table(&self) -> FdTable {
        let how = if self.is_hard { LEARNED_READ_HARD } else { 0 };
        FdTable {
            learned: Learned { limit: self.limit, how, ..Learned::default() },
            length: self.length,
            overhead: self.found.overhead,
            result: i64::try_from(self.start).unwrap_or_default(),
            element: self.found.element,
            fit: self.found.fit as u32,
            source: if self.is_heap { SOURCE_BRK } else { SOURCE_MMAP },
            flags: if self.is_noreserve { MAP_NORESERVE } else { 0 },
            ..FdTable::default()
        }
    }
}

/// Explains an area by tables that a program is known to keep and, for the smaller part, other memory that the kernel joined
/// to them.
fn explain_joined(limit: u64, length: u64, known: &[u32]) -> Option<Match> {
    let most = u32::try_from(length.checked_div(limit)?).unwrap_or(u32::MAX).min(largest_sum(known));
    let element = (1..=most).rev().find(|element| is_sum_of_tables(known, *element))?;
    let tables = limit.checked_mul(element.into()).filter(|tables| *tables >= JOINED_MAX)?;
    let overhead = length.checked_sub(tables)?;
    (overhead <= JOINED_MAX.min(length / JOINED_SHARE)).then_some(Match {
        element,
        overhead,
        fit: Fit::Merged,
    })
}

/// The areas of one process that a limit explains: the largest of them, and the sum of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    kept: Vec<Area>,
    count: u32,
    total: u64,
}

impl Areas {
    /// Whether a process with these limits and so much private memory can have areas that come to `total`.
    #[must_use]
    pub fn are_possible(limits: Limits, data_bytes: u64, total: u64) -> bool {
        let limit = limits.soft.max(limits.hard);
        let largest = limit.saturating_mul(ELEMENT_MAX).saturating_add(limit / SLACK_SHARE + KNOWN_SLACK);
        data_bytes >= total && largest >= region_floor(total)
    }

    /// Adds one; the smallest gives way when there are more than [`AREAS_MAX`].
    pub fn add(&mut self, area: Area) {
        self.count = self.count.saturating_add(1);
        self.total = self.total.saturating_add(area.length);
        if self.kept.len() < AREAS_MAX {
            self.kept.push(area);
        } else if let Some(smallest) = self.kept.iter_mut().min_by_key(|kept| kept.length)
            && smallest.length < area.length
        {
            *smallest = area;
        }
    }

    /// Bytes of all that were added.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Those that are kept.
    pub fn kept_mut(&mut self) -> &mut [Area] {
        &mut self.kept
    }

    /// Bytes of the kept ones that are resident or swapped out; `None` when that is not known of one of them.
    #[must_use]
    pub fn touched(&self) -> Option<u64> {
        self.kept.iter().try_fold(0_u64, |sum, area| Some(sum.saturating_add(area.touched?)))
    }

    /// What to make of them: the finding about the area that is the surest, the largest of several; `None` without one.
    #[must_use]
    pub fn appraise(&self, identity: &Arc<Identity>, time_ns: u64) -> Option<Finding> {
        let touched = self.touched();
        let mut process = Process::default();
        let mut tables: Vec<FdTable> = self.kept.iter().map(Area::table).collect();
        for (table, ordinal) in tables.iter_mut().zip(1..) {
            (table.ordinal, table.total, table.touched) = (ordinal, self.total, touched.unwrap_or(UNKNOWN));
            table.state = if touched.is_some() { TABLE_TOUCHED } else { TABLE_MAPPED };
            // Even in state mapped the time of the request is not known, which only the other state tells.
            process.note(time_ns, 0, &FdTable { state: TABLE_TOUCHED, ..*table });
        }
        let appraised = self.kept.iter().zip(&mut tables).map(|(area, table)| {
            let region = process.note(time_ns, 0, &FdTable { state: TABLE_TOUCHED, ..*table });
            table.ordinal = self.count;
            let source = if area.is_heap { Source::Brk } else { Source::Mmap };
            let fit = area.found.fit;
            explain(
                Sight { process: identity, time_ns, learned_by: None, table, fit, source },
                &region,
                &process,
                0,
            )
        });
        appraised.max_by_key(|finding| (finding.confidence, finding.bytes))
    }
}

/// What a known program would ask for if it were started now.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    program: &'static Program,
}

impl Expectation {
    /// Whether any program could be expected to ask for `bytes` at this limit.
    #[must_use]
    pub fn is_possible(limit: u64, bytes: u64) -> bool {
        limit.saturating_mul(largest_element()) >= bytes
    }

    /// The program that a process runs, if it is known to keep a table of its own and to write to it. The name of the
    /// process decides only where its executable is not known.
    #[must_use]
    pub fn of(exe: Option<&[u8]>, comm: &[u8]) -> Option<Self> {
        let program = Program::named(exe, comm)?;
        (!program.element_bytes.is_empty() && !program.untouched).then_some(Self { program })
    }

    /// Its name, as people write it.
    #[must_use]
    pub fn program(&self) -> &'static str {
        &self.program.name
    }

    /// Bytes per descriptor of its largest table: the others, and other versions' tables, are not added.
    #[must_use]
    pub fn element(&self) -> u32 {
        self.program.element_bytes.iter().copied().max().unwrap_or(0)
    }

    /// Bytes of that table at this limit: what the program asks for at least.
    #[must_use]
    pub fn bytes(&self, limit: u64) -> u64 {
        let slots = self.program.slots_max.map_or(limit, |max| limit.min(max));
        slots.saturating_mul(self.element().into())
    }

    /// Whether the argument vector holds the setting that bounds the table.
    #[must_use]
    pub fn is_bounded_by(&self, args: &[Vec<u8>]) -> bool {
        let Some(setting) = &self.program.setting else { return false };
        let name = setting.name.trim_start_matches('-').as_bytes();
        args.iter().skip(1).any(|arg| {
            let dashes = arg.iter().take_while(|&&byte| byte == b'-').count();
            let rest = arg.get(dashes..).and_then(|word| word.strip_prefix(name));
            rest.is_some_and(|rest| rest.first().is_none_or(|next| !next.is_ascii_alphabetic()))
        })
    }

    /// What to do about it, as the detector would say once it had happened.
    #[must_use]
    pub fn advice(&self, process: &Identity, limit: u64, origin: Option<&Origin>) -> String {
        let bytes = self.bytes(limit);
        let learned = Learned { limit, ..Learned::default() };
        let (element, total) = (self.element(), bytes);
        advice::advise(
            process,
            Some(self.program),
            origin,
            &FdTable { learned, length: bytes, element, total, ..FdTable::default() },
        )
    }
}

/// Bytes per descriptor of the tables that a program of this executable or name is known to keep: its areas are forgiven more.
#[must_use]
pub fn known_elements(process: &Identity) -> &'static [u32] {
    Program::of(process).map_or(&[], |program| &program.element_bytes)
}

#[cfg(test)]
mod tests;
