//! How many events of one kind an exporter may have in a time.

use std::time::{Duration, Instant};

use crate::export::route::Rate;

/// Counts kinds, window by window.
#[derive(Debug)]
pub(super) struct Limiter {
    events: u64,
    window: Duration,
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    since: Instant,
    events: u64,
}

impl Limiter {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { events: rate.events, window: Duration::from_nanos(rate.per_ns), kinds: Vec::new() }
    }

    /// Whether one more may go.
    pub(super) fn admits(&mut self, name: &'static str, now: Instant) -> bool {
        let Some(kind) = self.kinds.iter_mut().find(|kind| kind.name == name) else {
            self.kinds.push(Kind { name, since: now, events: 1 });
            return self.events > 0;
        };
        if now.saturating_duration_since(kind.since) >= self.window {
            (kind.since, kind.events) = (now, 0);
        }
        kind.events = kind.events.saturating_add(1);
        kind.events <= self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_number_in_each_window() {
        let mut limiter = Limiter::new(Rate { events: 2, per_ns: 1_000_000_000 });
        let start = Instant::now();
        let admitted: Vec<_> = (0..4).map(|_| limiter.admits("a", start)).collect();
        assert_eq!(admitted, [true, true, false, false]);
        assert!(limiter.admits("b", start));
        let later = start + Duration::from_secs(1);
        assert!(limiter.admits("a", later) && limiter.admits("a", later) && !limiter.admits("a", later));
    }
}
