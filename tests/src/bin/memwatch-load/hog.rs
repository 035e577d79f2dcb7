//! A process that touches memory at full speed, and what it had touched when.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::kernel::{self, Child, Region};

const MIB: usize = 1 << 20;

/// Time between two signs of life of a hog that has all.
const BEAT: Duration = Duration::from_millis(1);

/// A hog; killed when dropped.
pub(crate) struct Hog {
    child: Child,
    /// First the bytes touched, then the boot clock at each MiB of them, from the first on; last the boot clock while it holds all.
    notes: Region,
    bytes: usize,
    /// Resident before the first of them.
    before: u64,
}

impl Hog {
    /// Starts one that waits, and then touches so many bytes, page after page, and holds them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn start(bytes: usize, wait: Duration) -> Result<Self> {
        let notes = Region::shared((bytes / MIB + 2) * 8)?;
        // What is noted is no part of what is measured: it is resident before.
        notes.numbers().iter().for_each(|note| note.store(0, Ordering::Relaxed));
        let child = kernel::fork(|| {
            notes.numbers().iter().for_each(|note| note.store(0, Ordering::Relaxed));
            std::thread::sleep(wait);
            if let Ok(mut region) = Region::map(bytes) {
                // One that cannot be told so takes more in a step, which shows in the figures.
                let _ = region.refuse_huge_pages();
                touch(&mut region, &notes);
                loop {
                    if let Some(alive) = notes.numbers().last() {
                        alive.store(kernel::boot_ns(), Ordering::Release);
                    }
                    std::thread::sleep(BEAT);
                }
            }
        })?;
        std::thread::sleep(wait / 2);
        let before = resident(child.id())?;
        Ok(Self { child, notes, bytes, before })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> i32 {
        self.child.id()
    }

    /// Bytes that it has touched by now.
    pub(crate) fn touched(&self) -> u64 {
        self.notes.numbers().first().map_or(0, |note| note.load(Ordering::Acquire))
    }

    /// Whether it has touched all.
    pub(crate) fn has_all(&self) -> bool {
        self.touched() >= self.bytes as u64
    }

    /// When it was last alive, boot clock, nanoseconds; 0 before it has all.
    pub(crate) fn alive_ns(&self) -> u64 {
        self.notes.numbers().last().map_or(0, |note| note.load(Ordering::Acquire))
    }

    /// Whether it was killed.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        self.child.has_ended()
    }

    /// Waits until it has touched all, or was killed. Gives the answer: `TOUCHED BEFORE COUNT TIME… TIME AVAILABLE…`, the bytes
    /// that it has touched, what was resident before, the boot clock at each MiB, and meanwhile, a thousand times a second, what
    /// the host has available.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn wait(&self) -> Result<String> {
        let meminfo = File::open("/proc/meminfo").context("cannot open /proc/meminfo")?;
        let mut looks = String::new();
        while !self.has_all() && !self.has_ended()? {
            write!(looks, " {} {}", kernel::boot_ns(), available(&meminfo)?)?;
            std::thread::sleep(Duration::from_millis(1));
        }
        write!(looks, " {} {}", kernel::boot_ns(), available(&meminfo)?)?;
        let times = self
            .notes
            .numbers()
            .iter()
            .skip(1)
            .take(self.bytes / MIB)
            .map(|note| note.load(Ordering::Relaxed));
        let times: Vec<String> = times.filter(|time| *time > 0).map(|time| time.to_string()).collect();
        Ok(format!("{} {} {} {}{looks}", self.touched(), self.before, times.len(), times.join(" ")))
    }
}

/// Bytes that the host has available.
///
/// # Errors
/// /proc/meminfo does not tell.
pub(crate) fn available(meminfo: &File) -> Result<u64> {
    meminfo_bytes(meminfo, "MemAvailable:")
}

/// A figure of /proc/meminfo, in bytes.
///
/// # Errors
/// It is not among the first.
pub(crate) fn meminfo_bytes(meminfo: &File, name: &str) -> Result<u64> {
    let mut room = [0; 256];
    let read = meminfo.read_at(&mut room, 0).context("cannot read /proc/meminfo")?;
    let text = String::from_utf8_lossy(room.get(..read).unwrap_or_default());
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(kib.with_context(|| format!("/proc/meminfo has no {name}"))? << 10)
}

fn touch(region: &mut Region, notes: &Region) {
    let notes = notes.numbers();
    region.touch_and_tell(|bytes| {
        if bytes % MIB == 0
            && let Some(note) = notes.get(bytes / MIB)
        {
            note.store(kernel::boot_ns(), Ordering::Relaxed);
        }
        if let Some(touched) = notes.first() {
            touched.store(bytes as u64, Ordering::Release);
        }
    });
}

/// Resident bytes of a process, exactly.
fn resident(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib: u64 =
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no Rss is told")?;
    Ok(kib << 10)
}
