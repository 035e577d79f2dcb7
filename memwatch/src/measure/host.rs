//! Memory of the host: `/proc/meminfo` and `/proc/pressure/memory`.
//!
//! Both files stay open. What is available is read anew at each look; pressure, a mean of ten seconds that the kernel works out every
//! two (`PSI_FREQ` of kernel/sched/psi.c, 6.18), a few times a second. A kernel without pressure stall information, and one started
//! with `psi=0`, gives looks without it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::core::policy::Host;
use crate::enrich::proc::number::decimal;

/// Bytes read of a file: meminfo of 6.18 has 1,600, and the lines of interest stand among its first.
const ROOM: usize = 4096;
/// Time for which a reading of the pressure does, in nanoseconds.
const PRESSURE_NS: u64 = 250_000_000;

/// Looks at the host's memory.
#[derive(Debug)]
pub struct HostMeter {
    meminfo: File,
    pressure: Option<File>,
    /// The last reading of the pressure, and when it was.
    read: Option<(u64, Option<u32>)>,
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
            read: None,
            room: Box::new([0; ROOM]),
        })
    }

    /// Looks once, at time `now_ns`.
    ///
    /// # Errors
    /// When meminfo cannot be read, or does not tell what is available (before Linux 3.14).
    pub fn look(&mut self, now_ns: u64) -> io::Result<Host> {
        let read = self.meminfo.read_at(self.room.as_mut(), 0)?;
        let mut host = parse_meminfo(self.room.get(..read).unwrap_or_default()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal or MemAvailable in kB")
        })?;
        let is_due = self
            .read
            .is_none_or(|(read_ns, _)| now_ns.saturating_sub(read_ns) >= PRESSURE_NS || now_ns < read_ns);
        if is_due {
            self.read = Some((now_ns, self.full_pressure()));
        }
        host.full_pressure = self.read.and_then(|(_, full)| full);
        Ok(host)
    }

    /// The next look reads the pressure: it has changed.
    pub const fn pressed(&mut self) {
        self.read = None;
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
    fn pressure_is_read_a_few_times_a_second() {
        let root = std::env::temp_dir().join(format!("memwatch-host-{}", std::process::id()));
        std::fs::create_dir_all(root.join("pressure")).unwrap();
        let write = |file: &str, text: &str| std::fs::write(root.join(file), text).unwrap();
        let meminfo = |kib: u64| write("meminfo", &format!("MemTotal: 9 kB\nMemAvailable: {kib} kB\n"));
        let full = |mean: &str| write("pressure/memory", &format!("full avg10={mean} avg60=0.00 total=0\n"));
        meminfo(8);
        full("1.00");
        let mut meter = HostMeter::open(&root).unwrap();
        let mut seen = |now_ns, is_pressed: bool| {
            if is_pressed {
                meter.pressed();
            }
            let host = meter.look(now_ns).unwrap();
            (host.available, host.full_pressure)
        };
        assert_eq!(seen(0, false), (8 << 10, Some(100)));
        meminfo(7);
        full("2.00");
        assert_eq!(
            seen(PRESSURE_NS - 1, false),
            (7 << 10, Some(100)),
            "available memory is read at each look"
        );
        assert_eq!(seen(PRESSURE_NS, false), (7 << 10, Some(200)));
        full("3.00");
        assert_eq!(seen(PRESSURE_NS + 1, false).1, Some(200));
        assert_eq!(seen(PRESSURE_NS + 2, true).1, Some(300), "the kernel told of pressure");
        full("4.00");
        assert_eq!(seen(1, false).1, Some(400), "a clock that steps back does not freeze it");
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn this_host_is_seen_again_and_again() {
        let mut meter = HostMeter::open(Path::new("/proc")).unwrap();
        let (first, second) = (meter.look(0).unwrap(), meter.look(1).unwrap());
        assert!(first.total > 0 && first.available <= first.total);
        assert_eq!(first.total, second.total);
        assert_eq!(first.full_pressure.is_some(), Path::new("/proc/pressure/memory").exists());
    }
}
