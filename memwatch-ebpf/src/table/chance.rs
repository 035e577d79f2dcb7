//! How surprising is it that a length fits a limit at all, and how sure does that make by itself?
//!
//! A step of 4 x N bytes holds N / 1,024 lengths in whole pages, of which one fits: that is the chance of an accident.
//! People and allocators like round lengths, though, and where the limit is round as well, only the round ones count
//! as the alternatives: 512 MiB is 8 x 2^26, and it is 512 MiB.

use super::{ELEMENT_MIN, Fit, HEAP_PAD, Match, PAGE, power_of_two_above};

const MIB: u64 = 1 << 20;
/// Rounder than this is not rarer: lengths of many GiB are all round.
const ROUND_MAX: u64 = 4 * MIB;
/// Fewer lengths than this, and nearly every one fits.
const FEW: u64 = 8;
/// Fewer lengths than this, and one that fits is not rare.
const SOME: u64 = 512;

/// How sure a length makes that it is a table's, by itself. Numbers are wire numbers; 0 is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Certainty {
    /// The length fits, as lengths do.
    Low = 1,
    /// Few lengths fit.
    Medium = 2,
    /// An accident is far-fetched.
    High = 3,
}

/// The chance that a length fits by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// Nearly every length fits once it is rounded to pages.
    Any,
    /// One length in so many fits.
    OneIn(u64),
    /// Length and limit are both round: one round length in so many fits.
    Round(u64),
}

/// A length and what explains it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The limit N.
    pub limit: u64,
    /// The length L.
    pub length: u64,
    /// Bytes of L that the table does not need.
    pub overhead: u64,
    /// How L follows from N.
    pub fit: Fit,
}

impl Shape {
    /// The chance of an accident. It says nothing of a size class, one of which nearly always fits.
    #[must_use]
    #[inline(always)]
    pub const fn chance(&self) -> Chance {
        let beside = self.beside();
        let steps = self.limit / (PAGE / ELEMENT_MIN) / (1 + beside / PAGE);
        if steps < FEW {
            return Chance::Any;
        }
        let without = if matches!(self.fit, Fit::Aligned) { self.overhead } else { beside };
        let unit = roundness(self.length.wrapping_sub(without));
        if unit >= MIB && self.is_round_limit() {
            // The unit is a power of two of at least a mebibyte.
            return Chance::Round(match self.limit.checked_div(unit / ELEMENT_MIN) {
                Some(steps) => steps,
                None => 0,
            });
        }
        Chance::OneIn(steps)
    }

    /// How sure the length makes. `is_backed` says that something else speaks for a table of this element here.
    #[must_use]
    #[inline(always)]
    pub const fn certainty(&self, is_backed: bool) -> Certainty {
        if matches!(self.fit, Fit::SizeClass) {
            return if is_backed { Certainty::Medium } else { Certainty::Low };
        }
        let certainty = match self.chance() {
            Chance::Any => Certainty::Low,
            Chance::OneIn(_) | Chance::Round(_) if is_backed => Certainty::High,
            Chance::Round(0..FEW) => Certainty::Low,
            Chance::OneIn(0..SOME) | Chance::Round(0..SOME) => Certainty::Medium,
            Chance::OneIn(_) | Chance::Round(_) => Certainty::High,
        };
        if matches!((self.fit, certainty), (Fit::Aligned | Fit::Heap, Certainty::High)) {
            return Certainty::Medium;
        }
        certainty
    }

    /// The shape behind a packed explanation ([`Match::pack`]); `None` for a fit that nobody gave.
    #[must_use]
    #[inline(always)]
    pub const fn of_packed(limit: u64, length: u64, packed: u32) -> Option<Self> {
        match Fit::from_number(packed >> 16) {
            Some(fit) => {
                Some(Self { limit, length, overhead: Match::overhead_of(packed, limit, length), fit })
            }
            None => None,
        }
    }

    /// Bytes of an area that belong to other mappings, or that a table may have besides: each page of them makes one more
    /// length fit.
    const fn beside(&self) -> u64 {
        match self.fit {
            Fit::Merged | Fit::Capped => self.overhead.saturating_sub(1) / PAGE * PAGE,
            // Four alignments are tried.
            Fit::Aligned => 4 * PAGE,
            // A pad more or less.
            Fit::Heap => 2 * HEAP_PAD,
            Fit::Exact | Fit::PowerOfTwo | Fit::SizeClass => 0,
        }
    }

    /// Whether multiples of what the table was sized by are round: 2^26, the power of two above, 2^30 - 8.
    const fn is_round_limit(&self) -> bool {
        let above = power_of_two_above(self.limit);
        !matches!(self.fit, Fit::Exact | Fit::Merged | Fit::Aligned)
            || self.limit & 0xffff == 0
            || above - self.limit <= above >> 16
    }
}

/// The power of two that a length is a multiple of, with or without the page of an allocator's header.
const fn roundness(length: u64) -> u64 {
    const fn power(length: u64) -> u64 {
        length & length.wrapping_neg()
    }
    let (whole, headed) = (power(length), power(length.saturating_sub(PAGE)));
    let unit = if whole > headed { whole } else { headed };
    if unit < ROUND_MAX { unit } else { ROUND_MAX }
}

#[cfg(test)]
mod tests {
    use super::super::{explain_heap, explain_mapping};
    use super::*;

    fn shape(limit: u64, length: u64) -> Shape {
        let found = explain_mapping(limit, length, 0).expect("a match");
        Shape::of_packed(limit, length, found.pack()).expect("a fit")
    }

    fn malloc(bytes: u64) -> u64 {
        (bytes + 16).next_multiple_of(PAGE)
    }

    const HUGE: u64 = (1 << 30) - 8;

    #[test]
    fn tables_at_the_limit_of_the_incidents_are_certain() {
        for length in [malloc(HUGE * 8), malloc(HUGE * 4), malloc(HUGE * 56), 16 << 27] {
            assert_eq!(shape(HUGE, length).certainty(false), Certainty::High, "{length}");
        }
        assert_eq!(shape(1_000_003, malloc(1_000_003 * 8)).certainty(false), Certainty::High);
    }

    #[test]
    fn round_lengths_at_round_limits_are_not() {
        // A buffer of 96 MiB by malloc is 96 x 2^20, one of 512 MiB is 8 x 2^26.
        for (limit, length) in [(1 << 20, malloc(96 << 20)), (1 << 19, 64 << 20), (1 << 20, 1 << 30)] {
            assert_eq!(shape(limit, length).certainty(false), Certainty::Low, "{limit}, {length}");
            assert_eq!(shape(limit, length).certainty(true), Certainty::High, "{limit}, {length}");
        }
        assert_eq!(shape(1 << 26, malloc(512 << 20)).certainty(false), Certainty::Medium);
        assert_eq!(shape(1 << 26, malloc(512 << 20)).certainty(true), Certainty::High);
    }

    #[test]
    fn small_limits_fit_too_much() {
        assert_eq!(shape(4_096, malloc(4_096 * 16)).certainty(true), Certainty::Low);
        assert_eq!(shape(20_000, malloc(20_000 * 1024)).certainty(false), Certainty::Medium);
        assert_eq!(shape(20_000, malloc(20_000 * 1024)).certainty(true), Certainty::High);
    }

    #[test]
    fn other_fits_are_never_certain() {
        let class = shape(1_100_003, 10 << 20);
        assert_eq!(class.fit, Fit::SizeClass);
        assert_eq!((class.certainty(false), class.certainty(true)), (Certainty::Low, Certainty::Medium));
        let aligned = shape(1_000_003, (1_000_003 * 8 + (2 << 20) + 56u64).next_multiple_of(PAGE));
        assert_eq!((aligned.fit, aligned.certainty(true)), (Fit::Aligned, Certainty::Medium));
        let growth = (1_000_003u64 * 8 + 16 + 128 * 1024).next_multiple_of(PAGE);
        let heap = explain_heap(1_000_003, growth).expect("a match");
        let heap = Shape::of_packed(1_000_003, growth, heap.pack()).expect("a fit");
        assert_eq!((heap.fit, heap.certainty(true)), (Fit::Heap, Certainty::Medium));
    }
}
