//! Lines to a Unix stream socket: a log pipeline's agent on the same host.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Peer;
use super::lines::Lines;
use crate::export::event::Event;
use crate::export::route::Route;
use crate::runtime::outlet::{Outlet, Progress};

pub(super) struct Unix {
    path: PathBuf,
    lines: Lines,
    progress: Arc<Progress>,
    connection: Option<Outlet<OwnedFd>>,
}

impl Unix {
    pub(super) fn new(route: &Arc<Route>, path: &Path, progress: Arc<Progress>) -> Self {
        Self { path: path.to_owned(), lines: Lines::new(route), progress, connection: None }
    }

    fn connect(&self) -> io::Result<OwnedFd> {
        // A listener whose queue is full must not keep the thread waiting.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.path)?)?;
        Ok(socket)
    }
}

impl Peer for Unix {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> io::Result<()> {
        let outlet = match self.connection.take() {
            Some(outlet) => outlet,
            None => {
                self.lines.restart();
                let socket = self.connect().map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!(
                            "cannot connect to {}: {error}; start what listens there",
                            self.path.display()
                        ),
                    )
                })?;
                Outlet::new(socket, Arc::clone(&self.progress))
            }
        };
        let (bytes, result) = outlet.write(self.lines.rest(batch));
        self.lines.written(bytes, batch);
        if result.is_ok() {
            self.connection = Some(outlet);
        }
        result
    }

    fn reopen(&mut self) {
        self.connection = None;
    }
}
