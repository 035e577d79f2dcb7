//! Network namespaces: in each that is of interest, a socket that asks for queues and the open file of its counters.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::diag::{Diag, State};
use super::listeners::{Listener, Listeners};
use crate::enrich::proc::number::decimal;

/// Bytes read of `net/netstat`: 6.18 has 5,300.
const ROOM: usize = 16 * 1024;

/// Those that pools listen in, by their inode.
#[derive(Debug, Default)]
pub(super) struct Networks {
    all: HashMap<u64, Network>,
}

#[derive(Debug)]
struct Network {
    diag: Diag,
    netstat: Option<File>,
    states: HashMap<u32, State>,
    overflows: Option<u64>,
    /// Whether it was told that TCP sockets cannot be read, and Unix sockets.
    has_told: [bool; 2],
}

impl Networks {
    /// Makes one known; gives its inode.
    pub(super) fn add(&mut self, namespace: OwnedFd) -> io::Result<u64> {
        let inode = rustix::fs::fstat(&namespace)?.st_ino;
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.all.entry(inode) {
            vacant.insert(Network::enter(namespace)?);
        }
        Ok(inode)
    }

    /// Forgets all but these. A namespace lives as long as somebody has a socket in it: it is not kept for memwatch's sake.
    pub(super) fn keep(&mut self, used: &[u64]) {
        self.all.retain(|inode, _| used.contains(inode));
    }

    /// Whether none is known.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Reads the queues of every namespace in which a pool listens.
    pub(super) fn read<'a>(&mut self, pools: impl Iterator<Item = &'a Listeners>) {
        let (mut tcp, mut unix) = (Vec::new(), Vec::new());
        for listener in pools.flat_map(|listeners| &listeners.all) {
            if listener.is_unix { &mut unix } else { &mut tcp }.push(listener.network);
        }
        for (inode, network) in &mut self.all {
            network.read(tcp.contains(inode), unix.contains(inode));
        }
    }

    /// The queue of a socket, as last read.
    pub(super) fn state(&self, listener: &Listener) -> Option<State> {
        self.all.get(&listener.network)?.states.get(&listener.inode).copied()
    }

    /// Connections that found a queue full, in a whole namespace.
    pub(super) fn overflows(&self, network: u64) -> Option<u64> {
        self.all.get(&network)?.overflows
    }
}

impl Network {
    /// Enters a namespace on a thread of its own, for only that one is moved; what it opened there stays there.
    fn enter(namespace: OwnedFd) -> io::Result<Self> {
        let open = move || -> io::Result<(Diag, Option<File>)> {
            let own = rustix::fs::stat("/proc/thread-self/ns/net")?;
            if rustix::fs::fstat(&namespace)?.st_ino != own.st_ino {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            Ok((Diag::open()?, File::open("/proc/thread-self/net/netstat").ok()))
        };
        let thread = std::thread::Builder::new().name("memwatch-network".into()).spawn(open)?;
        let (diag, netstat) =
            thread.join().map_err(|_| io::Error::other("the thread in the namespace failed"))??;
        Ok(Self { diag, netstat, states: HashMap::new(), overflows: None, has_told: [false; 2] })
    }

    fn read(&mut self, tcp: bool, unix: bool) {
        self.states.clear();
        let [tcp_told, unix_told] = &mut self.has_told;
        if tcp && let Err(error) = self.diag.tcp(&mut self.states) {
            tell_once(tcp_told, "TCP", "tcp_diag", &error);
        }
        if unix && let Err(error) = self.diag.unix(&mut self.states) {
            tell_once(unix_told, "Unix", "unix_diag", &error);
        }
        self.overflows = self.netstat.as_ref().and_then(overflows);
    }
}

fn tell_once(is_told: &mut bool, sockets: &str, module: &str, error: &io::Error) {
    if !std::mem::replace(is_told, true) {
        tracing::warn!(
            "what waits at {sockets} sockets cannot be read, so no pool behind them changes its size: {error}; the kernel needs \
             {module} for that (`modprobe {module}`)"
        );
    }
}

/// `ListenOverflows` of `net/netstat`.
fn overflows(netstat: &File) -> Option<u64> {
    let mut room = [0; ROOM];
    let mut filled = 0;
    while let Ok(more @ 1..) = netstat.read_at(room.get_mut(filled..)?, filled as u64) {
        filled += more;
    }
    parse_overflows(room.get(..filled)?)
}

/// The file has two lines for each protocol: names, and numbers in the same order.
fn parse_overflows(text: &[u8]) -> Option<u64> {
    let mut lines = text.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"TcpExt: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split(|&byte| byte == b' ').position(|name| name == b"ListenOverflows")?;
    decimal(numbers.split(|&byte| byte == b' ').nth(place)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text =
            b"TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 3\nIpExt: A\nIpExt: 4\n";
        assert_eq!(parse_overflows(text), Some(22));
        assert_eq!(parse_overflows(b"TcpExt: ListenDrops\nTcpExt: 1\n"), None);
        assert_eq!(parse_overflows(b"TcpExt: ListenOverflows\n"), None);
    }
}
