//! The process that a line is about.

use memwatch_ebpf::abi::event::OomKill;

use crate::core::fact::{Body, Fact, Identity, ProcessKey};

/// The process of a fact, with what the record itself says where nothing more is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The process.
    pub(super) key: ProcessKey,
    /// What is known of it.
    pub(super) identity: Option<&'a Identity>,
    /// Its thread.
    pub(super) tid: u32,
    /// Name of the thread.
    pub(super) thread_name: &'a [u8],
    parent_tgid: u32,
    uid: u32,
    cgroup_id: u64,
}

impl<'a> Subject<'a> {
    /// The subject of a fact: the victim of an OOM kill, else the process that the header names.
    pub(super) fn of(fact: &'a Fact) -> Self {
        let header = &fact.event.header;
        if let Body::OomKill(kill) = &fact.event.body {
            return Self::victim(kill, fact.other.as_deref());
        }
        Self {
            key: fact.process.key,
            identity: Some(&fact.process),
            tid: header.tid,
            thread_name: until_zero(&header.comm),
            parent_tgid: header.parent_tgid,
            uid: header.uid,
            cgroup_id: header.cgroup_id,
        }
    }

    fn victim(kill: &'a OomKill, identity: Option<&'a Identity>) -> Self {
        Self {
            key: ProcessKey { tgid: kill.tgid, start_ns: kill.start_ns },
            identity,
            tid: kill.tid,
            thread_name: until_zero(&kill.comm),
            parent_tgid: kill.parent_tgid,
            uid: kill.uid,
            cgroup_id: kill.cgroup_id,
        }
    }

    /// Name of the process.
    pub(super) fn comm(&self) -> &'a [u8] {
        match self.identity {
            Some(identity) if !identity.comm.is_empty() => &identity.comm,
            Some(_) | None => self.thread_name,
        }
    }

    /// Process id of the parent, when known.
    pub(super) fn parent_tgid(&self) -> Option<u32> {
        self.identity.and_then(|known| known.parent_tgid).or_else(|| known(self.parent_tgid, 0))
    }

    /// Real user id, when known.
    pub(super) fn uid(&self) -> Option<u32> {
        self.identity.and_then(|known| known.uid).or_else(|| known(self.uid, u32::MAX))
    }

    /// Id of the cgroup, when known.
    pub(super) fn cgroup_id(&self) -> Option<u64> {
        self.identity.and_then(|known| known.cgroup_id).or_else(|| known(self.cgroup_id, 0))
    }
}

/// The bytes of a kernel string in front of its padding.
pub(super) fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// `value`, unless it is the one that stands for "not known".
pub(super) fn known<T: PartialEq>(value: T, unknown: T) -> Option<T> {
    (value != unknown).then_some(value)
}
