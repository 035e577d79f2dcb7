//! How surprising is it that this length fits this limit at all? The kernel side reckons with the same chance, by the same
//! code, where a rule acts.

use memwatch_ebpf::table::{Chance, Fit, Shape};

use super::{Bytes, Confidence, Evidence, GIB, MS, Scale, is_known_table, swept};

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
    let (length, overhead, fit) = (evidence.table.length, evidence.table.overhead, evidence.fit);
    let steps = match (Shape { limit, length, overhead, fit }).chance() {
        Chance::Any => {
            let text =
                format!("with a limit of {limit} nearly every length fits once it is rounded to pages");
            scale.add(-6, "any_length_fits", text);
            return scale.cap(Confidence::Low);
        }
        Chance::Round(steps) => {
            let points = match steps {
                0..8 => -2,
                8..512 => 0,
                _ => 2,
            };
            let text = format!("{} is round, and so is the limit of {limit}", Bytes(length));
            scale.add(points, "length_round", text);
            if steps < 512 && !is_known_table(evidence) && !swept(evidence) && !follows_at_once(evidence) {
                scale.cap(Confidence::Medium);
            }
            return;
        }
        Chance::OneIn(steps) => steps,
    };
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
