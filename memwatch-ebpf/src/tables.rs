//! The fd-table detector's kernel half: does this region follow from a limit the process learned, and is it touched?

use memwatch_ebpf::abi::event::{
    ACTION_SIGNAL_MAPPED, ACTION_SIGNAL_TOUCHED, FdTable, Kind, SOURCE_BRK, TABLE_FAILED, TABLE_MAPPED,
    TABLE_TOUCHED,
};
use memwatch_ebpf::abi::state::{LEARNED_MAX, Learned, Process, Region};
use memwatch_ebpf::table::{Match, explain_heap, explain_mapping};

use crate::emit::{emit, knobs, wanted};
use crate::maps::RULES;
use crate::process::{end_sweep, watch};
use crate::task::Kptr;
use crate::{resident, rule};

/// Touched growth is reported from here on (or from half of a smaller table), and again at every doubling.
const FIRST_REPORT: u64 = 1 << 20;

/// What a request gets that finds no memory.
pub(crate) const ENOMEM: i64 = 12;

/// The limit that explains a length best (the better fit, then the one learned last), and the packed explanation.
#[inline(always)]
pub(crate) fn explain(process: &Process, source: u32, length: u64) -> Option<(Learned, u32)> {
    let mut best = 0;
    let mut best_time = 0;
    let mut place = LEARNED_MAX;
    for (index, learned) in process.learned.iter().enumerate() {
        let fit = fd_table_fit(learned.limit, length, source);
        // The fit stands in the upper bits: a smaller number is a better one.
        if fit != 0
            && (best == 0
                || fit >> 16 < best >> 16
                || (fit >> 16 == best >> 16 && learned.time_ns > best_time))
        {
            (best, best_time, place) = (fit, learned.time_ns, index);
        }
    }
    if place >= LEARNED_MAX {
        return None;
    }
    let learned = unsafe { *process.learned.as_ptr().add(place) };
    Some((learned, best))
}

/// The best explanation of a length as one number, 0 for none (see [`Match::pack`]). A global function, which the
/// verifier walks through once: inlined four times over it costs some 80,000 instructions at each load.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fd_table_fit(limit: u64, length: u64, source: u32) -> u32 {
    let found =
        if source == SOURCE_BRK { explain_heap(limit, length) } else { explain_mapping(limit, length) };
    match found {
        Some(found) => found.pack(),
        None => 0,
    }
}

/// Looks at a region that was asked for: `result` is its address or a negative errno.
#[inline(always)]
pub(crate) fn consider(process: &mut Process, source: u32, length: u64, flags: u32, result: i64) {
    let Some(knobs) = knobs() else { return };
    if length < knobs.min_table || length == 0 {
        return;
    }
    let failed = result < 0 && result > -4096;
    // Another error is about the request itself, which a smaller limit would not have mended.
    if failed && result != -ENOMEM {
        return;
    }
    let Some((learned, found)) = explain(process, source, length) else { return };
    end_sweep(process);
    let mm = resident::current_mm();
    let anon = resident::own_anon(Kptr(mm));
    process.tables.count += 1;
    // Written straight to each of its places: before 6.8 the stack has no room for a copy beside what calls this
    // (kernel/bpf/verifier.c, check_max_stack_depth).
    let describe = |process: &Process, table: &mut FdTable| {
        *table = FdTable {
            learned,
            length,
            overhead: Match::overhead_of(found, learned.limit, length),
            result,
            total: process.tables.total,
            touched: process.tables.touched,
            anon,
            element: found & 0xffff,
            fit: found >> 16,
            state: if failed { TABLE_FAILED } else { TABLE_MAPPED },
            source,
            flags,
            ordinal: process.tables.count,
        };
    };
    if !failed {
        process.resident.anon = anon;
        if process.tables.total == 0 {
            process.tables.anon_before = anon;
            process.tables.touched = 0;
            process.tables.next_report = if length < 2 * FIRST_REPORT { length / 2 } else { FIRST_REPORT };
        }
        keep(process, result as u64, length);
        if length >= process.tables.largest.length {
            let largest = &raw mut process.tables.largest;
            describe(process, unsafe { &mut *largest });
        }
        watch(process, mm);
    }
    if wanted(knobs, Kind::FdTable) {
        emit::<FdTable>(Kind::FdTable, process, |body| describe(process, body));
    }
    if failed {
        return;
    }
    if let Some((_, rule)) = rule::find(knobs, ACTION_SIGNAL_MAPPED, length) {
        rule::signal(process, rule, length, rule.min_table);
    }
    if let Some((index, rule)) = rule::find(knobs, ACTION_SIGNAL_TOUCHED, length) {
        process.tables.bound = rule.touched;
        process.tables.rule = index;
    }
}

/// Follows a table until it is given back; one more than there is room for, until the process ends.
#[inline(always)]
fn keep(process: &mut Process, start: u64, length: u64) {
    process.tables.total += length;
    for region in &mut process.tables.regions {
        if region.length == 0 {
            *region = Region { start, length };
            return;
        }
    }
}

/// Part of the address space was given back: tables that lay there count no longer. Gives the bytes of tables that did.
#[inline(always)]
pub(crate) fn released(process: &mut Process, start: u64, length: u64) -> u64 {
    if process.tables.total == 0 {
        return 0;
    }
    let end = start.wrapping_add(length);
    let mut freed = 0;
    // Of one region at most both ends are left: regions do not overlap.
    let mut tail = Region { start: end, length: 0 };
    for region in &mut process.tables.regions {
        let region_end = region.start.wrapping_add(region.length);
        let from = if start > region.start { start } else { region.start };
        let to = if end < region_end { end } else { region_end };
        if region.length == 0 || from >= to {
            continue;
        }
        freed += to - from;
        if from == region.start {
            region.start = to;
            region.length = region_end - to;
        } else {
            tail.length = region_end - to;
            region.length = from - region.start;
        }
    }
    let tables = &mut process.tables;
    tables.total = tables.total.saturating_sub(freed + tail.length);
    if tail.length != 0 {
        keep(process, tail.start, tail.length);
    }
    let tables = &mut process.tables;
    if tables.touched > tables.total {
        tables.touched = tables.total;
    }
    if freed != 0 {
        tables.largest.length = 0;
    }
    if tables.total == 0 {
        tables.bound = 0;
    }
    freed
}

/// A region was moved or resized in place: what was a table stays one, as long as it is now.
#[inline(always)]
pub(crate) fn moved(process: &mut Process, freed: u64, start: u64, length: u64) {
    if freed != 0 && length != 0 {
        keep(process, start, length);
    }
}

/// The anonymous RSS of the current process was looked at: reports touched growth, and acts on it.
#[inline(always)]
pub(crate) fn grown(process: &mut Process) {
    if process.tables.total == 0 {
        return;
    }
    let growth = process.resident.anon.saturating_sub(process.tables.anon_before);
    let touched = if growth < process.tables.total { growth } else { process.tables.total };
    if touched > process.tables.touched {
        process.tables.touched = touched;
    }
    if touched >= process.tables.next_report {
        process.tables.next_report = next_step(process, touched);
        report_touched(process, touched);
    }
    let bound = process.tables.bound;
    if bound != 0 && touched >= bound {
        process.tables.bound = 0;
        if let Some(rule) = RULES.get(process.tables.rule)
            && rule.action == ACTION_SIGNAL_TOUCHED
        {
            rule::signal(process, rule, touched, bound);
        }
    }
}

/// Doubling steps, the last of which is the whole (rounding of RSS left aside).
#[inline(always)]
fn next_step(process: &Process, touched: u64) -> u64 {
    let double = touched * 2;
    let whole = process.tables.total - process.tables.total / 64;
    if double < whole || touched >= whole { double } else { whole }
}

#[inline(always)]
fn report_touched(process: &Process, touched: u64) {
    let Some(knobs) = knobs() else { return };
    if wanted(knobs, Kind::FdTable) {
        emit::<FdTable>(Kind::FdTable, process, |body| {
            *body = process.tables.largest;
            body.state = TABLE_TOUCHED;
            body.total = process.tables.total;
            body.touched = touched;
            body.anon = process.resident.anon;
        });
    }
}
