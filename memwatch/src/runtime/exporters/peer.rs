//! What takes events: one file for each.

mod file;
mod journald;
mod lines;
mod otlp;
mod standard_output;
mod stream;
mod syslog;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::lane::Lane;
use crate::export::event::Event;
use crate::export::route::{Destination, Route};
use stream::{Listener, Stream};

/// The other end, seen from an exporter's thread, which may wait.
pub(super) trait Peer: Send {
    /// Delivers events in order, and takes those that were delivered, or refused for good, out of the batch.
    ///
    /// # Errors
    /// Why the rest was not; it is tried again later.
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble>;

    /// Events that were refused for good since the last call, and why.
    fn refused(&mut self) -> Option<(u64, String)> {
        None
    }

    /// Opens anew what it writes to, which others may have moved away.
    fn reopen(&mut self) {}
}

/// Why a peer takes nothing now.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What is told.
    pub(super) error: io::Error,
    /// How long the peer wants to be left alone, where it says so.
    pub(super) wait: Option<Duration>,
}

impl<E: Into<io::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self { error: error.into(), wait: None }
    }
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
        Destination::Otlp(endpoint) => Box::new(otlp::Otlp::new(route, endpoint, progress)),
        Destination::Journald { path } => Box::new(journald::Journald::new(route, path, progress)),
    }
}

/// A peer that is not there, or that the service may not speak to.
pub(in crate::runtime) fn unreachable(place: &dyn Display, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    // What RestrictAddressFamilies= and IPAddressDeny= of a unit make of a connection.
    let is_kept =
        matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::AFNOSUPPORT | Errno::PERM));
    let remedy = if is_kept {
        "the service is kept from the network: docs/security.md says what lets it (network.conf)"
    } else {
        "start what listens there"
    };
    io::Error::new(error.kind(), format!("cannot connect to {place}: {error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_a_network_is_told_what_lets_it_there() {
        let said = |errno: Errno| unreachable(&"[::1]:514", errno).to_string();
        assert!(
            said(Errno::AFNOSUPPORT).contains("network.conf") && said(Errno::PERM).contains("network.conf")
        );
        assert!(said(Errno::CONNREFUSED).ends_with("start what listens there"));
    }
}
