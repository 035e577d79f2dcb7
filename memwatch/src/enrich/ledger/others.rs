//! The other process that an event speaks of.

use std::sync::Arc;

use memwatch_ebpf::abi::event::{FdTable, Rlimit};

use super::Ledger;
use super::seen::Seen;
use super::sight::{self, Holder};
use crate::core::fact::{Body, Identity};

impl Ledger {
    pub(super) fn other(&mut self, seen: &Seen, process: &Identity, body: &Body) -> Option<Arc<Identity>> {
        match body {
            Body::Fork(fork) => Some(self.fork(seen, process, fork)),
            Body::OomKill(kill) => Some(self.actor(&Seen::victim(kill, seen.time_ns))),
            Body::FdTable(table) => self.ancestor(seen, table),
            Body::RlimitRead(limit) | Body::RlimitSet(limit) => self.target(seen, limit),
            Body::Mmap(_)
            | Body::Munmap(_)
            | Body::Mremap(_)
            | Body::Brk(_)
            | Body::Fault(_)
            | Body::Rss(_)
            | Body::FdTableGrowth(_)
            | Body::CloseSweep(_)
            | Body::Action(_)
            | Body::Exec(_)
            | Body::Exit(_) => None,
        }
    }

    /// The ancestor that learned the limit behind an fd table.
    fn ancestor(&mut self, seen: &Seen, table: &FdTable) -> Option<Arc<Identity>> {
        let learned = &table.learned;
        (learned.tgid != 0 && learned.tgid != seen.tgid)
            .then(|| self.holder(learned.tgid, learned.time_ns))
            .flatten()
    }

    /// The process whose limit was looked up. The caller named it by a pid or a thread id; the kernel side leaves out those of other
    /// pid namespaces.
    fn target(&mut self, seen: &Seen, limit: &Rlimit) -> Option<Arc<Identity>> {
        if [0, seen.tgid, seen.tid].contains(&limit.target) {
            return None;
        }
        let status = self.proc.process(limit.target).and_then(|dir| dir.status());
        let tgid = status.map_or(limit.target, |status| status.tgid);
        if tgid == seen.tgid { None } else { self.holder(tgid, seen.time_ns) }
    }

    /// The process that held a pid at a time, when that is sure.
    fn holder(&mut self, tgid: u32, time_ns: u64) -> Option<Arc<Identity>> {
        match self.live.get(&tgid) {
            Some(known) if known.key.start_ns <= time_ns => return Some(Arc::clone(known)),
            Some(_) => return self.dead.holder(tgid, time_ns).map(Arc::clone),
            None => {}
        }
        if let Some(dead) = self.dead.holder(tgid, time_ns) {
            return Some(Arc::clone(dead));
        }
        let found = sight::identity(&self.proc, &mut self.places, tgid, Holder::Before(time_ns), None);
        found.ok().map(|identity| self.enter(identity))
    }
}
