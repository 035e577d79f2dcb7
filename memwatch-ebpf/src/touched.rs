//! What a process touches of its fd tables, counted by the page faults inside them: growth elsewhere is no table's.
//!
//! A fault is told before it is handled (`hook/touch.rs`), so its page is counted at the next look of its thread: one page,
//! if RSS grew where that is seen exactly (`resident.rs`); a huge page, if RSS grew by one and the page tables have it
//! (`paging.rs`). Where they cannot be read, the growth has to do, once for each huge page, and is taken back when the next
//! fault disproves it. What the kernel writes for the process (a read into a table) faults as well; pages that it looks up
//! without a fault (`mlock`, direct I/O) are not counted. Until the first fault is seen (the program that sees them is
//! attached once a table was found) any growth since the table counts, for reports only: a signal needs faults. Pages given
//! back by `madvise` and touched again are counted again, but never more than the process has of anonymous memory.
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use memwatch_ebpf::abi::event::{ACTION_SIGNAL_TOUCHED, FdTable, Kind, TABLE_TOUCHED};
use memwatch_ebpf::abi::state::{FAULT_NONE, FAULT_WRITE, FAULTS_MAX, Process, Progress, TableFault, Tables};
use memwatch_ebpf::table::whole;

use crate::emit::{emit, knobs, wanted};
use crate::maps::{RULES, add, offset};
use crate::paging::{self, HUGE_PAGE};
use crate::task::Kptr;
use crate::{resident, rule};

/// Touched growth is reported from here on (or from half of a smaller table), and again at every doubling.
const FIRST_REPORT: u64 = 1 << 20;
/// Growth that passes for a huge page: the counters may lag by some pages a CPU.
const HUGE_GROWTH: u64 = HUGE_PAGE - HUGE_PAGE / 8;
/// Resident memory that the counters of other CPUs may hide.
const UNSEEN: u64 = 2 << 20;

/// The first table was granted, with this much anonymous memory resident.
#[inline(always)]
pub(crate) fn begin(tables: &mut Tables, length: u64, anon: u64) {
    let next_report = if length < 2 * FIRST_REPORT { length / 2 } else { FIRST_REPORT };
    tables.progress = Progress { touched: 0, unseen: 0, next_report, anon, huge: 0, is_seen: 0, _pad: 0 };
}

/// Bytes of the tables that were touched, as it is reported.
#[inline(always)]
pub(crate) fn so_far(tables: &Tables) -> u64 {
    let touched = tables.progress.touched + tables.progress.unseen;
    if touched < tables.total { touched } else { tables.total }
}

/// The kernel filled a table as it was asked to, before the first fault, which reports it.
#[inline(always)]
pub(crate) fn populated(process: &mut Process, length: u64) {
    count(&mut process.tables, length);
}

/// The current process, which owns tables, is about to get a page, or to be refused it.
#[inline(always)]
pub(crate) fn faulted(process: &mut Process, address: u64, kind: u32) {
    settle(process, resident::current_mm(), true);
    process.tables.progress.is_seen = 1;
    let page = u64::from(offset!(page_size));
    let kind = if kind != FAULT_NONE && within(&process.tables, address & !(page - 1), page) != 0 {
        kind
    } else {
        FAULT_NONE
    };
    if kind == FAULT_WRITE {
        disprove(&mut process.tables, address);
    }
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let anon = process.resident.anon;
    *own_fault(&mut process.tables) = TableFault { address, anon, cpu, kind };
    tell(process);
}

/// The current process was looked at for another reason.
#[inline(always)]
pub(crate) fn looked_at(process: &mut Process, mm: u64) {
    if process.tables.total == 0 {
        return;
    }
    settle(process, mm, false);
    tell(process);
}

/// Tables were given back, or parts of them: what was touched there is touched no longer.
#[inline(always)]
pub(crate) fn shrank(process: &mut Process, freed: u64, mm: u64) {
    let anon = resident::own_anon(Kptr(mm));
    let progress = &mut process.tables.progress;
    if progress.is_seen == 0 {
        let grown = anon.saturating_sub(progress.anon);
        if progress.touched > grown {
            progress.touched = grown;
        }
        progress.unseen = grown - progress.touched;
    } else {
        let dropped = progress.anon.saturating_sub(anon);
        let dropped = if dropped < freed { dropped } else { freed };
        progress.unseen = progress.unseen.saturating_sub(dropped.saturating_sub(progress.touched));
        progress.touched = progress.touched.saturating_sub(dropped);
        progress.anon = anon;
    }
    limit(&mut process.tables);
}

/// The place of the current thread's last fault. Two threads may share one: the fault of the other is settled as if it were
/// handled.
#[inline(always)]
fn own_fault(tables: &mut Tables) -> &mut TableFault {
    let place = unsafe { bpf_get_current_pid_tgid() } as usize & (FAULTS_MAX - 1);
    // Masked: the place exists.
    unsafe { &mut *tables.faults.as_mut_ptr().add(place) }
}

/// Bytes of a part of the address space that lie in tables.
#[inline(always)]
fn within(tables: &Tables, start: u64, length: u64) -> u64 {
    let end = start.wrapping_add(length);
    let mut bytes: u64 = 0;
    for region in &tables.regions {
        let region_end = region.start.wrapping_add(region.length);
        let from = if start > region.start { start } else { region.start };
        let to = if end < region_end { end } else { region_end };
        bytes += to.saturating_sub(from);
    }
    bytes
}

/// Counts the page of the thread's last fault, which is handled when the thread has another. A sample may come in the middle of
/// it: what is not seen then is still to come.
#[inline(always)]
fn settle(process: &mut Process, mm: u64, is_handled: bool) {
    let anon = resident::own_anon(Kptr(mm));
    process.resident.anon = anon;
    let progress = &mut process.tables.progress;
    if progress.is_seen == 0 {
        // No fault to go by yet: the growth as a whole.
        let grown = anon.saturating_sub(progress.anon);
        if grown > progress.touched + progress.unseen {
            progress.unseen = grown - progress.touched;
        }
        return;
    }
    progress.anon = anon;
    let fault = *own_fault(&mut process.tables);
    if fault.kind == FAULT_NONE {
        return;
    }
    let bytes = size(&mut process.tables, &fault, anon, is_handled);
    if bytes == 0 {
        return;
    }
    own_fault(&mut process.tables).kind = FAULT_NONE;
    count(&mut process.tables, bytes);
    let progress = &mut process.tables.progress;
    if progress.touched > anon {
        let most = anon + resident::swapped(Kptr(mm)) + UNSEEN;
        if progress.touched > most {
            progress.touched = most;
        }
    }
}

/// Bytes of tables that a fault made resident, by how anonymous RSS grew since. Other threads grow it too, and so does what the
/// kernel fills: it tells that something came, not what.
#[inline(always)]
fn size(tables: &mut Tables, fault: &TableFault, anon: u64, is_handled: bool) -> u64 {
    let page = u64::from(offset!(page_size));
    let grown = anon.saturating_sub(fault.anon);
    let block = fault.address & !(HUGE_PAGE - 1);
    if grown >= HUGE_PAGE / 2 && block != tables.progress.huge {
        let bytes = within(tables, block, HUGE_PAGE);
        let looks_huge = grown >= HUGE_GROWTH && bytes == HUGE_PAGE;
        if paging::is_huge(fault.address).unwrap_or(looks_huge) {
            tables.progress.huge = block;
            return bytes;
        }
    }
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if resident::is_exact() && cpu == fault.cpu && anon >= fault.anon {
        if grown < page { grown } else { page }
    } else if fault.kind == FAULT_WRITE && is_handled {
        page
    } else {
        0
    }
}

/// A page is missing: if it lies in the huge page that was counted last, that is none, or none any more.
#[inline(always)]
fn disprove(tables: &mut Tables, address: u64) {
    let block = address & !(HUGE_PAGE - 1);
    if block != tables.progress.huge || paging::is_huge(address) == Some(true) {
        return;
    }
    let page = u64::from(offset!(page_size));
    let bytes = within(tables, block, HUGE_PAGE);
    let progress = &mut tables.progress;
    progress.touched = progress.touched.saturating_sub(bytes.saturating_sub(page));
}

/// Adds to what was touched; several threads may do so at once.
#[inline(always)]
fn count(tables: &mut Tables, bytes: u64) {
    add(&raw mut tables.progress.touched, bytes);
    limit(tables);
}

/// Holds what was touched down to what there is.
#[inline(always)]
pub(crate) fn limit(tables: &mut Tables) {
    if tables.progress.touched > tables.total {
        tables.progress.touched = tables.total;
    }
}

/// Reports what was touched when a step is reached, and acts when a rule's bound is.
#[inline(always)]
fn tell(process: &mut Process) {
    let Progress { touched: certain, next_report, is_seen, .. } = process.tables.progress;
    let touched = so_far(&process.tables);
    if touched >= next_report {
        process.tables.progress.next_report = next_step(process, touched);
        report(process, touched);
    }
    let bound = process.tables.bound;
    if bound != 0 && certain >= bound && is_seen != 0 {
        process.tables.bound = 0;
        if let Some(rule) = RULES.get(process.tables.rule)
            && rule.action == ACTION_SIGNAL_TOUCHED
        {
            let result = rule::signal(rule);
            rule::report_signal(process, rule, certain, bound, result);
        }
    }
}

/// Doubling steps, the last of which is the whole (rounding of RSS left aside).
#[inline(always)]
fn next_step(process: &Process, touched: u64) -> u64 {
    let double = touched * 2;
    let whole = whole(process.tables.total);
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
