//! Memory of the host: `/proc/meminfo` and `/proc/pressure/memory`.
//!
//! Both files stay open and are read anew at each look. A kernel without pressure stall information, and one started with
//! `psi=0`, gives looks without it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::core::policy::Host;
use crate::enrich::proc::number::decimal;

/// Bytes read of a file: meminfo of 6.18 has 1,600, and the lines of interest stand among its first.
const ROOM: usize = 4096;

/// Looks at the host's memory.
#[derive(Debug)]
pub struct HostMeter {
    meminfo: File,
    pressure: Option<File>,
    room: Box<[u8; ROOM]>,
}

impl HostMeter {
    /// Opens the files below the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When meminfo cannot be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            meminfo: File::open(root.join("meminfo"))?,
            pressure: File::open(root.join("pressure/memory")).ok(),
            room: Box::new([0; ROOM]),
        })
    }

    /// Looks once.
    ///
    /// # Errors
    /// When meminfo cannot be read, or does not tell what is available (before Linux 3.14).
    pub fn look(&mut self) -> io::Result<Host> {
        let read = self.meminfo.read_at(self.room.as_mut(), 0)?;
        let mut host = parse_meminfo(self.room.get(..read).unwrap_or_default()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal or MemAvailable in kB")
        })?;
        host.full_pressure = self.full_pressure();
        Ok(host)
    }

    fn full_pressure(&mut self) -> Option<u32> {
        // Started with psi=0 the file can be opened and not read.
        let read = self.pressure.as_ref()?.read_at(self.room.as_mut(), 0).ok()?;
        parse_full(self.room.get(..read)?)
    }
}

/// The four sums of meminfo's text; swap counts as none where it is not told.
fn parse_meminfo(text: &[u8]) -> Option<Host> {
    let (mut total, mut available, mut swap_total, mut swap_free) = (None, None, None, None);
    for line in text.split(|&byte| byte == b'\n') {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let place = match words.next() {
            Some(b"MemTotal:") => &mut total,
            Some(b"MemAvailable:") => &mut available,
            Some(b"SwapTotal:") => &mut swap_total,
            Some(b"SwapFree:") => &mut swap_free,
            _ => continue,
        };
        let kib = words.next().and_then(decimal);
        *place = kib.filter(|_| words.next() == Some(b"kB")).and_then(|kib| kib.checked_mul(1024));
    }
    Some(Host {
        total: total?,
        available: available?,
        swap_total: swap_total.unwrap_or(0),
        swap_free: swap_free.unwrap_or(0),
        full_pressure: None,
    })
}

/// The ten-second mean of the line `full avg10=1.23 avg60=…`, in hundredths of a percent: the kernel prints two digits
/// behind the point (`psi_show` of kernel/sched/psi.c, 6.18).
fn parse_full(text: &[u8]) -> Option<u32> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"full avg10="))?;
    let number = line.split(|&byte| byte == b' ').next()?;
    let point = number.iter().position(|&byte| byte == b'.')?;
    let (whole, part) = (decimal(number.get(..point)?)?, number.get(point + 1..)?);
    let hundredths = decimal(part).filter(|_| part.len() == 2)?;
    u32::try_from(whole.checked_mul(100)?.checked_add(hundredths)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_found_by_name() {
        let text = b"MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\nSwapCached: 9 kB\n\
            SwapTotal: 10 kB\nSwapFree: 4 kB\nHugePages_Total: 3\n";
        let host = parse_meminfo(text).unwrap();
        assert_eq!((host.total, host.available, host.used()), (2 << 20, 1 << 20, 1 << 20));
        assert_eq!((host.swap_total, host.swap_free), (10 << 10, 4 << 10));
        for odd in [
            "",
            "MemTotal: 1 kB\n",
            "MemTotal: 1 kB\nMemAvailable: 1\n",
            "MemTotal: x kB\nMemAvailable: 1 kB",
        ] {
            assert_eq!(parse_meminfo(odd.as_bytes()), None, "{odd:?}");
        }
    }

    #[test]
    fn pressure_is_in_hundredths_of_a_percent() {
        let text = |mean: &str| format!("some avg10=9.99 avg60=0.00\nfull avg10={mean} avg60=0.00 total=7\n");
        for (mean, read) in
            [("0.00", Some(0)), ("1.05", Some(105)), ("100.00", Some(10_000)), ("1", None), ("1.5", None)]
        {
            assert_eq!(parse_full(text(mean).as_bytes()), read, "{mean}");
        }
        assert_eq!(parse_full(b"some avg10=1.00\n"), None);
    }

    #[test]
    fn this_host_is_seen_again_and_again() {
        let mut meter = HostMeter::open(Path::new("/proc")).unwrap();
        let (first, second) = (meter.look().unwrap(), meter.look().unwrap());
        assert!(first.total > 0 && first.available <= first.total);
        assert_eq!(first.total, second.total);
        assert_eq!(first.full_pressure.is_some(), Path::new("/proc/pressure/memory").exists());
    }
}
