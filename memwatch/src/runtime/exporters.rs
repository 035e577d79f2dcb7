//! Hands events to exporters: each has a bounded queue, a thread that may wait, and an account to the event.
//!
//! A new exporter is a file in `peer/` and a variant of [`Destination`](crate::export::route::Destination); the compiler names the
//! places that are left. Invariants: [`Exporters::offer`] never waits for a peer; of what is produced for an exporter each event is
//! delivered, shed, held back or on its way.

mod lane;
mod limiter;
mod peer;
pub(super) mod report;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lane::Lane;
use limiter::Limiter;
pub(super) use peer::unreachable;

use crate::core::quantity::Counted;
use crate::export::account::Account;
use crate::export::event::Event;
use crate::export::route::Route;

/// How long an exporter that ends may take for what it has.
const LINGER: Duration = Duration::from_secs(2);
/// How long its thread may take to stop after that: it is late only where it waits in a write to a disk.
const STOP: Duration = Duration::from_millis(200);

/// All exporters.
#[derive(Debug, Default)]
pub(super) struct Exporters {
    running: Vec<Exporter>,
    /// Those that the configuration has no more, until they have ended.
    leaving: Vec<Exporter>,
}

#[derive(Debug)]
struct Exporter {
    route: Arc<Route>,
    lane: Arc<Lane>,
    limiter: Option<Limiter>,
    /// What became of events, as far as that was told on standard error.
    told: Account,
}

impl Exporters {
    /// Starts these.
    ///
    /// # Errors
    /// When a thread or a descriptor cannot be had.
    pub(super) fn start(routes: Vec<Route>) -> io::Result<Self> {
        let running = routes.into_iter().map(Exporter::start).collect::<io::Result<_>>()?;
        Ok(Self { running, leaving: Vec::new() })
    }

    /// Whether nobody is told anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether any may have the arguments of processes.
    pub(super) fn wants_arguments(&self) -> bool {
        self.running.iter().any(|exporter| exporter.route.has_arguments)
    }

    /// Hands an event to each exporter that it is meant for.
    pub(super) fn offer(&mut self, event: Event) {
        let event = Arc::new(event);
        let now = Instant::now();
        for exporter in self.running.iter_mut().filter(|exporter| exporter.route.takes(&event)) {
            let has_room = exporter.limiter.as_mut().is_none_or(|limiter| limiter.admits(event.name, now));
            exporter.lane.put(Arc::clone(&event), has_room);
        }
    }

    /// Takes over another configuration. Exporters that it leaves as they are open anew what they write to.
    ///
    /// # Errors
    /// When a thread or a descriptor cannot be had; then all stay as they are.
    pub(super) fn change(&mut self, routes: Vec<Route>) -> io::Result<()> {
        let has =
            |running: &[Exporter], route: &Route| running.iter().any(|exporter| *exporter.route == *route);
        let new = routes.iter().filter(|route| !has(&self.running, route)).cloned();
        let new = new.map(Exporter::start).collect::<io::Result<Vec<_>>>()?;
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|exporter| routes.contains(&exporter.route));
        gone.iter().for_each(|exporter| exporter.lane.close(LINGER));
        self.running = kept;
        self.reopen();
        self.running.extend(new);
        self.leaving.extend(gone);
        Ok(())
    }

    /// Has all open anew what they write to.
    pub(super) fn reopen(&self) {
        self.running.iter().for_each(|exporter| exporter.lane.reopen());
    }

    /// Complains of what was shed, and has those end that were left time enough; to be called now and then.
    pub(super) fn keep_house(&mut self) {
        for Exporter { route, lane, told, .. } in &mut self.running {
            let account = lane.account();
            let refused = account.refused - told.refused;
            let no_room = account.shed - told.shed - refused;
            if no_room > 0 {
                let events = Counted(no_room, "event");
                tracing::warn!("exporter {} had no room for {events}: nobody takes them", route.name);
            }
            if refused > 0 {
                let events = Counted(refused, "event");
                tracing::warn!("the peer of exporter {} refused {events}: {}", route.name, lane.refusal());
            }
            *told = account;
        }
        self.leaving.retain(|exporter| !exporter.lane.has_ended());
        self.leaving.iter().for_each(|exporter| exporter.lane.stop_when_late());
    }

    /// What became of all events, by exporter.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (&str, Account)> {
        self.running.iter().map(|exporter| (exporter.route.name.as_str(), exporter.lane.account()))
    }

    /// Ends all, with what they have where their peers take it.
    pub(super) fn finish(self) {
        let deadline = Instant::now() + LINGER;
        self.running.iter().for_each(|exporter| exporter.lane.close(LINGER));
        for exporter in self.running.iter().chain(&self.leaving) {
            exporter.lane.wait_for_end(deadline);
            exporter.lane.stop_when_late();
        }
        for exporter in self.running.iter().chain(&self.leaving) {
            if !exporter.lane.wait_for_end(deadline + STOP) {
                tracing::warn!(
                    "exporter {} is left in a write that does not end: {}",
                    exporter.route.name,
                    exporter.lane.account()
                );
            }
        }
    }
}

impl Exporter {
    fn start(route: Route) -> io::Result<Self> {
        let route = Arc::new(route);
        let lane = Arc::new(Lane::new(route.queue)?);
        let limiter = route.at_most.map(Limiter::new);
        worker::start(Arc::clone(&route), Arc::clone(&lane))?;
        Ok(Self { route, lane, limiter, told: Account::default() })
    }
}
