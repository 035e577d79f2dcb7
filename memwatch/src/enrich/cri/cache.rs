//! What is known of containers, also of those that are gone; and who is being asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::core::naming::Naming;

/// Containers and sandboxes that are kept, those that are gone included.
const ENTRIES_MAX: usize = 16_384;
/// Bytes of text of all of them.
const BYTES_MAX: usize = 16 << 20;
/// How long one is kept that is gone: its events are read by then, and what is told of them later is about the dead.
pub(super) const KEPT: Duration = Duration::from_secs(600);
/// Ids that nobody knows, or did not know yet.
const ASKED_MAX: usize = 4_096;
/// How long an id that nobody knows is not asked for again.
const DENIED: Duration = Duration::from_secs(600);

/// What could not be asked or kept; counters that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Calls to a runtime that failed, took too long, or brought what makes no sense.
    pub calls_failed: u64,
    /// Containers that were forgotten while they may have been of use, or not taken in, because there are too many.
    pub not_kept: u64,
    /// Questions that were dropped because too many were open; an id is asked for again when an event brings it again.
    pub not_asked: u64,
}

/// The names of containers by id.
#[derive(Debug)]
pub(super) struct Cache {
    known: HashMap<Box<str>, Known>,
    /// Those that are gone, the first one first.
    gone: VecDeque<(Box<str>, Instant)>,
    bytes: usize,
    asked: HashMap<Box<str>, Asked>,
    /// Runtimes that are asked.
    runtimes: usize,
    losses: Losses,
}

#[derive(Debug)]
struct Known {
    naming: Arc<Naming>,
    /// The runtime that told of it.
    runtime: usize,
    is_gone: bool,
}

#[derive(Debug)]
struct Asked {
    since: Instant,
    /// Runtimes that have not answered yet; 0: none knows it.
    open: usize,
}

impl Cache {
    pub(super) fn new(runtimes: usize) -> Self {
        Self {
            known: HashMap::new(),
            gone: VecDeque::new(),
            bytes: 0,
            asked: HashMap::new(),
            runtimes,
            losses: Losses::default(),
        }
    }

    pub(super) fn naming(&self, id: &str) -> Option<Arc<Naming>> {
        self.known.get(id).map(|known| Arc::clone(&known.naming))
    }

    pub(super) const fn losses(&self) -> Losses {
        self.losses
    }

    /// Takes in what a runtime says of a container that is there.
    pub(super) fn insert(&mut self, runtime: usize, id: &str, naming: Naming) {
        self.asked.remove(id);
        if let Some(known) = self.known.get_mut(id) {
            known.runtime = runtime;
            if std::mem::take(&mut known.is_gone) {
                self.gone.retain(|(other, _)| **other != *id);
            }
            if *known.naming != naming {
                self.bytes = self.bytes - known.naming.bytes() + naming.bytes();
                known.naming = Arc::new(naming);
            }
            return;
        }
        let bytes = naming.bytes();
        while self.known.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX {
            self.losses.not_kept += 1;
            if !self.forget_first() {
                return;
            }
        }
        self.bytes += bytes;
        let known = Known { naming: Arc::new(naming), runtime, is_gone: false };
        self.known.insert(id.into(), known);
    }

    /// A container is gone; what is known of it stays for a time.
    pub(super) fn went(&mut self, id: &str, now: Instant) {
        if let Some(known) = self.known.get_mut(id)
            && !std::mem::replace(&mut known.is_gone, true)
        {
            self.gone.push_back((id.into(), now));
        }
    }

    /// A runtime has no other containers than these.
    pub(super) fn only(&mut self, runtime: usize, is_there: impl Fn(&str) -> bool, now: Instant) {
        let missing: Vec<_> = self
            .known
            .iter()
            .filter(|(id, known)| known.runtime == runtime && !known.is_gone && !is_there(id))
            .map(|(id, _)| id.clone())
            .collect();
        missing.iter().for_each(|id| self.went(id, now));
    }

    /// Forgets what is gone for long.
    pub(super) fn purge(&mut self, now: Instant) {
        let is_old = |gone: &VecDeque<(Box<str>, Instant)>| {
            gone.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > KEPT)
        };
        while is_old(&self.gone) {
            self.forget_first();
        }
        self.asked.retain(|_, asked| now.saturating_duration_since(asked.since) < DENIED);
    }

    /// Whether any is there whose end would be of interest.
    pub(super) fn has_living(&self) -> bool {
        self.known.len() > self.gone.len()
    }

    fn forget_first(&mut self) -> bool {
        let Some((id, _)) = self.gone.pop_front() else { return false };
        if let Some(known) = self.known.remove(&id) {
            self.bytes -= known.naming.bytes();
        }
        true
    }

    /// Whether nobody was asked for it yet.
    pub(super) fn is_new(&mut self, id: &str, now: Instant) -> bool {
        if self.asked.contains_key(id) {
            return false;
        }
        if self.asked.len() >= ASKED_MAX {
            self.asked.retain(|_, asked| asked.open > 0 && asked.is_awaited(now));
        }
        let has_room = self.asked.len() < ASKED_MAX;
        self.shed(u64::from(!has_room));
        has_room
    }

    /// So many questions are dropped.
    pub(super) const fn shed(&mut self, questions: u64) {
        self.losses.not_asked += questions;
    }

    /// So many runtimes are asked for it.
    pub(super) fn asked(&mut self, id: &str, runtimes: usize, now: Instant) {
        self.asked.insert(id.into(), Asked { since: now, open: runtimes.min(self.runtimes) });
    }

    /// Whether an answer may still come that an event should wait for.
    pub(super) fn is_awaited(&self, id: &str, now: Instant) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.open > 0 && asked.is_awaited(now))
    }

    /// A runtime does not know it, or cannot be asked.
    pub(super) fn denied(&mut self, id: &str) {
        if let Some(asked) = self.asked.get_mut(id) {
            asked.open = asked.open.saturating_sub(1);
        }
    }
}

impl Asked {
    fn is_awaited(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::naming::PodNaming;

    fn naming(name: &str) -> Naming {
        Naming { name: Some(name.to_owned()), ..Naming::default() }
    }

    #[test]
    fn what_is_gone_stays_known_for_a_time() {
        let start = Instant::now();
        let mut cache = Cache::new(1);
        cache.insert(0, "a", naming("first"));
        cache.insert(0, "b", naming("second"));
        cache.only(0, |id| id == "b", start);
        cache.purge(start + KEPT);
        assert_eq!(cache.naming("a").as_deref(), Some(&naming("first")));
        cache.purge(start + KEPT + Duration::from_secs(1));
        assert_eq!((cache.naming("a"), cache.naming("b").is_some()), (None, true));
        assert_eq!(cache.bytes, "second".len());
        assert!(cache.has_living());
        cache.went("b", start);
        assert!(!cache.has_living());
    }

    #[test]
    fn another_runtime_says_nothing_of_ours() {
        let mut cache = Cache::new(2);
        cache.insert(0, "a", naming("first"));
        cache.only(1, |_| false, Instant::now());
        assert!(cache.has_living());
    }

    #[test]
    fn who_is_there_again_is_not_forgotten() {
        let start = Instant::now();
        let mut cache = Cache::new(1);
        cache.insert(0, "a", naming("first"));
        cache.went("a", start);
        cache.insert(0, "a", naming("renamed"));
        cache.purge(start + KEPT * 2);
        assert_eq!(cache.naming("a").as_deref(), Some(&naming("renamed")));
        assert_eq!(cache.bytes, "renamed".len());
    }

    #[test]
    fn the_dead_make_room_and_the_living_are_bounded() {
        let mut cache = Cache::new(1);
        for number in 0..ENTRIES_MAX {
            cache.insert(0, &number.to_string(), naming("x"));
        }
        cache.insert(0, "one more", naming("x"));
        assert_eq!((cache.known.len(), cache.losses().not_kept), (ENTRIES_MAX, 1));
        assert!(cache.naming("one more").is_none());
        cache.went("7", Instant::now());
        cache.insert(0, "one more", naming("x"));
        assert_eq!((cache.known.len(), cache.losses().not_kept), (ENTRIES_MAX, 2));
        assert!(cache.naming("one more").is_some() && cache.naming("7").is_none());
    }

    #[test]
    fn bytes_are_bounded_whatever_the_number() {
        let mut cache = Cache::new(1);
        let large = |number: usize| Naming {
            pod: PodNaming { name: Some(number.to_string().repeat(1 << 18)), ..PodNaming::default() },
            ..Naming::default()
        };
        (0..10).for_each(|number| cache.insert(0, &number.to_string(), large(number)));
        (10..80).for_each(|number| cache.insert(0, &number.to_string(), large(number)));
        assert!(cache.bytes <= BYTES_MAX, "{}", cache.bytes);
        assert!(cache.losses().not_kept > 0);
    }

    #[test]
    fn an_id_is_asked_for_once_and_waited_for_as_long_as_it_may() {
        let start = Instant::now();
        let mut cache = Cache::new(2);
        assert!(cache.is_new("a", start));
        cache.asked("a", 2, start);
        assert!(!cache.is_new("a", start));
        assert!(cache.is_awaited("a", start));
        cache.denied("a");
        assert!(cache.is_awaited("a", start), "the other one may know it");
        assert!(!cache.is_awaited("a", start + PATIENCE));
        cache.denied("a");
        assert!(!cache.is_awaited("a", start));
        assert!(!cache.is_new("a", start), "not again and again");
        cache.purge(start + DENIED);
        assert!(cache.is_new("a", start));
    }

    #[test]
    fn ids_that_nobody_knows_are_bounded() {
        let start = Instant::now();
        let mut cache = Cache::new(1);
        for number in 0..ASKED_MAX {
            assert!(cache.is_new(&number.to_string(), start));
            cache.asked(&number.to_string(), 1, start);
        }
        assert!(!cache.is_new("one more", start), "all may still be answered");
        cache.denied("7");
        assert!(cache.is_new("one more", start));
        assert!(cache.is_new("7", start + PATIENCE));
    }
}
