//! The thread that writes to standard output.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

/// Buffers on their way to the writer; beyond that the loop waits, and the ring buffer fills.
const QUEUE: usize = 4;

/// The loop's end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    full: mpsc::Sender<Bytes>,
    result: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// Starts the thread. It is not waited for when the program ends: it may be stuck on a reader that does not read.
    pub(super) fn start() -> Self {
        let (full, mut to_write) = mpsc::channel::<Bytes>(QUEUE);
        let (done, result) = oneshot::channel();
        std::thread::spawn(move || {
            let mut output = io::stdout().lock();
            let mut write = || {
                while let Some(buffer) = to_write.blocking_recv() {
                    output.write_all(&buffer)?;
                    output.flush()?;
                }
                Ok(())
            };
            // The loop may have gone: then nobody asks.
            let _ = done.send(write());
        });
        Self { full, result }
    }

    /// Hands over what the buffer holds; its memory comes back when it is written. False when nothing can be written
    /// any more.
    pub(super) async fn send(&mut self, buffer: &mut BytesMut) -> bool {
        let Ok(place) = self.full.reserve().await else { return false };
        place.send(buffer.split().freeze());
        true
    }

    /// Ends when nothing can be written any more.
    pub(super) async fn closed(&self) {
        self.full.closed().await;
    }

    /// Writes the rest, and waits until it is written.
    ///
    /// # Errors
    /// What the first failed write said; a reader that went away is a quiet end and no error.
    pub(super) async fn finish(self, rest: BytesMut) -> io::Result<()> {
        let _ = self.full.send(rest.freeze()).await;
        drop(self.full);
        match self.result.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}
