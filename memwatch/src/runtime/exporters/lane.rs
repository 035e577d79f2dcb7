//! The way of events from the loop to one exporter's thread.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::export::account::Account;
use crate::export::event::Event;
use crate::runtime::outlet::Progress;

/// Events that the thread takes at once.
const BATCH: usize = 256;
/// Time between two reports to the peer of what it did not get.
const REPORT: Duration = Duration::from_secs(1);
/// A wait that something else ends.
const LONG: Duration = Duration::from_secs(3600);

/// Both ends of the queue.
#[derive(Debug)]
pub(super) struct Lane {
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Ends a write that waits for its reader.
    pub(super) progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Event>>,
    account: Account,
    /// Why the peer last refused events.
    refusal: String,
    /// The account as it was reported, and when.
    reported: Option<(Account, Instant)>,
    is_to_reopen: bool,
    /// Set when it is to end: until when.
    deadline: Option<Instant>,
    has_ended: bool,
}

/// What the thread is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Deliver what it has.
    Deliver,
    /// Open anew what it writes to.
    Reopen,
    /// Tell the peer what it did not get: what became of events by now, and by the last report.
    Report(Account, Account),
    /// End.
    End,
}

impl Lane {
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            capacity,
            state: Mutex::default(),
            changed: Condvar::new(),
            progress: Arc::new(Progress::new()?),
        })
    }

    /// Held for moments only, by either end.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in; where there is no room the oldest goes. One that may not go there is counted only.
    pub(super) fn put(&self, event: Arc<Event>, may_go: bool) {
        let mut state = self.state();
        state.account.produced += 1;
        if !may_go {
            state.account.held_back += 1;
            drop(state);
            self.changed.notify_one();
            return;
        }
        // What is shed is freed when the other end is not kept waiting any more.
        let mut oldest = None;
        if state.queue.len() >= self.capacity {
            oldest = state.queue.pop_front();
            state.account.shed += 1;
        }
        state.queue.push_back(event);
        drop(state);
        drop(oldest);
        self.changed.notify_one();
    }

    pub(super) fn account(&self) -> Account {
        self.state().account
    }

    pub(super) fn reopen(&self) {
        self.state().is_to_reopen = true;
        self.changed.notify_all();
    }

    /// Has the thread end when all is delivered, or this time is over.
    pub(super) fn close(&self, linger: Duration) {
        self.state().deadline = Some(Instant::now() + linger);
        self.changed.notify_all();
    }

    /// Ends a write that waits, once the time to end is over.
    pub(super) fn stop_when_late(&self) {
        let state = self.state();
        if !state.has_ended && state.is_late() {
            self.progress.stop();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// Whether the thread ends by then.
    pub(super) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        while !state.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }

    /// The thread's end: waits for something to do. A batch that is not empty is what the last try left.
    pub(super) fn next(&self, batch: &mut VecDeque<Arc<Event>>) -> Turn {
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.is_to_reopen) {
                return Turn::Reopen;
            }
            if state.is_late() {
                return Turn::End;
            }
            let report_in = state.report_in();
            if batch.is_empty() && report_in.is_some_and(|time| time.is_zero()) {
                let account = state.account;
                let before = state.reported.replace((account, Instant::now()));
                return Turn::Report(account, before.map(|(account, _)| account).unwrap_or_default());
            }
            if batch.is_empty() {
                let length = state.queue.len().min(BATCH);
                batch.extend(state.queue.drain(..length));
            }
            if !batch.is_empty() {
                return Turn::Deliver;
            }
            if state.deadline.is_some() {
                return Turn::End;
            }
            state = self.wait(state, report_in.unwrap_or(LONG));
        }
    }

    /// Waits before another try; sooner over when it is to open anew, to end, or late in that.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state();
        let was_ending = state.deadline.is_some();
        while !state.is_to_reopen && !state.is_late() && was_ending == state.deadline.is_some() {
            let until = state.deadline.map_or(until, |deadline| deadline.min(until));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    /// Counts what the peer took.
    pub(super) fn delivered(&self, events: u64) {
        self.state().account.delivered += events;
    }

    /// Counts what the peer refused for good.
    pub(super) fn refused(&self, events: u64, reason: String) {
        let mut state = self.state();
        state.account.shed += events;
        state.account.refused += events;
        state.refusal = reason;
    }

    /// Why the peer last refused events.
    pub(super) fn refusal(&self) -> String {
        self.state().refusal.clone()
    }

    /// Ends: what is left is given up, and counted.
    pub(super) fn end(&self, in_hand: u64) -> Account {
        let mut state = self.state();
        state.account.shed += in_hand + state.queue.len() as u64;
        state.queue.clear();
        state.has_ended = true;
        self.changed.notify_all();
        state.account
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// Time until the peer is to be told what it did not get; `None`: it knows.
    fn report_in(&self) -> Option<Duration> {
        let missing = |account: &Account| account.shed + account.held_back;
        match &self.reported {
            None => (missing(&self.account) > 0).then_some(Duration::ZERO),
            Some((told, at)) => (missing(&self.account) > missing(told))
                .then(|| (*at + REPORT).saturating_duration_since(Instant::now())),
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::event::Severity;

    fn event(number: u8) -> Arc<Event> {
        let (name, severity) = ("memwatch.test", Severity::Info);
        Arc::new(Event { name, severity, object: vec![number], sentence: None })
    }

    #[test]
    fn the_oldest_goes_first() {
        let lane = Lane::new(2).expect("a lane");
        (0..5).for_each(|number| lane.put(event(number), number != 4));
        let account = Account { produced: 5, shed: 2, held_back: 1, ..Account::default() };
        let mut batch = VecDeque::new();
        assert_eq!(lane.next(&mut batch), Turn::Report(account, Account::default()));
        assert_eq!(lane.next(&mut batch), Turn::Deliver);
        let kept: Vec<_> = batch.iter().map(|event| event.object[0]).collect();
        assert_eq!(kept, [2, 3]);
        lane.delivered(1);
        assert_eq!(lane.account(), Account { delivered: 1, ..account });
        assert_eq!(lane.account().queued(), 1);
        lane.refused(1, "no room".to_owned());
        assert_eq!((lane.account().queued(), lane.refusal().as_str()), (0, "no room"));
        lane.put(event(5), true);
        let account = Account { produced: 6, delivered: 1, shed: 4, refused: 1, ..account };
        assert_eq!(lane.end(0), account);
    }

    #[test]
    fn a_closed_lane_gives_what_it_has_until_it_is_late() {
        let lane = Lane::new(2).expect("a lane");
        lane.put(event(0), true);
        lane.close(Duration::from_secs(60));
        let mut batch = VecDeque::new();
        assert_eq!(lane.next(&mut batch), Turn::Deliver);
        batch.clear();
        assert_eq!(lane.next(&mut batch), Turn::End);
        lane.put(event(1), true);
        lane.close(Duration::ZERO);
        assert_eq!(lane.next(&mut batch), Turn::End);
    }
}
