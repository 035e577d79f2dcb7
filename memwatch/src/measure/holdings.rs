//! Reads what cgroups truly hold on a thread of its own: a large one takes a tenth of a second.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::mpsc;

use crate::core::policy::Holding;
use crate::enrich::proc::ProcFs;
use crate::enrich::survey::{Reading, SurveyError, TrueUse, true_use};
use crate::sys;

/// Cgroups that wait to be read, at most: one at a time, and those of scopes.
const ASKED: usize = 64;
/// Pages drawn of one at most: half an interval of a cgroup that fills them is 2 %.
const DRAWN: u64 = 8_192;

/// A cgroup, by its path, and what was found.
pub type Found = (String, Result<TrueUse, SurveyError>);

/// The thread that reads. It ends with this, after the cgroup that it is at.
#[derive(Debug)]
pub struct HoldingMeter {
    asked: SyncSender<String>,
    found: mpsc::Receiver<Found>,
}

impl HoldingMeter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started, or `/proc` cannot be opened.
    pub fn start() -> io::Result<Self> {
        let proc = ProcFs::open(Path::new("/proc"))?;
        let (asked, taken) = sync_channel(ASKED);
        let (told, found) = mpsc::channel(ASKED);
        std::thread::Builder::new()
            .name("memwatch-audit".into())
            .spawn(move || read_each(&proc, &taken, &told))?;
        Ok(Self { asked, found })
    }

    /// Has a cgroup read, by its path in the hierarchy of the memory controller, and returns at once: whether there was room to
    /// note it.
    #[must_use]
    pub fn ask(&self, cgroup: String) -> bool {
        self.asked.try_send(cgroup).is_ok()
    }

    /// The next cgroup that was read. Safe to give up waiting for.
    pub async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }
}

fn read_each(proc: &ProcFs, asked: &Receiver<String>, told: &mpsc::Sender<Found>) {
    sys::usual_priority();
    while let Ok(cgroup) = asked.recv() {
        let found = true_use(proc, Path::new(&cgroup), Reading::Drawing(DRAWN));
        if told.blocking_send((cgroup, found)).is_err() {
            return;
        }
    }
}

impl From<&TrueUse> for Holding {
    fn from(found: &TrueUse) -> Self {
        Self {
            used: found.bytes.bytes,
            used_low: found.bytes.low,
            used_high: found.bytes.high,
            charged: found.charged,
            missing: found.missing.low,
            limit: found.limit,
            took_ns: found.took_ns,
            cpu_ns: found.cpu_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_is_not_there_is_answered_too() {
        let reactor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut meter = HoldingMeter::start().unwrap();
        assert!(meter.ask("/no/such/cgroup".into()));
        let (cgroup, found) = reactor.block_on(meter.found());
        assert_eq!((cgroup.as_str(), found.is_err()), ("/no/such/cgroup", true));
    }
}
