//! What takes events: one file for each.

mod file;
mod lines;
mod standard_output;
mod unix;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::lane::Lane;
use crate::export::event::Event;
use crate::export::route::{Destination, Route};

/// The other end, seen from an exporter's thread, which may wait.
pub(super) trait Peer: Send {
    /// Delivers events in order, and takes those that were delivered out of the batch.
    ///
    /// # Errors
    /// Why the rest was not; it is tried again later.
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> io::Result<()>;

    /// Opens anew what it writes to, which others may have moved away.
    fn reopen(&mut self) {}
}

/// The peer of a route. It is spoken to at the first delivery: one that cannot be reached keeps nothing from starting.
pub(super) fn open(route: &Arc<Route>, lane: &Lane) -> Box<dyn Peer> {
    let progress = Arc::clone(&lane.progress);
    match &route.to {
        Destination::StandardOutput(_) => Box::new(standard_output::StandardOutput::new(route, progress)),
        Destination::File { path, rotation, form: _ } => Box::new(file::LogFile::new(route, path, *rotation)),
        Destination::Unix { path, form: _ } => Box::new(unix::Unix::new(route, path, progress)),
    }
}
