//! Order statistics.

/// The value below which `share` (0 to 1) of the sorted values lie; 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    sorted.get(index.min(last)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 50.0], 0.5), 3.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.99), 2.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
