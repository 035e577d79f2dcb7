//! Where decisions are written: a thread of its own behind a bounded queue, which sheds and counts and never holds anybody up.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// Lines on their way to the writer.
const QUEUE: usize = 1024;

/// One end of the queue.
#[derive(Debug)]
pub(super) struct Log {
    lines: SyncSender<Vec<u8>>,
    /// Lines that found no room, or no writer.
    pub(super) shed: u64,
}

impl Log {
    /// Starts the thread. It is not waited for when the program ends: its reader may be stuck.
    pub(super) fn start(mut to: impl Write + Send + 'static) -> Self {
        let (lines, queue) = sync_channel::<Vec<u8>>(QUEUE);
        std::thread::spawn(move || -> io::Result<()> {
            for line in queue {
                // A full disk or a reader that went away: later lines may fare better.
                let _ = to.write_all(&line).and_then(|()| to.flush());
            }
            Ok(())
        });
        Self { lines, shed: 0 }
    }

    /// Hands a line over; one that finds no room is shed and counted.
    pub(super) fn write(&mut self, line: Vec<u8>) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.shed += 1,
        }
    }
}
