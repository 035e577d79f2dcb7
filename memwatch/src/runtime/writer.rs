//! The thread that writes to standard output.

use std::io::Write;
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// Buffers on their way to the writer; beyond that the loop waits, and the ring buffer fills.
const QUEUE: usize = 4;

/// The loop's end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    full: mpsc::Sender<Bytes>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (full, mut to_write) = mpsc::channel::<Bytes>(QUEUE);
        let thread = std::thread::spawn(move || {
            let mut output = std::io::stdout().lock();
            while let Some(buffer) = to_write.blocking_recv() {
                // A reader that went away is a quiet end; any other failure leaves nobody to tell but the loop,
                // which sees the queue closed either way.
                if output.write_all(&buffer).and_then(|()| output.flush()).is_err() {
                    return;
                }
            }
        });
        Self { full, thread }
    }

    /// Hands over what the buffer holds; its memory comes back when it is written. False when nobody reads our output
    /// any more.
    pub(super) async fn send(&mut self, buffer: &mut BytesMut) -> bool {
        let Ok(place) = self.full.reserve().await else { return false };
        place.send(buffer.split().freeze());
        true
    }

    /// Ends when nobody reads our output any more.
    pub(super) async fn closed(&self) {
        self.full.closed().await;
    }

    /// Writes the rest, and waits until it is written.
    pub(super) async fn finish(self, rest: BytesMut) {
        let _ = self.full.send(rest.freeze()).await;
        drop(self.full);
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}
