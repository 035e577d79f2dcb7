//! The dead: kept in the order of their burial, so that late events still find who they speak of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::is_one;
use crate::core::fact::{Identity, ProcessKey};

/// Dead processes kept at most.
const DEAD_MAX: usize = 16_384;
/// Bytes that their identities take at most. An identity takes some 600 bytes, one with hostile arguments 4 KiB.
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Dead {
    /// By pid, then start: the holders of one pid stand side by side.
    by_key: BTreeMap<ProcessKey, Grave>,
    order: VecDeque<ProcessKey>,
    bytes: usize,
}

#[derive(Debug)]
struct Grave {
    identity: Arc<Identity>,
    /// `None` when the exit was not seen.
    exit_ns: Option<u64>,
    bytes: usize,
}

impl Dead {
    /// Adds one; returns how many of the oldest had to go for it.
    pub(super) fn push(&mut self, identity: Arc<Identity>, exit_ns: Option<u64>) -> u64 {
        let (key, bytes) = (identity.key, bytes_of(&identity));
        self.bytes += bytes;
        match self.by_key.insert(key, Grave { identity, exit_ns, bytes }) {
            Some(before) => self.bytes -= before.bytes,
            None => self.order.push_back(key),
        }
        let mut forgotten = 0;
        while self.order.len() > DEAD_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front().and_then(|key| self.by_key.remove(&key)) else { break };
            self.bytes -= oldest.bytes;
            forgotten += 1;
        }
        forgotten
    }

    /// How many there are, and the bytes they take.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.by_key.len(), self.bytes)
    }

    /// The dead process of a key.
    pub(super) fn find(&self, key: ProcessKey) -> Option<&Arc<Identity>> {
        let tick = key.start_ns - key.start_ns % ProcessKey::TICK_NS;
        let range = ProcessKey { start_ns: tick, ..key }..ProcessKey {
            start_ns: tick.saturating_add(ProcessKey::TICK_NS),
            ..key
        };
        self.by_key.range(range).find(|(known, _)| is_one(**known, key)).map(|(_, grave)| &grave.identity)
    }

    /// The dead process that surely held a pid at a time: it had started, and its exit was seen and came later.
    pub(super) fn holder(&self, tgid: u32, time_ns: u64) -> Option<&Arc<Identity>> {
        let until = ProcessKey { tgid, start_ns: time_ns };
        let (_, grave) = self.by_key.range(ProcessKey { tgid, start_ns: 0 }..=until).next_back()?;
        grave.exit_ns.is_some_and(|exit_ns| exit_ns >= time_ns).then_some(&grave.identity)
    }
}

/// What an identity takes in memory, about: its own fields and what they own, no allocation being under 32 bytes.
fn bytes_of(identity: &Identity) -> usize {
    let args: usize = identity.args.iter().map(|arg| allocated(arg.capacity()) + size_of_val(arg)).sum();
    let names = [
        identity.container.as_ref().map(|container| container.id.capacity()),
        identity.pod.as_ref().map(|pod| pod.uid.capacity()),
        identity.unit.as_ref().map(String::capacity),
        identity.slice.as_ref().map(String::capacity),
        identity.exe.as_ref().map(Vec::capacity),
        Some(identity.comm.capacity()),
    ];
    let names: usize = names.into_iter().flatten().map(allocated).sum();
    size_of::<Identity>() + size_of::<Grave>() + 3 * size_of::<ProcessKey>() + args + names
}

fn allocated(bytes: usize) -> usize {
    bytes.max(16) + 16
}
