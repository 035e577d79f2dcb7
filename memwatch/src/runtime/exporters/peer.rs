//! What takes events: one file for each.

mod file;
mod journald;
mod lines;
mod standard_output;
mod stream;
mod syslog;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::sync::Arc;

use super::lane::Lane;
use crate::export::event::Event;
use crate::export::route::{Destination, Route};
use stream::{Listener, Stream};

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
        Destination::Unix { path, form: _ } => {
            Box::new(Stream::new(route, Listener::Unix(path.clone()), progress))
        }
        Destination::Syslog { address, form: _ } => {
            Box::new(Stream::new(route, Listener::Tcp(*address), progress))
        }
        Destination::Journald { path } => Box::new(journald::Journald::new(route, path, progress)),
    }
}

/// A peer that is not there.
fn unreachable(place: &dyn Display, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("cannot connect to {place}: {error}; start what listens there"))
}
