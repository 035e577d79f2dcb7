//! What one event says of one process.

use memwatch_ebpf::abi::COMM_LEN;
use memwatch_ebpf::abi::event::{OomKill, UNKNOWN};
use memwatch_ebpf::abi::header::Header;

use crate::core::fact::{Identity, ProcessKey};

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) time_ns: u64,
    /// 0 when not known.
    pub(super) start_ns: u64,
    pub(super) tgid: u32,
    pub(super) tid: u32,
    pub(super) cgroup_id: Option<u64>,
    parent_tgid: Option<u32>,
    uid: u32,
    comm: [u8; COMM_LEN],
}

impl Seen {
    /// The process that a header names.
    pub(super) fn by(header: &Header) -> Self {
        Self {
            time_ns: header.time_ns,
            start_ns: header.start_ns,
            tgid: header.tgid,
            tid: header.tid,
            cgroup_id: known(header.cgroup_id),
            parent_tgid: (header.parent_tgid != 0).then_some(header.parent_tgid),
            uid: header.uid,
            comm: header.comm,
        }
    }

    /// The victim of an OOM kill.
    pub(super) fn victim(kill: &OomKill, time_ns: u64) -> Self {
        Self {
            time_ns,
            start_ns: known(kill.start_ns).unwrap_or(0),
            tgid: kill.tgid,
            tid: kill.tid,
            cgroup_id: known(kill.cgroup_id),
            parent_tgid: (kill.parent_tgid != 0).then_some(kill.parent_tgid),
            uid: kill.uid,
            comm: kill.comm,
        }
    }

    pub(super) const fn key(&self) -> ProcessKey {
        ProcessKey { tgid: self.tgid, start_ns: self.start_ns }
    }

    pub(super) fn comm(&self) -> &[u8] {
        self.comm.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Whether the process is known as this event shows it, cgroup and its path included.
    pub(super) fn adds_nothing_to(&self, known: &Identity) -> bool {
        known.cgroup_path.is_some()
            && (self.cgroup_id.is_none() || self.cgroup_id == known.cgroup_id)
            && !self.differs_from(known)
    }

    /// Whether [`Seen::write_to`] would change something.
    pub(super) fn differs_from(&self, known: &Identity) -> bool {
        let is_other_parent = self.parent_tgid.is_some() && self.parent_tgid != known.parent_tgid;
        let is_other_leader = self.is_leader() && (self.comm() != known.comm || known.uid != Some(self.uid));
        (self.is_exact() && self.start_ns != known.key.start_ns) || is_other_parent || is_other_leader
    }

    /// Writes down what the event says, the cgroup excepted.
    pub(super) fn write_to(&self, identity: &mut Identity) {
        if self.is_exact() {
            identity.key = self.key();
        }
        identity.parent_tgid = self.parent_tgid.or(identity.parent_tgid);
        if self.is_leader() {
            identity.uid = Some(self.uid);
            if identity.comm != self.comm() {
                identity.comm = self.comm().to_vec();
            }
        }
    }

    /// A process of which only this event is known.
    pub(super) fn identity(&self) -> Identity {
        Identity {
            parent_tgid: self.parent_tgid,
            comm: self.comm().to_vec(),
            uid: Some(self.uid),
            cgroup_id: self.cgroup_id,
            ..Identity::unknown(self.key())
        }
    }

    /// The same, of a process whose start is known from elsewhere.
    pub(super) fn started(&self, start_ns: u64) -> Self {
        Self { start_ns, ..*self }
    }

    /// Threads have names (and, by a raw system call, users) of their own; the process goes by its leader's.
    const fn is_leader(&self) -> bool {
        self.tid == self.tgid
    }

    /// Whether the start is the kernel's, not one that `/proc` rounded.
    const fn is_exact(&self) -> bool {
        !self.start_ns.is_multiple_of(ProcessKey::TICK_NS)
    }
}

fn known(number: u64) -> Option<u64> {
    (number != 0 && number != UNKNOWN).then_some(number)
}
