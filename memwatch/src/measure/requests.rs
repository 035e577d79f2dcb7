//! Connections that a pool took, as the kernel counts them: passive opens of its network name space, when nobody but the pool
//! listens there.
//!
//! `/proc` has no counter for each listening socket (`tcp_info` of one tells its backlog only), but `/proc/PID/net/snmp` has one
//! for each network name space, which in a container or pod is the pool's alone.

use std::collections::HashSet;

use crate::enrich::proc::ProcFs;

/// State of a listening socket in `/proc/net/tcp` (TCP_LISTEN, include/net/tcp_states.h).
const LISTENING: &str = "0A";

/// Connections taken so far in the network name space of a master; `None` where they may be another's too, or cannot be told.
pub(super) fn connections(proc: &ProcFs, master: u32, workers: &[u32]) -> Option<u64> {
    let text = |file: &'static str| {
        let text = proc.process(master).and_then(|dir| dir.text(file)).ok()?;
        String::from_utf8(text).ok()
    };
    // Without IPv6 there is no second table.
    let listening: HashSet<String> = ["net/tcp", "net/tcp6"]
        .into_iter()
        .flat_map(|file| parse_listening(&text(file).unwrap_or_default()))
        .collect();
    let mut own = HashSet::new();
    for pid in workers.iter().chain([&master]) {
        own.extend(sockets(*pid));
    }
    if listening.is_empty() || !listening.is_subset(&own) {
        return None;
    }
    parse_opens(&text("net/snmp")?)
}

/// Inode numbers of the sockets that a process has open.
fn sockets(pid: u32) -> HashSet<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return HashSet::new() };
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let inodes = links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned));
    inodes.collect()
}

/// Inode numbers of the sockets that listen.
fn parse_listening(table: &str) -> Vec<String> {
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let is_listening = fields.nth(3)? == LISTENING;
        fields.nth(5).filter(|_| is_listening).map(str::to_owned)
    };
    table.lines().filter_map(inode).collect()
}

/// `PassiveOpens` of the two lines of TCP, names and numbers.
fn parse_opens(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|name| name == "PassiveOpens")?;
    numbers.split(' ').nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
            \x20  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        assert_eq!(parse_listening(tcp), ["4711"]);
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm ActiveOpens PassiveOpens\nTcp: 1 20 30\n";
        assert_eq!(parse_opens(snmp), Some(30));
        assert_eq!(parse_opens("Tcp: RtoAlgorithm\nTcp: 1\n"), None);
    }

    #[test]
    fn where_others_listen_nothing_is_told() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proc = ProcFs::open(std::path::Path::new("/proc")).unwrap();
        // A process that listens to nothing is asked about where this one does.
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(connections(&proc, other.id(), &[]), None);
        other.kill().unwrap();
        other.wait().unwrap();
        drop(socket);
    }
}
