//! The thread that writes to standard output.

use std::io::Write;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

/// Buffers on their way to the writer; beyond that the loop waits, and the ring buffer fills.
const QUEUE: usize = 8;

/// The loop's end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    full: mpsc::Sender<Vec<u8>>,
    empty: mpsc::UnboundedReceiver<Vec<u8>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (full, mut to_write) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (written, empty) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            let mut output = std::io::stdout().lock();
            while let Some(mut buffer) = to_write.blocking_recv() {
                // A reader that went away is a quiet end; any other failure leaves nobody to tell but the loop,
                // which sees the queue closed either way.
                if output.write_all(&buffer).and_then(|()| output.flush()).is_err() {
                    return;
                }
                buffer.clear();
                let _ = written.send(buffer);
            }
        });
        Self { full, empty, thread }
    }

    /// Hands a buffer over and leaves an empty one in its place; false when nobody reads our output any more.
    pub(super) async fn send(&mut self, buffer: &mut Vec<u8>) -> bool {
        let Ok(place) = self.full.reserve().await else { return false };
        let fresh = self.empty.try_recv().unwrap_or_default();
        place.send(std::mem::replace(buffer, fresh));
        true
    }

    /// Ends when nobody reads our output any more.
    pub(super) async fn closed(&self) {
        self.full.closed().await;
    }

    /// Writes the rest, and waits until it is written.
    pub(super) async fn finish(self, rest: Vec<u8>) {
        let _ = self.full.send(rest).await;
        drop(self.full);
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}
