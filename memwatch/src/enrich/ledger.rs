//! The ledger: every process that lives, and the last that died, each known by pid and start time.
//!
//! In goes an [`Event`], out comes a [`Fact`] with the identities of the processes it speaks of. The ledger is seeded
//! from `/proc` and then kept by exec, fork and exit events; a process that it meets for the first time is
//! read from `/proc` once.
//!
//! Invariants:
//! - A pid says nothing without a start time. What `/proc` tells counts only when the process there started when the one
//!   asked for did, or, where an event does not carry a start, before that event (a pid is held without a break
//!   from start to death, so that its holder now was its holder then).
//! - Memory is bounded: the living by the kernel's own limit of pids, the dead by number and bytes.
//! - What cannot be told is left out and counted in [`Losses`].
//!
//! Cost, of a release build on two shared cores of a machine with kernel 6.18, as `tests/cost.rs` measures it: 75 ns for an
//! event of a known process whose name, user and cgroup did not change (one hash look-up and the clone of an `Arc`;
//! the event itself included), 0.7 us for a fork with its exit, 45 us for a process read from `/proc`, so that 3,000
//! processes are entered in 140 ms (210 ms when the kernel meets the folders for the first time).
//!
//! `/proc` is only as exact as a clock tick (10 ms): two holders of one pid within one tick, which takes a process that
//! may choose pids (`CAP_CHECKPOINT_RESTORE`), cannot be told apart by it.

mod dead;
mod executables;
mod life;
mod losses;
mod others;
mod pid_hash;
mod seen;
mod sight;
mod tree;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use dead::Dead;
use executables::Executables;
pub use losses::Losses;
use pid_hash::BuildPidHasher;
use seen::Seen;
use sight::Holder;

use super::cgroup::CgroupTree;
use super::place::Places;
use super::proc::{ProcFs, ReadError};
use crate::core::fact::{Body, Event, Fact, Identity, ProcessKey};

/// Living processes up to which the ledger is not compared with `/proc`.
const RECONCILE_MIN: usize = 16_384;

/// Processes and what is known of them.
#[derive(Debug)]
pub struct Ledger {
    proc: ProcFs,
    places: Places,
    /// By pid: at a time one process holds it.
    live: HashMap<u32, Arc<Identity>, BuildPidHasher>,
    dead: Dead,
    executables: Executables,
    losses: Losses,
    reconcile_at: usize,
}

impl Ledger {
    /// An empty ledger that reads processes from `proc`, and cgroups from where its `self/mountinfo` says.
    ///
    /// # Errors
    /// When the mounts cannot be read.
    pub fn new(proc: ProcFs) -> io::Result<Self> {
        let tree = CgroupTree::new(&proc.mountinfo()?);
        Ok(Self {
            proc,
            places: Places::new(tree),
            live: HashMap::default(),
            dead: Dead::default(),
            executables: Executables::default(),
            losses: Losses::default(),
            reconcile_at: RECONCILE_MIN,
        })
    }

    /// Enters every process that `/proc` shows and the ledger does not hold. To miss none, attach the hooks first.
    ///
    /// # Errors
    /// When `/proc` cannot be listed. A process that ends meanwhile is no error; one that cannot be read is counted.
    pub fn seed(&mut self) -> io::Result<()> {
        for tgid in self.proc.pids()? {
            if self.live.contains_key(&tgid) {
                continue;
            }
            match sight::identity(&self.proc, &mut self.places, tgid, Holder::Any, None) {
                // A process may be dead to the ledger and yet be shown: nobody has waited for it.
                Ok(identity) if self.dead.find(identity.key).is_some() => {}
                Ok(identity) => {
                    self.live.insert(tgid, Arc::new(identity));
                }
                Err(ReadError::Gone { .. } | ReadError::Recycled { .. }) => {}
                Err(ReadError::Io { .. } | ReadError::Parse { .. }) => self.losses.attribution_failed += 1,
            }
        }
        Ok(())
    }

    /// Says which processes an event speaks of, and learns from it.
    pub fn attribute(&mut self, event: Event) -> Fact {
        let seen = Seen::by(&event.header);
        let process = if let Body::Exec(exec) = &event.body {
            self.exec(&seen, exec)
        } else if let Body::Exit(_) = &event.body {
            self.exit(&seen)
        } else {
            self.actor(&seen)
        };
        let other = self.other(&seen, &process, &event.body);
        let domain = if let Body::OomKill(kill) = &event.body {
            self.places.tree.charged_path(kill.domain_id, event.header.time_ns)
        } else {
            None
        };
        Fact { event, process, other, domain }
    }

    /// What is known of a process, alive or dead.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<Arc<Identity>> {
        let living = self.live.get(&key.tgid).filter(|known| is_one(known.key, key));
        living.or_else(|| self.dead.find(key)).map(Arc::clone)
    }

    /// Everything known of the living, in no order.
    pub fn living(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.live.values()
    }

    /// Where processes are read from.
    #[must_use]
    pub const fn proc(&self) -> &ProcFs {
        &self.proc
    }

    /// The cgroups, for filters and reports.
    #[must_use]
    pub fn cgroups(&self) -> &CgroupTree {
        &self.places.tree
    }

    /// The path of a cgroup, if it is known or can be found now.
    pub fn cgroup_path(&mut self, id: u64, now_ns: u64) -> Option<Arc<str>> {
        self.places.tree.path(id, now_ns)
    }

    /// What was shed or not found so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses { cgroup_walks_cut: self.places.tree.walks_cut(), ..self.losses }
    }

    /// Buries processes that `/proc` does not show any more: their exit records were lost. To be called when records
    /// were lost; the ledger does it by itself each time the number of the living has doubled.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn reconcile(&mut self) -> io::Result<()> {
        let here = self.running()?;
        let gone: Vec<u32> = self.live.keys().copied().filter(|tgid| !here.contains(tgid)).collect();
        for tgid in gone {
            self.bury(tgid, None);
        }
        Ok(())
    }

    /// Whether `/proc` does not show a process any more.
    #[must_use]
    pub fn has_ended(&self, key: ProcessKey) -> bool {
        matches!(
            sight::start(&self.proc, key.tgid, Holder::Started(key.start_ns)),
            Err(ReadError::Gone { .. } | ReadError::Recycled { .. })
        )
    }

    /// Every process that `/proc` shows now.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn running(&self) -> io::Result<HashSet<u32>> {
        Ok(self.proc.pids()?.into_iter().collect())
    }

    /// The process that an event names. Starts unknown to the kernel side are looked up first.
    fn actor(&mut self, seen: &Seen) -> Arc<Identity> {
        if seen.start_ns != 0 {
            return self.known_or_met(seen);
        }
        match sight::start(&self.proc, seen.tgid, Holder::Before(seen.time_ns)) {
            Ok(start_ns) => self.known_or_met(&seen.started(start_ns)),
            Err(_) => Arc::new(self.stranger(seen)),
        }
    }

    fn known_or_met(&mut self, seen: &Seen) -> Arc<Identity> {
        match self.live.get(&seen.tgid) {
            Some(known) if is_one(known.key, seen.key()) => {
                if seen.adds_nothing_to(known) {
                    Arc::clone(known)
                } else {
                    self.refreshed(seen)
                }
            }
            Some(_) | None => self.met(seen),
        }
    }

    /// A process that is not among the living.
    fn met(&mut self, seen: &Seen) -> Arc<Identity> {
        if let Some(dead) = self.dead.find(seen.key()) {
            return Arc::clone(dead);
        }
        if let Some(holder) = self.live.get(&seen.tgid) {
            if holder.key.start_ns > seen.start_ns {
                // An earlier holder of the pid, never seen or forgotten: nothing that lives may lend it its identity.
                return Arc::new(self.stranger(seen));
            }
            self.bury(seen.tgid, None);
        }
        let holder = Holder::Started(seen.start_ns);
        let identity = sight::identity(&self.proc, &mut self.places, seen.tgid, holder, seen.cgroup_id);
        let identity = match identity {
            Ok(identity) => Identity { key: seen.key(), ..identity },
            Err(_) => self.stranger(seen),
        };
        self.enter(identity)
    }

    /// A living process of which an event tells something new: a start to the nanosecond, another name, user, parent or
    /// cgroup, or one whose cgroup path was not found yet.
    fn refreshed(&mut self, seen: &Seen) -> Arc<Identity> {
        let Some(known) = self.live.get_mut(&seen.tgid) else { return self.met(seen) };
        let moved = seen.cgroup_id.is_some() && seen.cgroup_id != known.cgroup_id;
        let place = if moved {
            Some(sight::place(&self.proc, &mut self.places, seen))
        } else if known.cgroup_path.is_none() {
            Some(self.places.by_id(known.cgroup_id, seen.time_ns)).filter(super::place::Place::is_named)
        } else {
            None
        };
        if place.is_some() || seen.differs_from(known) {
            let identity = Arc::make_mut(known);
            seen.write_to(identity);
            if let Some(place) = place {
                place.put(identity);
            }
        }
        Arc::clone(known)
    }

    /// A process of which nothing is known but what the event says.
    fn stranger(&mut self, seen: &Seen) -> Identity {
        self.losses.attribution_failed += 1;
        let mut identity = seen.identity();
        self.places.by_id(seen.cgroup_id, seen.time_ns).put(&mut identity);
        identity
    }

    /// Enters a living process.
    fn enter(&mut self, identity: Identity) -> Arc<Identity> {
        if self.live.len() >= self.reconcile_at {
            // A `/proc` that cannot be listed leaves the bound to the kernel's limit of pids.
            let _ = self.reconcile();
            self.reconcile_at = (self.live.len() * 2).max(RECONCILE_MIN);
        }
        let identity = Arc::new(identity);
        self.live.insert(identity.key.tgid, Arc::clone(&identity));
        identity
    }

    /// Moves the holder of a pid to the dead. Without a time its end was inferred, not seen.
    fn bury(&mut self, tgid: u32, exit_ns: Option<u64>) {
        if let Some(identity) = self.live.remove(&tgid) {
            self.losses.exits_inferred += u64::from(exit_ns.is_none());
            self.losses.dead_forgotten += self.dead.push(identity, exit_ns);
        }
    }
}

/// Whether both keys mean one process: to the nanosecond where neither comes from `/proc`, else to the tick.
fn is_one(known: ProcessKey, seen: ProcessKey) -> bool {
    let is_rounded = |key: ProcessKey| key.start_ns.is_multiple_of(ProcessKey::TICK_NS);
    known == seen || (known.is_same(seen) && (is_rounded(known) || is_rounded(seen)))
}

#[cfg(test)]
mod tests;
