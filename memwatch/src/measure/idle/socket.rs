//! What a socket of a worker is to it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketAddr, getpeername, getsockname, sockopt::socket_acceptconn};

/// A socket, by what it tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// Takes connections at this port; at none, when it is of the Unix family.
    Listens(Option<u16>),
    /// Connected over a network, with this port of its own.
    Connected(u16),
    /// Of the Unix family, connected, and bound to a path as those are that were accepted: an end of a pair and
    /// a client's own end have no name.
    Accepted,
    /// Anything else.
    Other,
}

/// Asks a socket. `None` when it gives no answer.
pub(super) fn ask(socket: &OwnedFd) -> Option<Socket> {
    let own = getsockname(socket.as_fd()).ok()?;
    let port = SocketAddr::try_from(own.clone()).ok().map(|address| address.port());
    if socket_acceptconn(socket.as_fd()).unwrap_or(false) {
        return Some(Socket::Listens(port));
    }
    if getpeername(socket.as_fd()).is_err() {
        return Some(Socket::Other);
    }
    if own.address_family() == AddressFamily::UNIX {
        let has_name = own.addr_len() as usize > size_of::<libc::sa_family_t>();
        return Some(if has_name { Socket::Accepted } else { Socket::Other });
    }
    Some(port.map_or(Socket::Other, Socket::Connected))
}
