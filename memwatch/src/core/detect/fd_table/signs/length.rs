//! How surprising is it that this length fits this limit at all?
//!
//! A step of 4 x N bytes holds N / 1,024 lengths in whole pages, of which one fits: that is the chance of an
//! accident. People and allocators like round lengths, though, and where the limit is round as well, only the round
//! ones count as the alternatives: 512 MiB is 8 x 2^26, and it is 512 MiB.

use memwatch_ebpf::table::{ELEMENT_MIN, Fit};

use super::{Bytes, Confidence, Evidence, GIB, MIB, MS, Scale, is_known_table, swept};

const PAGE: u64 = 4096;
/// Rounder than this is not rarer: lengths of many GiB are all round.
const ROUND_MAX: u64 = 4 * MIB;

/// Weighs the length against the limit.
pub(super) fn weigh(evidence: &Evidence<'_>, scale: &mut Scale) {
    let (limit, element) = (evidence.table.learned.limit, evidence.table.element);
    let length = Bytes(evidence.table.length);
    match evidence.fit {
        Fit::Exact => {
            scale.add(0, "fit_exact", format!("{length} is {limit} x {element} bytes, rounded up to a page"));
        }
        Fit::PowerOfTwo => {
            let text = format!("{length} is {element} bytes for each of the power of two above {limit}");
            scale.add(0, "fit_power_of_two", text);
        }
        Fit::Capped => {
            let text =
                format!("{length} is 16 bytes for each of 2^27, where Erlang's tables end, below {limit}");
            scale.add(0, "fit_capped", text);
        }
        Fit::SizeClass => {
            let text = format!("{length} is what jemalloc makes of {limit} x {element} bytes, and of others");
            scale.add(0, "fit_size_class", text);
            // Classes are a fifth of their length apart: with a small element each of them fits some multiple.
            scale.cap(Confidence::Medium);
            return;
        }
        Fit::Merged => {
            let beside = Bytes(evidence.table.overhead);
            let text = format!("{length} is {limit} x {element} bytes, and {beside} of mappings beside them");
            scale.add(0, "fit_merged", text);
        }
        Fit::Aligned => {
            let text = format!("{length} is {limit} x {element} bytes and room to align them");
            scale.add(-1, "fit_aligned", text);
            scale.cap(Confidence::Medium);
        }
        Fit::Heap => {
            let text = format!("the heap grew by {length}: {limit} x {element} bytes and malloc's padding");
            scale.add(-1, "fit_heap", text);
            scale.cap(Confidence::Medium);
        }
    }
    chance(evidence, scale);
}

fn chance(evidence: &Evidence<'_>, scale: &mut Scale) {
    let limit = evidence.table.learned.limit;
    let steps = limit / (PAGE / ELEMENT_MIN) / (1 + beside(evidence) / PAGE);
    if steps < 8 {
        let text = format!("with a limit of {limit} nearly every length fits once it is rounded to pages");
        scale.add(-6, "any_length_fits", text);
        scale.cap(Confidence::Low);
        return;
    }
    let without = if evidence.fit == Fit::Aligned { evidence.table.overhead } else { beside(evidence) };
    let unit = roundness(evidence.table.length - without);
    if unit >= MIB && is_round_limit(evidence) {
        let round_steps = limit / (unit / ELEMENT_MIN);
        let points = match round_steps {
            0..8 => -2,
            8..512 => 0,
            _ => 2,
        };
        let text = format!("{} is round, and so is the limit of {limit}", Bytes(evidence.table.length));
        scale.add(points, "length_round", text);
        if round_steps < 512 && !is_known_table(evidence) && !swept(evidence) && !follows_at_once(evidence) {
            scale.cap(Confidence::Medium);
        }
        return;
    }
    let text = format!("one length in {steps} fits a limit of {limit} by accident");
    match steps {
        8..512 => scale.add(0, "chance_considerable", text),
        512..16_384 => scale.add(3, "chance_small", text),
        _ => scale.add(4, "chance_tiny", text),
    }
}

/// Whether a very large request follows the look-up with next to nothing in between. Where the limit is round, every
/// table is: the length cannot tell there, but what the program does between look-up and request can.
fn follows_at_once(evidence: &Evidence<'_>) -> bool {
    evidence.table.length >= GIB && evidence.region.lag_ns.is_some_and(|lag_ns| lag_ns < 10 * MS)
}

/// Bytes of an area that belong to other mappings, or that a table may have besides: each page of them makes one more length fit.
fn beside(evidence: &Evidence<'_>) -> u64 {
    match evidence.fit {
        Fit::Merged | Fit::Capped => evidence.table.overhead.saturating_sub(1) / PAGE * PAGE,
        // Four alignments are tried.
        Fit::Aligned => 4 * PAGE,
        Fit::Exact | Fit::PowerOfTwo | Fit::SizeClass | Fit::Heap => 0,
    }
}

/// The power of two that a length is a multiple of, with or without the page of an allocator's header.
fn roundness(length: u64) -> u64 {
    let power = |length: u64| if length == 0 { 1 } else { 1 << length.trailing_zeros() };
    power(length).max(power(length.saturating_sub(PAGE))).min(ROUND_MAX)
}

/// Whether multiples of what the table was sized by are round: 2^26, the power of two above, 2^30 - 8.
fn is_round_limit(evidence: &Evidence<'_>) -> bool {
    let limit = evidence.table.learned.limit;
    let above = limit.checked_next_power_of_two().unwrap_or(limit);
    !matches!(evidence.fit, Fit::Exact | Fit::Merged | Fit::Aligned)
        || limit.trailing_zeros() >= 16
        || above - limit <= above >> 16
}
