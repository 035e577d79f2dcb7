//! Which sockets a pool listens at: those that its workers hold together with each other or with the master; where none is
//! shared, each worker's own (`SO_REUSEPORT`). What only the master holds is for its own purposes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::network::Networks;
use crate::core::fact::ProcessKey;
use crate::enrich::proc::number::decimal_u32;
use crate::enrich::proc::{ProcFs, ProcessDir};
use crate::sys;

/// Descriptors looked at of one process.
const DESCRIPTORS: usize = 1024;
/// Workers looked at while a shared socket is looked for, and when none was found.
const FEW: usize = 3;
const MANY: usize = 64;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listener {
    pub(super) inode: u32,
    /// Inode of the network namespace that it belongs to.
    pub(super) network: u64,
    pub(super) is_unix: bool,
}

/// Those of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listeners {
    pub(super) all: Vec<Listener>,
    /// Whether each worker has its own.
    pub(super) is_per_worker: bool,
}

impl Listeners {
    /// The namespaces that they belong to.
    pub(super) fn networks(&self) -> impl Iterator<Item = u64> {
        self.all.iter().map(|listener| listener.network)
    }
}

/// A pool whose sockets are sought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'a> {
    pub(super) master: ProcessKey,
    pub(super) workers: &'a [ProcessKey],
}

impl Sought<'_> {
    /// `None` when the pool listens nowhere, or may not be looked at.
    pub(super) fn find(&self, proc: &ProcFs, networks: &mut Networks) -> Option<Listeners> {
        let mut known = BTreeMap::new();
        let of_master = held(proc, self.master, &mut known, networks);
        let mut of_workers: Vec<BTreeSet<Listener>> = Vec::new();
        for worker in self.workers.iter().take(FEW) {
            of_workers.push(held(proc, *worker, &mut known, networks));
        }
        let shared = shared(&of_master, &of_workers);
        if !shared.is_empty() {
            return Some(Listeners { all: shared, is_per_worker: false });
        }
        for worker in self.workers.iter().skip(FEW).take(MANY - FEW) {
            of_workers.push(held(proc, *worker, &mut known, networks));
        }
        let own: BTreeSet<Listener> = of_workers.into_iter().flatten().collect();
        let is_per_worker = own.len() > 1;
        (!own.is_empty()).then(|| Listeners { all: own.into_iter().collect(), is_per_worker })
    }
}

/// Those that a worker has together with the master or another worker.
fn shared(of_master: &BTreeSet<Listener>, of_workers: &[BTreeSet<Listener>]) -> Vec<Listener> {
    let all: BTreeSet<Listener> = of_workers.iter().flatten().copied().collect();
    let is_shared = |listener: &Listener| {
        let holders = of_workers.iter().filter(|held| held.contains(listener)).count();
        holders + usize::from(of_master.contains(listener)) > 1
    };
    all.into_iter().filter(is_shared).collect()
}

/// Sockets of a process that listen. What was asked of one socket holds for each process that has it.
fn held(
    proc: &ProcFs,
    key: ProcessKey,
    known: &mut BTreeMap<u32, Option<Listener>>,
    networks: &mut Networks,
) -> BTreeSet<Listener> {
    let mut listeners = BTreeSet::new();
    let Some((dir, process)) = open(proc, key) else { return listeners };
    let mut numbers = Vec::new();
    if !matches!(dir.numbers("fd", DESCRIPTORS, &mut numbers), Ok(Some(()))) {
        return listeners;
    }
    for number in numbers {
        let Some(inode) = inode_of(&dir, number) else { continue };
        let listener = *known.entry(inode).or_insert_with(|| ask(&process, number, inode, networks));
        listeners.extend(listener);
    }
    listeners
}

fn open(proc: &ProcFs, key: ProcessKey) -> Option<(ProcessDir, OwnedFd)> {
    let pid = i32::try_from(key.tgid).ok().and_then(Pid::from_raw)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let dir = proc.process(key.tgid).ok()?;
    let stat = dir.stat().ok()?;
    ProcessKey { tgid: key.tgid, start_ns: stat.start_ns }.is_same(key).then_some((dir, process))
}

/// The inode that the link `socket:[N]` names.
fn inode_of(dir: &ProcessDir, number: u32) -> Option<u32> {
    let link = dir.link(&format!("fd/{number}"), 64)?;
    decimal_u32(link.to_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// Asks a socket itself, through a copy of the descriptor that lives for a moment.
fn ask(process: &OwnedFd, number: u32, inode: u32, networks: &mut Networks) -> Option<Listener> {
    let copy = pidfd_getfd(process, i32::try_from(number).ok()?, PidfdGetfdFlags::empty()).ok()?;
    if !socket_acceptconn(&copy).unwrap_or(false) {
        return None;
    }
    let is_unix = socket_domain(&copy).ok()? == AddressFamily::UNIX;
    let namespace = sys::network_of(copy.as_fd())
        .inspect_err(|error| tracing::debug!("the network namespace of a socket is not told: {error}"))
        .ok()?;
    let network = networks
        .add(namespace)
        .inspect_err(|error| tracing::debug!("a network namespace cannot be entered: {error}"))
        .ok()?;
    Some(Listener { inode, network, is_unix })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(inodes: &[u32]) -> BTreeSet<Listener> {
        inodes.iter().map(|inode| Listener { inode: *inode, network: 1, is_unix: false }).collect()
    }

    #[test]
    fn what_workers_share_is_the_pools_and_what_only_the_master_holds_is_not() {
        let inodes = |all: Vec<Listener>| all.iter().map(|listener| listener.inode).collect::<Vec<_>>();
        let workers = [listeners(&[1, 7]), listeners(&[1, 8])];
        assert_eq!(inodes(shared(&listeners(&[1, 2]), &workers)), [1]);
        assert_eq!(inodes(shared(&listeners(&[]), &workers)), [1], "by SO_REUSEPORT of a group");
        assert_eq!(inodes(shared(&listeners(&[2]), &[listeners(&[7]), listeners(&[8])])), [] as [u32; 0]);
    }
}
