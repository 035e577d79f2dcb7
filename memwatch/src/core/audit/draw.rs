//! Which pages are looked at when not all are.
//!
//! The pages of an object are cut into runs of `one_in`, and one page of each run is drawn at random: every page has the
//! same chance, and the draws lie evenly. What is drawn depends on the object and the run alone, so that every process
//! that maps a file is looked at in the same places, and a page mapped by several is met in each of them.

use std::ops::Range;

/// Pages drawn at most, so that a run takes about as long on any host: 10^5 single reads take a tenth of a second.
const DRAWS_MAX: u64 = 200_000;
/// Below this it is as cheap to read every page: a single page costs as much as about sixteen in a row.
const ONE_IN_MIN: u64 = 16;

/// One page in how many, and the chance that chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    one_in: u64,
    seed: u64,
}

impl Draw {
    /// Every page.
    pub const EVERY: Self = Self { one_in: 1, seed: 0 };

    /// One page in `one_in`; 0 is taken for 1.
    #[must_use]
    pub const fn one_in(one_in: u64, seed: u64) -> Self {
        Self { one_in: if one_in == 0 { 1 } else { one_in }, seed }
    }

    /// The rate that suits so many mapped pages.
    #[must_use]
    pub const fn suiting(pages: u64, seed: u64) -> Self {
        let one_in = pages.div_ceil(DRAWS_MAX).next_power_of_two();
        if one_in <= ONE_IN_MIN { Self::EVERY } else { Self::one_in(one_in, seed) }
    }

    /// Pages for each that is drawn.
    #[must_use]
    pub const fn rate(self) -> u64 {
        self.one_in
    }

    /// Whether every page is read.
    #[must_use]
    pub const fn is_every(self) -> bool {
        self.one_in == 1
    }

    /// The numbers of the pages drawn among these of an object.
    pub fn pages(self, object: u64, among: Range<u64>) -> impl Iterator<Item = u64> {
        let first = among.start / self.one_in;
        let last = among.end.div_ceil(self.one_in);
        (first..last).filter_map(move |run| {
            let page = run * self.one_in + mixed(self.seed ^ mixed(object) ^ mixed(run)) % self.one_in;
            among.contains(&page).then_some(page)
        })
    }
}

/// The finaliser of splitmix64: every bit of the number changes half of the bits of the result.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_gives_one_page_whatever_part_is_asked_for() {
        let draw = Draw::one_in(64, 7);
        let whole: Vec<_> = draw.pages(3, 0..6_400).collect();
        assert_eq!(whole.len(), 100);
        assert!(whole.iter().enumerate().all(|(run, page)| page / 64 == run as u64));
        let parts: Vec<_> = [0..100, 100..101, 101..5_000, 5_000..6_400]
            .into_iter()
            .flat_map(|part| draw.pages(3, part))
            .collect();
        assert_eq!(parts, whole);
        assert_ne!(draw.pages(4, 0..6_400).collect::<Vec<_>>(), whole);
    }

    #[test]
    fn small_hosts_are_read_whole_and_large_ones_in_bounded_draws() {
        assert!(Draw::suiting(3_000_000, 1).is_every());
        for pages in [4_000_000, 11_534_336, 1 << 32, 1 << 40] {
            let draw = Draw::suiting(pages, 1);
            assert!(!draw.is_every() && pages / draw.rate() <= DRAWS_MAX, "{pages}: {draw:?}");
        }
        assert_eq!(Draw::EVERY.pages(9, 5..8).collect::<Vec<_>>(), [5, 6, 7]);
    }
}
