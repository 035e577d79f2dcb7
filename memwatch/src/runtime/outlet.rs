//! Writes lines so that it can stop between two of them at any time.
//!
//! A pipe takes up to `PIPE_BUF` bytes whole or not at all (pipe(7)), and so many go in without waiting once poll(2) says
//! that there is room: a writer that asks before it writes never waits in the middle of a line. An empty pipe takes more.
//! A single line that is longer than that may be cut where its reader stops reading.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Timespec, fstat};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes that a pipe takes in one piece (`PIPE_BUF`, include/uapi/linux/limits.h); what other slow readers are given at once.
const PIECE: usize = 4096;

/// What the writer has done, and the word to stop.
#[derive(Debug)]
pub(super) struct Progress {
    lines: AtomicU64,
    stop: OwnedFd,
}

impl Progress {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { lines: AtomicU64::new(0), stop: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    /// Lines written.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Acquire)
    }

    /// Waits until the writer is to stop, in a runtime. Safe to give up waiting for.
    ///
    /// # Errors
    /// When the runtime cannot watch for it.
    pub(super) async fn stopped(&self) -> io::Result<()> {
        #[expect(unsafe_code, reason = "the reactor asks for a promise about the descriptor")]
        // SAFETY: the descriptor is owned here, never exchanged, and borrowed longer than the reactor has it.
        let stop = unsafe { AsyncFd::register_with_interest(self.stop.as_fd(), Interest::READABLE) }?;
        stop.readable().await.map(drop)
    }

    /// Has the writer end before its next line.
    pub(super) fn stop(&self) {
        // It is full only when it was told 2^64 times.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

/// What reads the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A pipe.
    Pipe,
    /// A terminal or a socket.
    Slow,
    /// A file, or a device that takes what it gets.
    File,
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Outlet<To> {
    to: To,
    reader: Reader,
    progress: Arc<Progress>,
}

impl<To: AsFd> Outlet<To> {
    pub(super) fn new(to: To, progress: Arc<Progress>) -> Self {
        let kind = fstat(&to).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let reader = match kind {
            Ok(FileType::Fifo) => Reader::Pipe,
            Ok(FileType::Socket) => Reader::Slow,
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(&to) => Reader::Slow,
            _ => Reader::File,
        };
        Self { to, reader, progress }
    }

    /// Writes whole lines until all are written or it is to stop; gives how many bytes went out in any case.
    pub(super) fn write(&self, text: &[u8]) -> (usize, io::Result<()>) {
        let mut rest = text;
        let result = self.write_pieces(&mut rest);
        (text.len() - rest.len(), result)
    }

    fn write_pieces(&self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() && wait_for_room(self.to.as_fd(), &self.progress)? {
            let (now, _) = rest.split_at(piece(rest, self.room()));
            match rustix::io::write(&self.to, now) {
                Ok(written) => {
                    let (done, left) = rest.split_at(written.min(now.len()));
                    self.progress.lines.fetch_add(lines(done), Ordering::AcqRel);
                    *rest = left;
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether nobody has closed the other end of a socket.
    pub(super) fn is_open(&self) -> bool {
        let mut places = [PollFd::new(&self.to, PollFlags::RDHUP)];
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        poll(&mut places, Some(&Timespec::default())).is_ok()
            && places.first().is_some_and(|place| !place.revents().intersects(gone))
    }

    /// Bytes that are taken without waiting.
    fn room(&self) -> usize {
        let is_empty = || rustix::io::ioctl_fionread(&self.to).is_ok_and(|bytes| bytes == 0);
        match self.reader {
            Reader::File => usize::MAX,
            // Half of it, should another program write to it as well.
            Reader::Pipe if is_empty() => {
                rustix::pipe::fcntl_getpipe_size(&self.to).map_or(PIECE, |size| (size / 2).max(PIECE))
            }
            Reader::Pipe | Reader::Slow => PIECE,
        }
    }
}

/// Waits until something can be written; false when the writer is to stop.
pub(super) fn wait_for_room(to: BorrowedFd<'_>, progress: &Progress) -> io::Result<bool> {
    let mut places = [PollFd::new(&progress.stop, PollFlags::IN), PollFd::new(&to, PollFlags::OUT)];
    loop {
        match poll(&mut places, None) {
            Ok(_) => return Ok(places.first().is_some_and(|stop| stop.revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Length of what is written at once: as many whole lines as there is room for, but at least one.
fn piece(text: &[u8], room: usize) -> usize {
    let Some(head) = text.get(..room) else { return text.len() };
    let end = memchr::memrchr(b'\n', head).or_else(|| memchr::memchr(b'\n', text));
    end.map_or(text.len(), |end| end + 1)
}

/// Lines of a text.
pub(super) fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Whether nobody can read standard output any more, which is known without a write of a pipe, a socket and a terminal.
pub(super) fn is_abandoned() -> bool {
    let output = io::stdout();
    let mut places = [PollFd::new(&output, PollFlags::empty())];
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut places, Some(&Timespec::default())).is_ok()
        && places.first().is_some_and(|place| place.revents().intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines() {
        assert_eq!(piece(b"one\ntwo\nthree\n", 9), 8);
        assert_eq!(piece(b"one\ntwo\n", 8), 8);
        assert_eq!(piece(b"one\ntwo\n", usize::MAX), 8);
        assert_eq!(piece(b"longer than that\ntwo\n", 4), 17, "a long line goes alone");
        assert_eq!(piece(b"no end", 3), 6);
        assert_eq!(lines(b"one\ntwo\nthr"), 2);
    }
}
