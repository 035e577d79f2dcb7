//! A figure with the interval it lies in.
//!
//! Each page counts with a weight and was drawn with the same chance, at most one of a run of neighbours. The number
//! drawn then varies no more than one of Poisson's distribution, whose interval is taken here in closed form,
//! `(sqrt(n) - 0.98)^2 .. (sqrt(n + 1) + 0.98)^2`: it holds the exact one (Garwood 1936) within a tenth of a page at
//! both ends, also where none or hardly any were drawn. Weights enter by the number of equal ones that vary alike.

/// Bytes, with their 95 % interval; without sampling both ends are the figure itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Estimate {
    /// The figure.
    pub bytes: u64,
    /// Lower end.
    pub low: u64,
    /// Upper end.
    pub high: u64,
}

impl Estimate {
    /// A figure without doubt.
    #[must_use]
    pub const fn exact(bytes: u64) -> Self {
        Self { bytes, low: bytes, high: bytes }
    }

    /// Moved up by a figure without doubt.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_add(bytes),
            low: self.low.saturating_add(bytes),
            high: self.high.saturating_add(bytes),
        }
    }

    /// How much lies above this: from a figure without doubt to this one, not below 0.
    #[must_use]
    pub const fn above(self, bytes: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(bytes),
            low: self.low.saturating_sub(bytes),
            high: self.high.saturating_sub(bytes),
        }
    }

    /// How much of a figure without doubt this leaves, not below 0.
    #[must_use]
    pub const fn left_of(self, bytes: u64) -> Self {
        Self {
            bytes: bytes.saturating_sub(self.bytes),
            low: bytes.saturating_sub(self.high),
            high: bytes.saturating_sub(self.low),
        }
    }

    /// Both together; the ends are added, which covers errors that go the same way.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            low: self.low.saturating_add(other.low),
            high: self.high.saturating_add(other.high),
        }
    }

    /// Whether the interval holds a value.
    #[must_use]
    pub const fn holds(self, bytes: u64) -> bool {
        self.low <= bytes && bytes <= self.high
    }
}

/// Sums of weights of the pages drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    sum: f64,
    squares: f64,
}

/// Half the length of the interval of a square root of Poisson's distribution: 1.96 / 2.
const HALF: f64 = 0.98;

impl Weights {
    /// Adds pages of one weight.
    pub fn add(&mut self, pages: u64, weight: f64) {
        let pages = pages as f64;
        self.sum += pages * weight;
        self.squares += pages * weight * weight;
    }

    /// Adds those of another sum.
    pub fn join(&mut self, other: Self) {
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// What they stand for when one page in `rate` was drawn.
    #[must_use]
    pub fn estimate(self, rate: u64, page_bytes: u64) -> Estimate {
        let unit = rate as f64 * page_bytes as f64;
        let bytes = |pages: f64| (pages * unit).round() as u64;
        if rate == 1 {
            return Estimate::exact(bytes(self.sum));
        }
        // Of none the weight is not known either; it is at most that of a page held alone.
        let (count, each) = if self.squares > 0.0 {
            (self.sum * self.sum / self.squares, self.squares / self.sum)
        } else {
            (0.0, 1.0)
        };
        let low = (count.sqrt() - HALF).max(0.0).powi(2);
        let high = ((count + 1.0).sqrt() + HALF).powi(2);
        Estimate { bytes: bytes(self.sum), low: bytes(low * each), high: bytes(high * each) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::audit::Draw;

    const PAGE: u64 = 4096;

    #[test]
    fn the_interval_is_that_of_poisson_s_distribution() {
        // Garwood's limits at 95 %, from tables, in pages.
        for (count, low, high) in [(0, 0.0, 3.69), (1, 0.025, 5.57), (10, 4.80, 18.39), (100, 81.4, 121.6)] {
            let mut weights = Weights::default();
            weights.add(count, 1.0);
            let estimate = weights.estimate(64, PAGE);
            let pages = |bytes: u64| bytes as f64 / 64.0 / PAGE as f64;
            assert!((pages(estimate.low) - low).abs() < 0.3, "{count}: {estimate:?}");
            assert!((0.0..0.3).contains(&(pages(estimate.high) - high)), "{count}: {estimate:?}");
        }
    }

    #[test]
    fn all_pages_leave_no_doubt() {
        let mut weights = Weights::default();
        weights.add(3, 0.5);
        assert_eq!(weights.estimate(1, PAGE), Estimate::exact(6144));
        assert_eq!(Estimate::exact(5).left_of(3), Estimate::exact(0));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]
        /// Pages of an object lie in stretches, some rare; over 200 draws the truth is in the interval in 95 of 100.
        #[test]
        fn the_truth_lies_in_the_interval(
            stretches in proptest::collection::vec((1_u64..9_000, 1_u32..=4, 0_u32..=100), 1..12),
            rate_bits in 4_u32..9,
            salt: u64,
        ) {
            // A stretch is (length, mapped by so many, per cent resident); where its pages lie is settled once.
            let mut pages = Vec::new();
            for (length, mapped_by, share) in stretches {
                pages.extend((0..length).map(|page| {
                    let chance = (page ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                    (chance % 100 < u64::from(share)).then(|| 1.0 / f64::from(mapped_by))
                }));
            }
            let truth = (pages.iter().flatten().sum::<f64>() * PAGE as f64).round() as u64;
            let inside = (0..200_u64).filter(|&seed| {
                let draw = Draw::one_in(1 << rate_bits, seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
                let mut weights = Weights::default();
                for page in draw.pages(salt, 0..pages.len() as u64) {
                    if let Some(weight) = pages[page as usize] {
                        weights.add(1, weight);
                    }
                }
                weights.estimate(draw.rate(), PAGE).holds(truth)
            });
            let inside = inside.count();
            // 190 less three standard deviations of what 200 draws count of it.
            proptest::prop_assert!(inside >= 181, "{inside} of 200 intervals hold {truth}");
        }
    }
}
