//! Sizes, durations and counts in words: one form wherever a person reads them.

use std::fmt;

use bytesize::ByteSize;

/// Bytes, shown as `8.0 GiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ByteSize::b(self.0).display().iec())
    }
}

/// Nanoseconds, shown as `1.5 ms`, `2.5 s` or `3 min 20 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nanos(pub(crate) u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        // Tenths, rounded down, in integers: 999.96 ms must not read as 1000.0 ms.
        let tenths = |unit: u64| (ns / unit, ns % unit * 10 / unit);
        let (whole, tenth, unit) = match ns {
            0..1_000 => return write!(f, "{ns} ns"),
            1_000..1_000_000 => (tenths(1_000).0, tenths(1_000).1, "us"),
            1_000_000..1_000_000_000 => (tenths(1_000_000).0, tenths(1_000_000).1, "ms"),
            1_000_000_000..60_000_000_000 => (tenths(1_000_000_000).0, tenths(1_000_000_000).1, "s"),
            _ => {
                let seconds = ns / 1_000_000_000;
                return match seconds / 3600 {
                    0 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
                    hours => write!(f, "{hours} h {} min", seconds / 60 % 60),
                };
            }
        };
        write!(f, "{whole}.{tenth} {unit}")
    }
}

/// A number of things, shown as `1 event` or `2 events`: the noun is given in the singular and takes an `s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<N>(pub(crate) N, pub(crate) &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        write!(f, "{number} {noun}{}", if *number == N::from(1) { "" } else { "s" })
    }
}

/// A resource limit: a number, or unlimited (`RLIM_INFINITY`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub(crate) u64);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            limit => write!(f, "{limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(Bytes(8 << 30).to_string(), "8.0 GiB");
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Limit(u64::MAX).to_string(), "unlimited");
    }

    #[test]
    fn one_thing_and_several() {
        assert_eq!(Counted(0u64, "event").to_string(), "0 events");
        assert_eq!(Counted(1u32, "event").to_string(), "1 event");
        assert_eq!(Counted(2usize, "event").to_string(), "2 events");
    }

    #[test]
    fn durations() {
        for (ns, text) in [
            (999, "999 ns"),
            (1_500, "1.5 us"),
            (999_999, "999.9 us"),
            (100_000_001, "100.0 ms"),
            (2_500_000_000, "2.5 s"),
            (200_000_000_000, "3 min 20 s"),
            (7_260_000_000_000, "2 h 1 min"),
        ] {
            assert_eq!(Nanos(ns).to_string(), text);
        }
    }
}
