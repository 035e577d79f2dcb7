//! Close sweeps between their first record and their end.
//!
//! The kernel side says that a sweep has ended when its process does something that ends it. One that has swept and goes on to
//! wait for work does nothing of the kind for hours. So as long as a sweep is open its process's state is looked at from time to
//! time, and the end is told from that, with the figures that the kernel side would give.
//!
//! An exec ends a sweep when the process has the name and the user of the next program already. So all records of a sweep are
//! told of who began it.

use std::collections::HashMap;
use std::sync::Arc;

use memwatch_ebpf::abi::event::{CloseSweep, SWEEP_END};
use memwatch_ebpf::abi::header::Header;
use memwatch_ebpf::abi::state::{Process, swept_to};

use crate::core::fact::{Body, Event, Fact, Identity};

/// Sweeps remembered. Those whose end is told give way: the kernel side tells it once more.
const SWEEPS_MAX: usize = 1024;

/// A sweep of which a record came.
#[derive(Debug)]
struct Sweep {
    /// Of the first record that came.
    header: Header,
    process: Arc<Identity>,
    first_ns: u64,
    /// Closes when its end was told from here; `None`: it was not.
    told: Option<u64>,
    /// The kernel side knew nothing of it at the last look.
    is_gone: bool,
}

/// The sweeps whose end the kernel side has not told, by process id.
#[derive(Debug, Default)]
pub(super) struct CloseSweeps {
    sweeps: HashMap<u32, Sweep>,
}

impl CloseSweeps {
    /// Takes in a fact, and has it speak of who began to sweep; false when what it says was told already.
    pub(super) fn take(&mut self, fact: &mut Fact) -> bool {
        let tgid = fact.event.header.tgid;
        let body = if let Body::CloseSweep(body) = &fact.event.body {
            *body
        } else {
            if matches!(fact.event.body, Body::Exec(_) | Body::Exit(_)) {
                self.sweeps.remove(&tgid);
            }
            return true;
        };
        let known = self.sweeps.get(&tgid).filter(|known| known.first_ns == body.first_ns);
        let is_news = known.and_then(|known| known.told).is_none_or(|told| body.count > told);
        let is_known = known.is_some();
        if let Some(known) = known {
            let Header { time_ns, seq, cpu, .. } = fact.event.header;
            fact.event.header = Header { time_ns, seq, cpu, ..known.header };
            fact.process = Arc::clone(&known.process);
        }
        if body.phase == SWEEP_END {
            self.sweeps.remove(&tgid);
        } else if !is_known && self.has_room() {
            let sweep = Sweep {
                header: fact.event.header,
                process: Arc::clone(&fact.process),
                first_ns: body.first_ns,
                told: None,
                is_gone: false,
            };
            self.sweeps.insert(tgid, sweep);
        }
        is_news
    }

    fn has_room(&mut self) -> bool {
        if self.sweeps.len() >= SWEEPS_MAX {
            self.sweeps.retain(|_, sweep| sweep.told.is_none());
        }
        self.sweeps.len() < SWEEPS_MAX
    }

    /// The ends of sweeps that are over, of all sweeps at the end of tracing. `look` gives the state of a process; it is asked for
    /// nobody whose sweep's end was told.
    pub(super) fn ended<E>(
        &mut self,
        now_ns: u64,
        is_last: bool,
        mut look: impl FnMut(u32) -> Result<Option<Process>, E>,
    ) -> Result<Vec<Fact>, E> {
        let mut ends = Vec::new();
        let mut lost = Vec::new();
        for (&tgid, sweep) in self.sweeps.iter_mut().filter(|(_, sweep)| sweep.told.is_none()) {
            let state = look(tgid)?.filter(|state| {
                state.start_ns == sweep.header.start_ns && state.sweep.first_ns == sweep.first_ns
            });
            match state {
                Some(state) if is_last || state.sweep.is_over(now_ns) => {
                    sweep.told = Some(state.sweep.count);
                    ends.push(sweep.end(now_ns, &state));
                }
                Some(_) => {}
                // The record of its end is on its way, or was lost.
                None if sweep.is_gone => lost.push(tgid),
                None => sweep.is_gone = true,
            }
        }
        for tgid in lost {
            self.sweeps.remove(&tgid);
        }
        Ok(ends)
    }
}

impl Sweep {
    fn end(&self, now_ns: u64, state: &Process) -> Fact {
        let body = CloseSweep {
            first_ns: state.sweep.first_ns,
            last_ns: state.sweep.last_ns,
            count: state.sweep.count,
            limit: swept_to(&state.learned, state.sweep.top(), true),
            phase: SWEEP_END,
            _pad: 0,
        };
        Fact {
            event: Event { header: Header { time_ns: now_ns, ..self.header }, body: Body::CloseSweep(body) },
            process: Arc::clone(&self.process),
            other: None,
            domain: None,
        }
    }
}

#[cfg(test)]
mod tests;
