//! Lines to a stream socket: an agent of a log pipeline on the same host, or a syslog server.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::lines::Lines;
use super::{Peer, Trouble};
use crate::export::event::Event;
use crate::export::route::Route;
use crate::runtime::outlet::{Outlet, Progress};

/// How long a server of another host may take to accept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who is spoken to.
#[derive(Clone, Debug)]
pub(super) enum Listener {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl Listener {
    fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(path) => {
                // A listener whose queue is full must not keep the thread waiting.
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(socket)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
        }
    }
}

pub(super) struct Stream {
    listener: Listener,
    lines: Lines,
    progress: Arc<Progress>,
    connection: Option<Outlet<OwnedFd>>,
}

impl Stream {
    pub(super) fn new(route: &Arc<Route>, listener: Listener, progress: Arc<Progress>) -> Self {
        Self { listener, lines: Lines::new(route), progress, connection: None }
    }
}

impl Peer for Stream {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        let outlet = match self.connection.take().filter(Outlet::is_open) {
            Some(outlet) => outlet,
            None => {
                self.lines.restart();
                let socket =
                    self.listener.connect().map_err(|error| super::unreachable(&self.listener, error))?;
                Outlet::new(socket, Arc::clone(&self.progress))
            }
        };
        let (bytes, result) = outlet.write(self.lines.rest(batch));
        self.lines.written(bytes, batch);
        if result.is_ok() {
            self.connection = Some(outlet);
        }
        Ok(result?)
    }

    fn reopen(&mut self) {
        self.connection = None;
    }
}
