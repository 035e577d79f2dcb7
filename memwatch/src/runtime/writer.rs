//! The thread that writes to standard output.
//!
//! In: buffers of whole lines. Out: the lines, and how many of them were written, so that what nobody read is a number.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::outlet::{Outlet, Progress, lines};

/// Buffers on their way to the writer; beyond that the loop waits, and the ring buffer fills.
const QUEUE: usize = 4;

/// How long the thread may take to stop: it is late only where it waits in a write, which another program's output in the
/// same pipe can make it do.
const STOP: Duration = Duration::from_millis(200);

/// The loop's end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    full: mpsc::Sender<Bytes>,
    result: oneshot::Receiver<io::Result<()>>,
    progress: Arc<Progress>,
    /// Lines that were handed over.
    taken: u64,
}

impl Writer {
    /// Starts the thread. It is not waited for when the program ends: it may be stuck on a reader that does not read.
    ///
    /// # Errors
    /// When no descriptor is left for telling it to stop.
    pub(super) fn start() -> io::Result<Self> {
        let (full, mut to_write) = mpsc::channel::<Bytes>(QUEUE);
        let (done, result) = oneshot::channel();
        let progress = Arc::new(Progress::new()?);
        let outlet = Outlet::new(io::stdout(), Arc::clone(&progress));
        std::thread::spawn(move || {
            let mut write = || {
                while let Some(buffer) = to_write.blocking_recv() {
                    outlet.write(&buffer).1?;
                }
                Ok(())
            };
            let written = write();
            drop(to_write);
            // The loop may have gone: then nobody asks.
            let _ = done.send(written);
        });
        Ok(Self { full, result, progress, taken: 0 })
    }

    /// Hands over what the buffer holds; its memory comes back when it is written. False when nothing can be written
    /// any more, for which it waits where there is nothing to hand over.
    pub(super) async fn send(&mut self, buffer: &mut BytesMut) -> bool {
        if buffer.is_empty() {
            self.full.closed().await;
            return false;
        }
        let Ok(place) = self.full.reserve().await else { return false };
        self.taken += lines(buffer);
        place.send(buffer.split().freeze());
        true
    }

    /// Ends when nothing was written for this long.
    pub(super) fn stalled(&self, patience: Duration) -> impl Future<Output = ()> + use<> {
        let progress = Arc::clone(&self.progress);
        async move {
            loop {
                let before = progress.lines();
                tokio::time::sleep(patience).await;
                if progress.lines() == before {
                    return;
                }
            }
        }
    }

    /// Writes the rest, and waits until it is written. To be called once; [`Writer::give_up`] may follow when it is not waited for
    /// to the end.
    ///
    /// # Errors
    /// What the first failed write said; a reader that went away is a quiet end and no error.
    pub(super) async fn finish(&mut self, rest: &mut BytesMut) -> io::Result<()> {
        if !rest.is_empty() {
            let _ = self.send(rest).await;
        }
        // Without a sender the thread ends after what it was handed.
        self.full = mpsc::channel(1).0;
        match (&mut self.result).await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends the thread with the line that it is at; gives how many lines were handed over and not written.
    pub(super) async fn give_up(mut self) -> u64 {
        self.progress.stop();
        let _ = tokio::time::timeout(STOP, &mut self.result).await;
        self.taken.saturating_sub(self.progress.lines())
    }
}
