//! Decimal numbers in bytes.

/// The unsigned decimal number that `text` is; `None` when it is anything else or does not fit.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// [`decimal`] in 32 bits.
pub(crate) fn decimal_u32(text: &[u8]) -> Option<u32> {
    decimal(text).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_that_fit_are_numbers() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"+1", b" 1", b"1\n", b"0x1"] {
            assert_eq!(decimal(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(decimal_u32(b"4294967296"), None);
    }
}
