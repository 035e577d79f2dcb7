//! The fd-table detector's kernel half: does this region follow from a limit the process learned, and what becomes of it?

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use memwatch_ebpf::abi::event::{
    ACTION_SIGNAL_MAPPED, ACTION_SIGNAL_TOUCHED, FdTable, Kind, SOURCE_BRK, SOURCE_MMAP, SOURCE_MREMAP,
    TABLE_FAILED, TABLE_MAPPED, TABLE_SIGNALLED,
};
use memwatch_ebpf::abi::offsets::ABSENT;
use memwatch_ebpf::abi::state::{LEARNED_MAX, Process, REGIONS_MAX, Region, Tables};
use memwatch_ebpf::table::{Match, Shape, explain_heap, explain_mapping, is_asked_again};

use crate::emit::{emit, knobs, wanted};
use crate::maps::{PROCESSES, RULES, offset};
use crate::process::{current_tgid, end_sweep, swept};
use crate::task::Kptr;
use crate::{resident, rule, touched};

/// What a request gets that finds no memory.
pub(crate) const ENOMEM: i64 = 12;

/// An allocator that is refused asks in other ways within this time, and nobody else did.
const ASKED_AGAIN_NS: u64 = 10_000_000;

/// A table of at least so many bytes that is asked for within this time of the look-up is hardly an accident.
const LARGE: u64 = 1 << 30;
const AT_ONCE_NS: u64 = 10_000_000;

/// `MAP_POPULATE | MAP_LOCKED`: the kernel fills the region before the call returns.
const POPULATED: u32 = 0xa000;
/// `VM_LOCKED` and `VM_LOCKONFAULT` (include/linux/mm.h).
const LOCKED: u64 = 0x2000;
const LOCKED_ON_FAULT: u64 = 0x8_0000;

/// The place in what [`fd_table_explain`] gave. Masked: the verifier knows nothing of what a global function returns.
#[inline(always)]
const fn place(explained: u64) -> usize {
    (explained >> 32) as usize & (LEARNED_MAX - 1)
}

/// The limit that explains a length best (the better fit, then the one learned last): its place in the upper half, the packed
/// explanation in the lower; 0 for none. A global function, so that what it keeps on the stack is
/// not added to what its callers do: before 6.8 all frames have 512 bytes together (kernel/bpf/verifier.c,
/// check_max_stack_depth).
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fd_table_explain(source: u32, length: u64, flags: u32) -> u64 {
    let Some(process) = PROCESSES.get_ptr_mut(current_tgid()) else { return 0 };
    let mut best = 0;
    let mut best_time = 0;
    let mut place = 0;
    for (index, learned) in unsafe { &*process }.learned.iter().enumerate() {
        let fit = fd_table_fit(learned.limit, length, source, flags);
        // The fit stands in the upper bits: a smaller number is a better one.
        if fit != 0
            && (best == 0
                || fit >> 16 < best >> 16
                || (fit >> 16 == best >> 16 && learned.time_ns > best_time))
        {
            (best, best_time, place) = (fit, learned.time_ns, index);
        }
    }
    if best == 0 { 0 } else { (place as u64) << 32 | u64::from(best) }
}

/// The best explanation of a length as one number, 0 for none (see [`Match::pack`]). A global function, which the
/// verifier walks through once: inlined four times over it costs some 80,000 instructions at each load.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fd_table_fit(limit: u64, length: u64, source: u32, flags: u32) -> u32 {
    let found = if source == SOURCE_BRK {
        explain_heap(limit, length)
    } else {
        explain_mapping(limit, length, flags)
    };
    match found {
        Some(found) => found.pack(),
        None => 0,
    }
}

/// How sure the length of a table makes, for the rule of this index, 0 when it is none; `explained` is what [`fd_table_explain`]
/// gave. A rule acts at once: it cannot wait for signs that come later, or that user space alone can weigh. A global function, as
/// [`fd_table_fit`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fd_table_certainty(rule: u32, length: u64, explained: u64) -> u32 {
    let Some(rule) = RULES.get(rule) else { return 0 };
    let Some(process) = PROCESSES.get_ptr_mut(current_tgid()) else { return 0 };
    if explained == 0 {
        return 0;
    }
    // Masked: the place exists.
    let (closes, learned) =
        unsafe { (swept(&*process), &*(*process).learned.as_ptr().add(place(explained))) };
    let (limit, found) = (learned.limit, explained as u32);
    let lag = unsafe { bpf_ktime_get_boot_ns() }.wrapping_sub(learned.time_ns);
    let mut is_backed = (length >= LARGE && lag < AT_ONCE_NS) || (closes >= limit / 2 && closes <= limit * 2);
    for element in &rule.elements {
        is_backed |= *element == found & 0xffff;
    }
    shape_certainty(limit, length, found, is_backed.into())
}

/// How sure a shape makes, 0 when it is none. A global function, so that it is walked through once and not with each of the ways
/// that lead to `is_backed`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn shape_certainty(limit: u64, length: u64, found: u32, is_backed: u32) -> u32 {
    match Shape::of_packed(limit, length, found) {
        Some(shape) => shape.certainty(is_backed != 0) as u32,
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
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if failed
        && is_asked_again(process.failed, length)
        && now.wrapping_sub(process.failed_ns) < ASKED_AGAIN_NS
    {
        process.failed_ns = now;
        return;
    }
    let explained = fd_table_explain(source, length, flags);
    if explained == 0 {
        return;
    }
    let found = explained as u32;
    if failed {
        (process.failed, process.failed_ns) = (length, now);
    }
    // Masked: the place exists.
    let learned = unsafe { process.learned.as_ptr().add(place(explained)) };
    end_sweep(process);
    let mm = resident::current_mm();
    let anon = resident::own_anon(Kptr(mm));
    process.tables.count += 1;
    // Before it is told: who hears of the table knows then whether it was acted on.
    let struck = if failed { None } else { rule::find(knobs, ACTION_SIGNAL_MAPPED, length, || explained) };
    let outcome = struck.map(|(_, rule)| rule::signal(rule));
    let state = match outcome {
        _ if failed => TABLE_FAILED,
        Some(0) => TABLE_SIGNALLED,
        _ => TABLE_MAPPED,
    };
    // Written straight to each of its places: before 6.8 the stack has no room for a copy beside what calls this
    // (kernel/bpf/verifier.c, check_max_stack_depth).
    let describe = |process: &Process, table: &mut FdTable| {
        *table = FdTable {
            learned: unsafe { *learned },
            length,
            overhead: Match::overhead_of(found, unsafe { (*learned).limit }, length),
            result,
            total: process.tables.total,
            touched: touched::so_far(&process.tables),
            anon,
            element: found & 0xffff,
            fit: found >> 16,
            state,
            source,
            flags,
            ordinal: process.tables.count,
        };
    };
    if !failed {
        process.resident.anon = anon;
        if process.tables.total == 0 {
            touched::begin(&mut process.tables, length, anon);
        }
        keep(&mut process.tables, result as u64, length);
        if length >= process.tables.standing {
            process.tables.standing = length;
            let largest = &raw mut process.tables.largest;
            describe(process, unsafe { &mut *largest });
        }
    }
    if wanted(knobs, Kind::FdTable) {
        emit::<FdTable>(Kind::FdTable, process, |body| describe(process, body));
    }
    if failed {
        return;
    }
    if let (Some((_, rule)), Some(result)) = (struck, outcome) {
        rule::report_signal(process, rule, length, rule.min_table, result);
    }
    if let Some((index, rule)) = rule::find(knobs, ACTION_SIGNAL_TOUCHED, length, || explained) {
        process.tables.bound = rule.touched;
        process.tables.rule = index;
    }
    if flags & POPULATED != 0 || is_locked(mm) {
        touched::populated(process, length);
    }
}

/// Whether the process has everything locked that it maps (`mlockall`), which the kernel fills then as well.
#[inline(always)]
fn is_locked(mm: u64) -> bool {
    offset!(mm_default_flags) != ABSENT
        && Kptr(mm).peek::<u64>(offset!(mm_default_flags)) & (LOCKED | LOCKED_ON_FAULT) == LOCKED
}

/// Follows a table until it is given back; when there is no room, the smallest is followed no longer: only its length is
/// remembered.
#[inline(always)]
fn keep(tables: &mut Tables, start: u64, length: u64) {
    tables.total += length;
    let mut place = 0;
    let mut smallest = u64::MAX;
    for (index, region) in tables.regions.iter().enumerate() {
        if region.length < smallest {
            (place, smallest) = (index, region.length);
        }
    }
    if length > smallest {
        // Masked: the slot exists.
        unsafe { *tables.regions.as_mut_ptr().add(place & (REGIONS_MAX - 1)) = Region { start, length } };
        tables.unfollowed += smallest;
    } else {
        tables.unfollowed += length;
    }
}

/// Memory was unmapped. Where no table is followed it may have been one that is not, if it is as long as one: the sum of a
/// process that asks for small tables again and again would grow at each of them.
#[inline(always)]
pub(crate) fn unmapped(process: &mut Process, start: u64, length: u64) {
    let floor = knobs().map_or(u64::MAX, |knobs| knobs.min_table);
    if released(process, start, length)
        || length < floor
        || length > process.tables.unfollowed
        || fd_table_explain(SOURCE_MMAP, length, 0) == 0
    {
        return;
    }
    let tables = &mut process.tables;
    tables.unfollowed -= length;
    tables.total = tables.total.saturating_sub(length);
    touched::limit(tables);
}

/// Part of the address space was given back or holds something else now: tables that lay there count no longer. Gives
/// whether there was one.
#[inline(always)]
pub(crate) fn released(process: &mut Process, start: u64, length: u64) -> bool {
    if process.tables.total == 0 {
        return false;
    }
    let freed = cut(&mut process.tables, start, length);
    if freed != 0 {
        touched::shrank(process, freed, resident::current_mm());
    }
    if process.tables.total == 0 {
        process.tables.bound = 0;
    }
    freed != 0
}

/// A region was moved or resized. What was a table stays one as long as it shrinks or keeps its length; one that grew
/// is looked at anew. What was touched of it moves along. The region may hold more than the table: the kernel resizes
/// neighbouring mappings of one kind as one.
#[inline(always)]
pub(crate) fn remapped(process: &mut Process, (start, before): (u64, u64), (result, after): (i64, u64)) {
    if result < 0 && result > -4096 {
        if after > before {
            consider(process, SOURCE_MREMAP, after, 0, result);
        }
        return;
    }
    let to = result as u64;
    let is_moved = to != start;
    if is_moved {
        // Whatever lay there is gone (MREMAP_FIXED).
        released(process, to, after);
    }
    let progress = process.tables.progress;
    let is_largest = is_moved && process.tables.largest.result == start as i64;
    let (from, length) =
        if is_moved || after > before { (start, before) } else { (start + after, before - after) };
    let freed = if process.tables.total == 0 { 0 } else { cut(&mut process.tables, from, length) };
    if after > before {
        if may_be_private(after) {
            consider(process, SOURCE_MREMAP, after, 0, result);
        }
    } else if freed != 0 && is_moved {
        let kept = if freed < after { freed } else { after };
        keep(&mut process.tables, to, kept);
        if is_largest {
            process.tables.largest.result = result;
            process.tables.standing = kept;
        }
    }
    if freed != 0 {
        process.tables.progress = progress;
        let gone = before.saturating_sub(after);
        touched::shrank(process, if freed < gone { freed } else { gone }, resident::current_mm());
        if process.tables.total == 0 {
            process.tables.bound = 0;
        }
    }
}

/// Whether the process has as much private, writable memory as a region that it resized: `mremap` does not tell what
/// the region is. Shared or read-only memory of a process that has more than that elsewhere passes as private.
#[inline(always)]
fn may_be_private(length: u64) -> bool {
    let pages = Kptr(resident::current_mm()).peek::<u64>(offset!(mm_data_vm));
    offset!(mm_data_vm) == ABSENT || pages.wrapping_mul(u64::from(offset!(page_size))) >= length
}

/// Takes part of the address space out of the tables; gives the bytes of tables that lay there.
#[inline(always)]
fn cut(tables: &mut Tables, start: u64, length: u64) -> u64 {
    let end = start.wrapping_add(length);
    let largest = tables.largest.result as u64;
    let mut freed = 0;
    // Of one region at most both ends are left: regions do not overlap.
    let mut tail = 0;
    for region in &mut tables.regions {
        let region_end = region.start.wrapping_add(region.length);
        let from = if start > region.start { start } else { region.start };
        let to = if end < region_end { end } else { region_end };
        if region.length == 0 || from >= to {
            continue;
        }
        freed += to - from;
        if region.start.wrapping_sub(largest) < tables.largest.length {
            tables.standing = tables.standing.saturating_sub(to - from);
        }
        if from == region.start {
            region.start = to;
            region.length = region_end - to;
        } else {
            tail = region_end - to;
            region.length = from - region.start;
        }
    }
    tables.total = tables.total.saturating_sub(freed + tail);
    if tail != 0 {
        keep(tables, end, tail);
    }
    freed
}
