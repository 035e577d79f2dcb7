//! What waits until the container that it speaks of has a name, or until it has waited long enough.
//!
//! What speaks of one container leaves in the order it came; nobody waits for the containers of others.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::core::fact::Container;
use crate::enrich::cri::{Answer, Containers, PATIENCE};

/// What may wait at a time; beyond it the oldest leaves with what is known.
const MOST: usize = 4_096;

/// What waits, the oldest first.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    containers: Containers,
    held: VecDeque<Held<T>>,
    by_container: HashMap<String, usize>,
    unnamed: u64,
}

#[derive(Debug)]
struct Held<T> {
    until: Instant,
    container: Container,
    item: T,
}

impl<T> Waiting<T> {
    pub(super) fn new(containers: Containers) -> Self {
        Self { containers, held: VecDeque::new(), by_container: HashMap::new(), unnamed: 0 }
    }

    /// Asks others from now on.
    pub(super) fn change(&mut self, containers: Containers) {
        self.containers = containers;
    }

    /// The names that are waited for.
    pub(super) const fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Whether what speaks of a container is to wait.
    pub(super) fn awaits(&self, container: &Container) -> bool {
        self.by_container.contains_key(&container.id) || self.containers.look_up(container) == Answer::Awaited
    }

    pub(super) fn push(&mut self, container: &Container, item: T) {
        *self.by_container.entry(container.id.clone()).or_default() += 1;
        let until = Instant::now() + PATIENCE;
        self.held.push_back(Held { until, container: container.clone(), item });
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes what need not wait any more, into `ready`; all of it when told so.
    pub(super) fn take_ready(&mut self, all: bool, ready: &mut Vec<T>) {
        if self.held.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut answers: HashMap<String, Answer> = HashMap::new();
        // Many at once, so that a flood does not have all looked at for each that comes.
        let mut too_many = if self.is_crowded() { MOST / 4 } else { 0 };
        for held in std::mem::take(&mut self.held) {
            let id = &held.container.id;
            let answer = match answers.get(id) {
                Some(answer) => answer.clone(),
                None => {
                    let answer = self.containers.look_up(&held.container);
                    answers.insert(id.clone(), answer.clone());
                    answer
                }
            };
            if answer == Answer::Awaited && held.until > now && too_many == 0 && !all {
                self.held.push_back(held);
                continue;
            }
            too_many = too_many.saturating_sub(1);
            self.unnamed += u64::from(!matches!(answer, Answer::Known(_)));
            if let Some(count) = self.by_container.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.by_container.remove(id);
                }
            }
            ready.push(held.item);
        }
    }

    /// Whether there are more than may wait.
    pub(super) fn is_crowded(&self) -> bool {
        self.held.len() > MOST
    }

    /// What left without the name it had waited for.
    pub(super) const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Waits until something need not wait any more. Safe to give up waiting for.
    pub(super) async fn ready(&self) {
        // The first one in is the first one late.
        let Some(until) = self.held.front().map(|held| held.until) else {
            return std::future::pending().await;
        };
        tokio::select! {
            () = self.containers.changed() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::core::naming::Naming;
    use crate::enrich::cri::Sockets;

    fn container(id: &str) -> Container {
        Container { id: id.to_owned(), runtime: None }
    }

    /// A runtime that never answers.
    struct Stalled(PathBuf, #[expect(dead_code, reason = "it is to stay open")] UnixListener);

    impl Stalled {
        fn new(name: &str) -> Self {
            let name = format!("memwatch-waiting-{}-{name}.sock", std::process::id());
            let path = std::env::temp_dir().join(name);
            // What an earlier run left.
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).expect("a socket");
            Self(path, listener)
        }

        fn containers(&self) -> Containers {
            Containers::start(&Sockets::At(vec![self.0.clone()])).expect("a thread")
        }
    }

    impl Drop for Stalled {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn who_is_known_or_asked_for_by_nobody_does_not_wait() {
        let known = Containers::knowing([("a".to_owned(), Naming::default())]);
        let waiting = Waiting::<u32>::new(known);
        assert!(!waiting.awaits(&container("a")) && !waiting.awaits(&container("b")));
    }

    #[test]
    fn all_leave_in_order_and_in_time() {
        let stalled = Stalled::new("order");
        let mut waiting = Waiting::new(stalled.containers());
        for number in 0..6 {
            let container = container(if number % 2 == 0 { "even" } else { "odd" });
            assert!(waiting.awaits(&container));
            waiting.push(&container, number);
        }
        let mut ready = Vec::new();
        waiting.take_ready(false, &mut ready);
        assert_eq!((ready.len(), waiting.len()), (0, 6));
        std::thread::sleep(PATIENCE + Duration::from_millis(10));
        waiting.take_ready(false, &mut ready);
        assert_eq!(ready, [0, 1, 2, 3, 4, 5]);
        assert_eq!((waiting.len(), waiting.unnamed(), waiting.by_container.len()), (0, 6, 0));
        assert!(!waiting.awaits(&container("even")), "once is enough");
    }

    #[test]
    fn a_crowd_has_the_oldest_leave() {
        let stalled = Stalled::new("crowd");
        let mut waiting = Waiting::new(stalled.containers());
        let container = container("a");
        assert!(waiting.awaits(&container));
        (0..=MOST).for_each(|number| waiting.push(&container, number));
        assert!(waiting.is_crowded());
        let mut ready = Vec::new();
        waiting.take_ready(false, &mut ready);
        // On a machine that is slow enough all are late by now.
        assert!(ready.len() >= MOST / 4 && !waiting.is_crowded(), "{} left", ready.len());
        assert!(ready.is_sorted());
        waiting.take_ready(true, &mut ready);
        assert_eq!((ready.len(), waiting.len()), (MOST + 1, 0));
        assert!(ready.is_sorted());
    }
}
