//! From the boot clock of the kernel side to the time of day.

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::sys;

/// Turns moments of the boot clock into UTC.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot_unix_ns: u64,
}

impl Clock {
    /// `boot_unix_ns` is the Unix time at which the boot clock stood at zero, in nanoseconds.
    #[must_use]
    pub const fn new(boot_unix_ns: u64) -> Self {
        Self { boot_unix_ns }
    }

    /// What this host's clocks say now.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::new(sys::real_ns().saturating_sub(sys::boot_ns()))
    }

    fn moment(self, boot_ns: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.boot_unix_ns.saturating_add(boot_ns))
    }

    /// Appends a moment as RFC 3339 in UTC with nanoseconds.
    pub fn push_rfc3339(self, boot_ns: u64, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail, and 2^64 nanoseconds end in the year 2554.
        let _ = write!(out, "{}", humantime::format_rfc3339_nanos(self.moment(boot_ns)));
    }

    /// Appends the time of day in UTC with milliseconds.
    pub fn push_time_of_day(self, boot_ns: u64, out: &mut Vec<u8>) {
        let ms = self.boot_unix_ns.saturating_add(boot_ns) / 1_000_000 % 86_400_000;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_utc() {
        let clock = Clock::new(1_700_000_000_000_000_000);
        let mut out = Vec::new();
        clock.push_rfc3339(1_000_000_001, &mut out);
        assert_eq!(out, b"2023-11-14T22:13:21.000000001Z");
        out.clear();
        clock.push_time_of_day(1_234_000_000, &mut out);
        assert_eq!(out, b"22:13:21.234");
        clock.push_rfc3339(u64::MAX, &mut out);
    }
}
