//! `sock_diag(7)`: the queues of all sockets of a network namespace that listen.
//!
//! For TCP the kernel tells the connections that wait to be accepted and the bound (`sk_ack_backlog` and
//! `sk_max_ack_backlog` in `inet_diag_msg_common_fill` and `tcp_diag_get_info`, net/ipv4/tcp_diag.c, 6.18); handshakes under way are
//! not among them. For Unix sockets it is the same (`sk_diag_show_rqlen` of net/unix/diag.c), but who finds the queue full waits
//! in connect(2) and is not counted.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, nlas as inet};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags as UnixStates, UnixRequest, nlas as unix};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Room for one part of an answer: the kernel makes parts of 32 KiB at most (`netlink_dump` of net/netlink/af_netlink.c).
const ROOM: usize = 64 * 1024;
/// The kernel answers within the call; this is for one that does not.
const PATIENCE: Duration = Duration::from_secs(1);

/// The queue of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) waiting: u32,
    pub(super) bound: u32,
    /// Connections turned away since it listens; `None` where that is not told.
    pub(super) dropped: Option<u32>,
}

/// A socket that asks, in the namespace in which it was made.
#[derive(Debug)]
pub(super) struct Diag {
    socket: OwnedFd,
    room: Vec<u8>,
}

impl Diag {
    /// Of the network namespace of the thread that calls.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, room: vec![0; ROOM] })
    }

    /// Adds every TCP socket that listens, by its inode.
    pub(super) fn tcp(&mut self, states: &mut HashMap<u32, State>) -> io::Result<()> {
        for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = InetRequest {
                family,
                protocol: IPPROTO_TCP,
                extensions: ExtensionFlags::SKMEMINFO,
                states: StateFlags::LISTEN,
                socket_id,
            };
            self.ask(SockDiagMessage::InetRequest(request), states)?;
        }
        Ok(())
    }

    /// Adds every Unix socket that listens.
    pub(super) fn unix(&mut self, states: &mut HashMap<u32, State>) -> io::Result<()> {
        let request = UnixRequest {
            state_flags: UnixStates::LISTEN,
            inode: 0,
            show_flags: ShowFlags::RQLEN,
            cookie: [0xff; 8],
        };
        self.ask(SockDiagMessage::UnixRequest(request), states)
    }

    fn ask(&mut self, request: SockDiagMessage, states: &mut HashMap<u32, State>) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        loop {
            let (_, length) = recv(&self.socket, self.room.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = self.room.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let message =
                    NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(answer) => take(answer, states),
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) => {}
                    _ => {}
                }
                let length = (message.header.length as usize).next_multiple_of(4).max(16);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// Takes one socket out of an answer.
fn take(answer: SockDiagMessage, states: &mut HashMap<u32, State>) {
    match answer {
        SockDiagMessage::InetResponse(response) => {
            let dropped = response
                .nlas
                .iter()
                .find_map(|nla| if let inet::Nla::MemInfo(memory) = nla { Some(memory.drops) } else { None });
            let header = &response.header;
            let state = State { waiting: header.recv_queue, bound: header.send_queue, dropped };
            states.insert(header.inode, state);
        }
        SockDiagMessage::UnixResponse(response) => {
            let lengths = response.nlas.iter().find_map(|nla| {
                if let unix::Nla::ReceiveQueueLength(waiting, bound) = nla {
                    Some((*waiting, *bound))
                } else {
                    None
                }
            });
            if let Some((waiting, bound)) = lengths {
                states.insert(response.header.inode, State { waiting, bound, dropped: None });
            }
        }
        SockDiagMessage::InetRequest(_) | SockDiagMessage::UnixRequest(_) => {}
    }
}
