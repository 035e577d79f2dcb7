//! What a process touches of its fd tables, counted by the page faults inside them: growth elsewhere is no table's.
//!
//! A fault is told before it is handled (`hook/touch.rs`), so its page is counted at the next look: as many bytes as
//! anonymous RSS grew by since, at most a huge page. On another CPU than the fault's, and where parts of the counters
//! cannot be read (`resident.rs`), the smallest page is taken for a write unless they show a huge one. Memory that the kernel itself fills (a read into a table) is not
//! counted. Until the first fault is seen (the program that sees them is attached once a table was found) any growth
//! since the table counts, for reports only: a signal needs faults. Pages given back by `madvise` and touched again are
//! counted again, but never more than the process has of anonymous memory.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use memwatch_ebpf::abi::event::{ACTION_SIGNAL_TOUCHED, FdTable, Kind, TABLE_TOUCHED};
use memwatch_ebpf::abi::state::{
    FAULT_ELSEWHERE, FAULT_READ, FAULT_UNSEEN, FAULT_WRITE, Process, Progress, Tables,
};

use crate::emit::{emit, knobs, wanted};
use crate::maps::{RULES, offset};
use crate::task::Kptr;
use crate::{resident, rule};

/// Touched growth is reported from here on (or from half of a smaller table), and again at every doubling.
const FIRST_REPORT: u64 = 1 << 20;
/// The most that one fault makes resident.
const HUGE_PAGE: u64 = 2 << 20;
/// Resident memory that the counters of other CPUs may hide.
const UNSEEN: u64 = 2 << 20;

/// The first table was granted, with this much anonymous memory resident.
#[inline(always)]
pub(crate) fn begin(tables: &mut Tables, length: u64, anon: u64) {
    let next_report = if length < 2 * FIRST_REPORT { length / 2 } else { FIRST_REPORT };
    tables.progress = Progress { touched: 0, next_report, anon, place: FAULT_UNSEEN, cpu: 0 };
}

/// The kernel filled a table as it was asked to, before the first fault, which reports it.
#[inline(always)]
pub(crate) fn populated(process: &mut Process, length: u64) {
    count(&mut process.tables, length);
}

/// The current process, which owns tables, is about to get a page.
#[inline(always)]
pub(crate) fn faulted(process: &mut Process, address: u64, is_missing_write: bool) {
    let mut place = FAULT_ELSEWHERE;
    for region in &process.tables.regions {
        if address.wrapping_sub(region.start) < region.length {
            place = if is_missing_write { FAULT_WRITE } else { FAULT_READ };
        }
    }
    settle(process, resident::current_mm());
    let progress = &mut process.tables.progress;
    progress.anon = process.resident.anon;
    progress.cpu = unsafe { bpf_get_smp_processor_id() };
    progress.place = place;
    tell(process);
}

/// The current process was looked at for another reason.
#[inline(always)]
pub(crate) fn looked_at(process: &mut Process, mm: u64) {
    if process.tables.total == 0 {
        return;
    }
    settle(process, mm);
    tell(process);
}

/// Tables were given back, or parts of them: what was touched there is touched no longer.
#[inline(always)]
pub(crate) fn shrank(process: &mut Process, freed: u64, mm: u64) {
    let anon = resident::own_anon(Kptr(mm));
    let tables = &mut process.tables;
    let progress = &mut tables.progress;
    if progress.place == FAULT_UNSEEN {
        progress.touched = anon.saturating_sub(progress.anon);
    } else {
        let dropped = progress.anon.saturating_sub(anon);
        let dropped = if dropped < freed { dropped } else { freed };
        progress.touched = progress.touched.saturating_sub(dropped);
        progress.anon = anon;
        progress.place = FAULT_ELSEWHERE;
    }
    if progress.touched > tables.total {
        progress.touched = tables.total;
    }
}

/// Counts the page of the last fault.
#[inline(always)]
fn settle(process: &mut Process, mm: u64) {
    let anon = resident::own_anon(Kptr(mm));
    let cpu = unsafe { bpf_get_smp_processor_id() };
    process.resident.anon = anon;
    let before = process.tables.progress;
    let grown = anon.saturating_sub(before.anon);
    if before.place == FAULT_UNSEEN {
        // No fault to go by yet: the growth as a whole, and the state stays.
        if grown > before.touched {
            count(&mut process.tables, grown - before.touched);
        }
        return;
    }
    let progress = &mut process.tables.progress;
    progress.anon = anon;
    progress.cpu = cpu;
    let page = if before.place == FAULT_WRITE { u64::from(offset!(page_size)) } else { 0 };
    let bytes = if before.place == FAULT_ELSEWHERE {
        0
    } else if grown >= HUGE_PAGE {
        HUGE_PAGE
    } else if grown >= HUGE_PAGE / 2 || (resident::is_exact() && cpu == before.cpu && anon >= before.anon) {
        grown
    } else {
        page
    };
    // A sample may come in the middle of a fault: the page is still to come then.
    if bytes != 0 {
        process.tables.progress.place = FAULT_ELSEWHERE;
    }
    count(&mut process.tables, bytes);
    let progress = &mut process.tables.progress;
    if progress.touched > anon {
        let most = anon + resident::swapped(Kptr(mm)) + UNSEEN;
        if progress.touched > most {
            progress.touched = most;
        }
    }
}

#[inline(always)]
fn count(tables: &mut Tables, bytes: u64) {
    let touched = tables.progress.touched + bytes;
    tables.progress.touched = if touched < tables.total { touched } else { tables.total };
}

/// Reports what was touched when a step is reached, and acts when a rule's bound is.
#[inline(always)]
fn tell(process: &mut Process) {
    let Progress { touched, next_report, place, .. } = process.tables.progress;
    if touched >= next_report {
        process.tables.progress.next_report = next_step(process, touched);
        report(process, touched);
    }
    let bound = process.tables.bound;
    if bound != 0 && touched >= bound && place != FAULT_UNSEEN {
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
fn report(process: &Process, touched: u64) {
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
