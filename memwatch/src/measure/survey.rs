//! Looks at processes on a thread of its own, one after another: a large one takes tens of milliseconds, in which the daemon's
//! loop goes on.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::mpsc;

use super::{IdleMeter, ProcessMeter};
use crate::core::fact::ProcessKey;
use crate::core::policy::Figures;

/// Processes that wait to be looked at, at most.
const ASKED: usize = 16_384;
/// Figures that wait to be taken, at most; then the thread waits.
const SEEN: usize = 1_024;

/// The thread that looks. It ends with this, after the look that it is at.
#[derive(Debug)]
pub struct Survey {
    asked: SyncSender<ProcessKey>,
    seen: mpsc::Receiver<(ProcessKey, Option<Figures>)>,
}

impl Survey {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started, or `/proc` cannot be opened.
    pub fn start() -> io::Result<Self> {
        let proc = Path::new("/proc");
        let (meter, idle) = (ProcessMeter::open(proc)?, IdleMeter::open(proc)?);
        let (asked, taken) = sync_channel(ASKED);
        let (told, seen) = mpsc::channel(SEEN);
        std::thread::Builder::new()
            .name("memwatch-survey".into())
            .spawn(move || look_at_each(meter, idle, &taken, &told))?;
        Ok(Self { asked, seen })
    }

    /// Has a process looked at, and returns at once: whether there was room to note it.
    #[must_use]
    pub fn ask(&self, key: ProcessKey) -> bool {
        self.asked.try_send(key).is_ok()
    }

    /// The next process that was looked at, in the order they were asked for; without figures when it is gone or may not be
    /// read. Safe to give up waiting for.
    pub async fn seen(&mut self) -> (ProcessKey, Option<Figures>) {
        match self.seen.recv().await {
            Some(seen) => seen,
            None => std::future::pending().await,
        }
    }
}

fn look_at_each(
    mut meter: ProcessMeter,
    mut idle: IdleMeter,
    asked: &Receiver<ProcessKey>,
    told: &mpsc::Sender<(ProcessKey, Option<Figures>)>,
) {
    while let Ok(key) = asked.recv() {
        let figures = meter.figures(key).ok();
        let figures = figures.map(|figures| Figures { idle: idle.is_idle(key), ..figures });
        if told.blocking_send((key, figures)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::proc::ProcFs;

    #[test]
    fn each_is_answered_in_turn() {
        let pid = std::process::id();
        let stat = ProcFs::open(Path::new("/proc")).unwrap().process(pid).unwrap().stat().unwrap();
        let me = ProcessKey { tgid: pid, start_ns: stat.start_ns };
        let gone = ProcessKey { start_ns: 0, ..me };
        let reactor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut survey = Survey::start().unwrap();
        assert!(survey.ask(me) && survey.ask(gone) && survey.ask(me));
        for key in [me, gone, me] {
            let (answered, figures) = reactor.block_on(survey.seen());
            assert_eq!((answered, figures.is_some()), (key, key == me));
            // A test that runs is not idle; what cannot be told is nothing.
            assert_ne!(figures.and_then(|figures| figures.idle), Some(true));
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let survey = Survey::start().unwrap();
        let nobody = ProcessKey { tgid: u32::MAX, start_ns: 0 };
        let taken = (0..3 * (ASKED + SEEN)).filter(|_| survey.ask(nobody)).count();
        assert!((ASKED..=ASKED + SEEN + 2).contains(&taken), "{taken}");
    }
}
