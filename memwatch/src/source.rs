//! The ring buffer as a source of records.
//!
//! A CPU wakes the reader at most once in 200 µs (`memwatch-ebpf/src/emit.rs`), so after a wake-up the reader keeps
//! looking every millisecond until nothing came for a few of them. What a late writer commits beyond that is found at
//! the next long look: no record is lost by it, only late.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;

/// Records taken before others of the loop get their turn.
const BATCH: usize = 2048;
/// Pause between looks while records come.
const BUSY: Duration = Duration::from_millis(1);
/// Pause between looks while nothing comes.
const QUIET: Duration = Duration::from_millis(100);
/// Empty looks after which nothing is said to come.
const EMPTY_LOOKS: u32 = 4;

/// The reader's end of the ring buffer.
#[derive(Debug)]
pub struct Source {
    ring: AsyncFd<Ring>,
    empty_looks: u32,
}

struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source {
    /// Takes over the ring buffer. Needs a running tokio reactor.
    ///
    /// # Errors
    /// When the reactor refuses the descriptor.
    pub fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "the reactor asks for a promise about the descriptor")]
        // SAFETY: the map owns the descriptor, keeps it open as long as the ring lives, and never exchanges it.
        let ring = unsafe { AsyncFd::register(Ring(ring)) }?;
        Ok(Self { ring, empty_looks: 0 })
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
        self.empty_looks = if taken == 0 { self.empty_looks.saturating_add(1) } else { 0 };
        taken
    }

    /// Waits until records are likely to be there.
    pub async fn wait(&mut self) {
        // A wake-up ends the short pause too: a record must not lie for a millisecond because another came before it.
        let longest = if self.empty_looks < EMPTY_LOOKS { BUSY } else { QUIET };
        // An error of the reactor is a reason to look, like any other.
        if let Ok(Ok(mut ready)) = tokio::time::timeout(longest, self.ring.readable()).await {
            ready.clear_ready();
            self.empty_looks = 0;
        }
    }
}
