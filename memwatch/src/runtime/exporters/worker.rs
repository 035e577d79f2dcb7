//! An exporter's thread: delivers, and waits longer and longer while its peer does not take anything.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Turn};
use super::peer::{self, Peer, Trouble};
use super::report;
use crate::export::event::Event;
use crate::export::route::Route;
use crate::sys;

/// Waits between tries: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest that a peer may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Starts the thread of a route. It is not waited for for good when the program ends: its peer may be stuck.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(route: Arc<Route>, lane: Arc<Lane>) -> io::Result<()> {
    std::thread::Builder::new().name("memwatch-export".into()).spawn(move || {
        sys::usual_priority();
        let peer = peer::open(&route, &lane);
        Worker { route, lane, peer, pause: None }.run();
    })?;
    Ok(())
}

struct Worker {
    route: Arc<Route>,
    lane: Arc<Lane>,
    peer: Box<dyn Peer>,
    /// The last pause, while the peer takes nothing.
    pause: Option<Duration>,
}

impl Worker {
    fn run(mut self) {
        let mut batch = VecDeque::new();
        loop {
            match self.lane.next(&mut batch) {
                Turn::Reopen => self.peer.reopen(),
                Turn::Report(account, before) => batch.extend(report::lost(&account, &before).map(Arc::new)),
                Turn::Deliver => {
                    let before = events(&batch);
                    let result = self.peer.deliver(&mut batch);
                    self.settle(before - events(&batch));
                    self.after(result);
                }
                Turn::End => break,
            }
        }
        let account = self.lane.end(events(&batch));
        tracing::info!("exporter {} has ended: {account}", self.route.name);
    }

    /// Counts events that have left.
    fn settle(&mut self, gone: u64) {
        let (refused, reason) = self.peer.refused().unwrap_or_default();
        // What is refused may be a report.
        let refused = refused.min(gone);
        if refused > 0 {
            self.lane.refused(refused, reason);
        }
        self.lane.delivered(gone - refused);
    }

    fn after(&mut self, result: Result<(), Trouble>) {
        let name = &self.route.name;
        match result {
            Ok(()) if self.pause.take().is_none() => {}
            Ok(()) => tracing::info!("exporter {name} delivers again: {}", self.lane.account()),
            Err(Trouble { error, wait }) => {
                if self.pause.is_none() {
                    tracing::warn!("exporter {name} cannot deliver, and goes on trying: {error}");
                }
                let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                self.pause = Some(pause);
                self.lane.pause(wait.map_or(pause, |wait| wait.clamp(pause, LONGEST_WAIT)));
            }
        }
    }
}

/// Events that were produced, without reports.
fn events(batch: &VecDeque<Arc<Event>>) -> u64 {
    batch.iter().filter(|event| event.name != report::NAME).count() as u64
}
