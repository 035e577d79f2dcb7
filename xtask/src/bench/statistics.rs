//! Order statistics, and how they are written.

/// Values in order, with what is told of them.
pub(super) struct Sample(Vec<f64>);

impl Sample {
    /// Of values in any order.
    pub(super) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which `share` (0 to 1) of them lie; 0 of none.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
    }

    /// The middle one.
    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// `MEDIAN (QUARTILE..QUARTILE)`, each as `write` writes it.
    pub(super) fn spread(&self, write: impl Fn(f64) -> String) -> String {
        format!("{} ({}..{})", write(self.median()), write(self.quantile(0.25)), write(self.quantile(0.75)))
    }
}

/// A share as a change in per cent: 1.1 is `+10.0 %`.
pub(super) fn change(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

/// What is written of a goal: whether the figure is within it.
pub(super) const fn verdict(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "**not reached**" }
}

#[cfg(test)]
mod tests {
    use super::{Sample, change};

    #[test]
    fn a_spread_is_the_median_within_the_quartiles() {
        let sample = Sample::new([5.0, 1.0, 3.0, 2.0, 90.0]);
        assert_eq!(sample.spread(|value| format!("{value:.0}")), "3 (2..5)");
        assert_eq!(Sample::new([]).median(), 0.0);
    }

    #[test]
    fn changes_carry_their_sign() {
        assert_eq!(change(1.1), "+10.0 %");
        assert_eq!(change(0.995), "-0.5 %");
    }
}
