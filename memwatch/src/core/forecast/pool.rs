//! What was seen of one pool: its master, its workers, and what those left that have ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rate::Series;
use super::worker::Track;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Figures, Server, Who};

/// A master and its workers.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The server it is of; `None`: the operator named the master.
    pub server: Option<&'static Server>,
    /// The master.
    pub master: Arc<Who>,
    /// Living workers.
    pub workers: BTreeMap<ProcessKey, Track>,
    /// Workers that lived at once at most.
    pub most: usize,
    /// Workers that ended.
    pub ended: u64,
    /// What the pool took as a whole, pages shared within it counted once, over time.
    pub used: Series,
    /// Connections taken when they were first told, and when they last were.
    connections: Option<(u64, u64)>,
    is_counted: bool,
    of_master: Track,
    past: Past,
}

/// What all workers showed, the ended ones included; in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Past {
    /// The least that a settled worker had private.
    pub least: Option<u64>,
    /// The most that one ever had private, and which.
    pub highest: u64,
    /// Who that was.
    pub largest: Option<ProcessKey>,
    /// The most that one gained in ten seconds.
    pub step: u64,
    /// Bytes a second of the one that grows fastest of those that grow steadily.
    pub steady: Option<f64>,
    /// The most that one had resident and shared.
    pub shared: u64,
    /// What they gained together since they had settled.
    pub gained: u64,
    /// In how much time of workers, in nanoseconds.
    pub gained_in_ns: u64,
}

impl Pool {
    pub(super) fn new(server: Option<&'static Server>, master: Arc<Who>) -> Self {
        Self {
            server,
            of_master: Track::new(master.key.start_ns),
            master,
            workers: BTreeMap::new(),
            most: 0,
            ended: 0,
            used: Series::default(),
            connections: None,
            is_counted: true,
            past: Past::default(),
        }
    }

    pub(super) fn begins(&mut self, key: ProcessKey) {
        self.workers.entry(key).or_insert_with(|| Track::new(key.start_ns));
        self.most = self.most.max(self.workers.len());
    }

    pub(super) fn ends(&mut self, key: ProcessKey) {
        if let Some(track) = self.workers.remove(&key) {
            self.ended += 1;
            self.past.take(key, &track);
        }
    }

    pub(super) fn look(&mut self, now_ns: u64, key: ProcessKey, figures: Figures) {
        if let Some(track) = self.workers.get_mut(&key) {
            track.look(now_ns, figures);
        }
    }

    pub(super) fn look_at_master(&mut self, now_ns: u64, figures: Figures) {
        self.of_master.look(now_ns, figures);
    }

    /// Keeps what the pool takes now, once each of its processes was looked at.
    pub(super) fn note(&mut self, now_ns: u64) {
        if let Some(used) = self.total() {
            self.used.add(now_ns, used);
        }
    }

    /// What the pool takes: the master, and the workers that were looked at. `None` while none was.
    fn total(&self) -> Option<u64> {
        let workers: u64 = self.workers.values().filter_map(|track| track.part).sum();
        (workers > 0).then(|| workers + self.of_master.part.unwrap_or(0))
    }

    /// Connections that it took since it was watched; `None` where they cannot be told from those of others.
    #[must_use]
    pub fn served(&self) -> Option<u64> {
        self.connections.map(|(first, last)| last.saturating_sub(first)).filter(|served| *served > 0)
    }

    /// Takes the number of connections taken so far; once it cannot be told it never can.
    pub(super) fn take_connections(&mut self, taken: Option<u64>) {
        let first = self.connections.map(|(first, _)| first);
        if self.is_counted {
            self.connections = taken.map(|taken| (first.unwrap_or(taken), taken));
        }
        self.is_counted &= taken.is_some();
    }

    /// What of it is no worker's alone: the master, and pages that are shared.
    #[must_use]
    pub fn common(&self) -> u64 {
        let private: u64 = self.workers.values().filter_map(|track| track.now).sum();
        self.total().unwrap_or(0).saturating_sub(private)
    }

    /// What all workers showed.
    #[must_use]
    pub fn past(&self) -> Past {
        let mut past = self.past;
        for (key, track) in &self.workers {
            past.take(*key, track);
        }
        past
    }
}

impl Past {
    fn take(&mut self, key: ProcessKey, track: &Track) {
        let Some(first) = track.first() else { return };
        self.least = Some(self.least.map_or(first, |least| least.min(first)));
        if track.highest > self.highest {
            (self.highest, self.largest) = (track.highest, Some(key));
        }
        self.step = self.step.max(track.step);
        self.shared = self.shared.max(track.shared);
        self.steady = self.steady.into_iter().chain(track.steady()).reduce(f64::max);
        let (gained, in_ns) = track.gained();
        self.gained = self.gained.saturating_add(gained);
        self.gained_in_ns = self.gained_in_ns.saturating_add(in_ns);
    }
}
