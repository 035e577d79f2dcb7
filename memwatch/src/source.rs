//! The ring buffer as a source of records.
//!
//! A wake-up costs the task that writes a record far more than the record does. So the reader, once woken, looks by
//! itself for as long as records come, and says so in a map; the kernel side (`memwatch-ebpf/src/emit.rs`) wakes it
//! only when that time is over. The reader looks on past the end of what it said, so nothing is left lying; what a
//! late writer commits beyond that is found at the next long look: no record is lost by it, only late.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aya::maps::{Array, MapData, MapError, RingBuf};
use tokio::io::unix::AsyncFd;

use crate::sys::boot_ns;

/// Records taken before others of the loop get their turn.
const BATCH: usize = 2048;
/// Records in one look from which on the next look follows at once.
const MANY: usize = 512;
/// Pause between looks while few records come, and the longest when many do. Half of it is the mean delay of a record; a look
/// costs some 5 us, of which what runs on the same core's other thread feels a part.
const PAUSE: RangeInclusive<u64> = 200_000..=1_000_000;
/// Records that a look is meant to find.
const AIM: u64 = 8;
/// How long the reader goes on looking after the last record.
const STAY_NS: u64 = 2_000_000;
/// How long it looks beyond what it said: longer than a record takes to be written.
const MARGIN_NS: u64 = 500_000;
/// Longest wait for a wake-up.
const QUIET: Duration = Duration::from_millis(100);

/// The reader's end of the ring buffer, and the map in which the reader says until when it looks by itself.
pub struct Ring {
    /// Records of the kernel side.
    pub records: RingBuf<MapData>,
    /// Boot clock, nanoseconds, at index 0.
    pub looks_until: Array<MapData, u64>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// Takes records from the ring buffer.
pub struct Source {
    ring: AsyncFd<Descriptor>,
    looks_until: Array<MapData, u64>,
    /// What stands in the map.
    said_ns: u64,
    taken: usize,
    /// Pause before the next look, in nanoseconds.
    pause: u64,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("said_ns", &self.said_ns).finish_non_exhaustive()
    }
}

struct Descriptor(RingBuf<MapData>);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source {
    /// Takes over the ring buffer. Needs a running tokio reactor.
    ///
    /// # Errors
    /// When the reactor refuses the descriptor.
    pub fn new(ring: Ring) -> io::Result<Self> {
        let Ring { records, looks_until } = ring;
        #[expect(unsafe_code, reason = "the reactor asks for a promise about the descriptor")]
        // SAFETY: the map owns the descriptor, keeps it open as long as the ring lives, and never exchanges it.
        let ring = unsafe { AsyncFd::register(Descriptor(records)) }?;
        Ok(Self { ring, looks_until, said_ns: 0, taken: 0, pause: *PAUSE.start() })
    }

    /// Hands what is there to `take`, at most one batch; returns how many records that were.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        let ring = &mut self.ring.get_mut().0;
        let mut taken = 0;
        while taken < BATCH {
            let Some(record) = ring.next() else { break };
            take(&record);
            taken += 1;
        }
        self.taken = taken;
        taken
    }

    /// Waits until records are likely to be there.
    ///
    /// # Errors
    /// When the map refuses what the reader has to say.
    pub async fn wait(&mut self) -> Result<(), MapError> {
        let now = boot_ns();
        self.pause = next_pause(self.pause, self.taken);
        if self.taken > 0 && self.said_ns < now + STAY_NS / 2 + self.pause {
            self.said_ns = now + STAY_NS + self.pause;
            self.looks_until.set(0, self.said_ns, 0)?;
        }
        if self.taken >= MANY {
            tokio::task::yield_now().await;
        } else if now < self.said_ns + MARGIN_NS {
            // Shorter than the reactor's timers go.
            std::thread::sleep(Duration::from_nanos(self.pause));
            tokio::task::yield_now().await;
        } else if let Ok(Ok(mut ready)) = tokio::time::timeout(QUIET, self.ring.readable()).await {
            // An error of the reactor is a reason to look, like any other.
            ready.clear_ready();
        }
        Ok(())
    }
}

/// The pause in which about [`AIM`] records come, when as many as `taken` came in the last one.
fn next_pause(last: u64, taken: usize) -> u64 {
    match taken as u64 {
        0 | 1 => *PAUSE.start(),
        taken => (last * AIM / taken).clamp(*PAUSE.start(), *PAUSE.end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after looks of a steady stream.
    fn settled(records_per_second: u64) -> u64 {
        (0..20).fold(*PAUSE.start(), |pause, _| {
            let taken = usize::try_from(records_per_second * pause / 1_000_000_000).expect("a count");
            next_pause(pause, taken)
        })
    }

    #[test]
    fn few_records_are_told_soon() {
        assert_eq!(settled(1_000), 200_000);
        assert_eq!(next_pause(1_000_000, 0), 200_000, "after a burst");
    }

    #[test]
    fn many_are_taken_together() {
        assert_eq!(settled(10_000), 800_000);
        assert!(settled(20_000) < 800_000);
        assert_eq!(settled(400_000), 200_000);
    }
}
