//! Memory that holds one slot per possible file descriptor.
//!
//! The kernel side finds the regions: it knows the limit at the moment memory is asked for. This part adds up what
//! belongs to one process, weighs the signs for and against an accident, and says what a person can do. In: facts of
//! the kinds `FdTable`, `CloseSweep`, `OomKill`, `Exec` and `Exit` (others pass unseen). Out: findings. Invariants:
//! nothing is kept of a process that has ended, and never of more than [`PROCESSES_MAX`] at once.

mod advice;
mod finding;
mod process;
mod programs;
mod signs;
pub mod standing;
#[cfg(test)]
mod tests;
mod wording;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use memwatch_ebpf::abi::event::{self, TABLE_FAILED, TABLE_SIGNALLED, TABLE_TOUCHED};
use memwatch_ebpf::abi::state::Learned;
use memwatch_ebpf::table::Fit;

pub use finding::{Confidence, Finding, Reason, Source, State};
use process::{Process, Region};
use programs::Program;
pub use programs::known_elements;

use crate::core::fact::{Body, Fact, Identity, ProcessKey};
use crate::core::origin::Origin;

/// Processes kept at once. The one heard of least recently gives way, and is counted.
pub const PROCESSES_MAX: usize = 4096;

/// Processes looked at in one call of [`FdTables::forget_ended`].
const ENDED_MAX: usize = 64;

/// Smallest single region the kernel side should report for a floor of `min_table` on a process's sum.
///
/// Programs keep several arrays; in those measured the largest is at least an eighth of all, and the rest is
/// negligible below a sixteenth.
#[must_use]
pub const fn region_floor(min_table: u64) -> u64 {
    min_table / 16
}

/// The detector: one per run.
#[derive(Debug)]
pub struct FdTables {
    min_table: u64,
    processes: BTreeMap<ProcessKey, Process>,
    /// The last one of which it was asked whether it has ended.
    looked_at: ProcessKey,
    last_id: u64,
    evicted: u64,
}

impl FdTables {
    /// A detector that reports processes whose tables come to at least `min_table` bytes.
    #[must_use]
    pub const fn new(min_table: u64) -> Self {
        Self {
            min_table,
            processes: BTreeMap::new(),
            looked_at: ProcessKey { tgid: 0, start_ns: 0 },
            last_id: 0,
            evicted: 0,
        }
    }

    /// Smallest sum of a process's tables that is reported, in bytes.
    #[must_use]
    pub const fn min_table(&self) -> u64 {
        self.min_table
    }

    /// Reports from this size on.
    pub const fn change_min_table(&mut self, min_table: u64) {
        self.min_table = min_table;
    }

    /// Whether a process lives that was granted a table of which more can still be touched.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.processes.values().any(|process| process.can_touch)
    }

    /// Whether something is kept of the process that a fact's header names.
    #[must_use]
    pub fn knows(&self, fact: &Fact) -> bool {
        self.processes.contains_key(&key_of(fact))
    }

    /// Forgets processes that have ended without a fact of it. Asks of a few at a time, of others the next time.
    pub fn forget_ended(&mut self, has_ended: impl Fn(ProcessKey) -> bool) {
        let after = (Bound::Excluded(self.looked_at), Bound::Unbounded);
        let next: Vec<_> = self.processes.range(after).map(|(&key, _)| key).take(ENDED_MAX).collect();
        self.looked_at = match next.last() {
            Some(&last) if next.len() == ENDED_MAX => last,
            _ => ProcessKey { tgid: 0, start_ns: 0 },
        };
        for key in next {
            if has_ended(key) {
                self.processes.remove(&key);
            }
        }
    }

    /// Takes in a fact and appends what follows from it to `out`.
    pub fn take(&mut self, fact: &Fact, out: &mut Vec<Finding>) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a new kind of event concerns this detector only by intent"
        )]
        match &fact.event.body {
            Body::FdTable(table) => out.extend(self.table(fact, table)),
            Body::CloseSweep(sweep) => self.process(fact).sweep = Some(*sweep),
            Body::OomKill(kill) => self.oom_kill(kill),
            // The tables went with the old address space, and the limit has to be learned anew.
            Body::Exec(_) => drop(self.remove(fact)),
            Body::Exit(exit) => out.extend(self.remove(fact).and_then(|process| process.end(fact, exit))),
            _ => {}
        }
    }

    /// The limit in a fact that will be reported, whose origin was not asked for yet: [`FdTables::set_origin`] tells it, best
    /// before the fact is taken in.
    #[must_use]
    pub fn lacks_origin<'a>(&self, fact: &'a Fact) -> Option<&'a Learned> {
        let Body::FdTable(table) = &fact.event.body else { return None };
        let is_asked = self.processes.get(&key_of(fact)).is_some_and(|process| process.origin.is_some());
        (!is_asked && weight(table) >= self.min_table).then_some(&table.learned)
    }

    /// Notes where the limits of a fact's process come from, for all its findings.
    pub fn set_origin(&mut self, fact: &Fact, origin: Option<Origin>) {
        self.process(fact).origin = Some(origin);
    }

    /// Processes of which something is kept.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.processes.len()
    }

    /// Processes forgotten before their end because there were more than [`PROCESSES_MAX`].
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn table(&mut self, fact: &Fact, table: &event::FdTable) -> Option<Finding> {
        let (min_table, next_id) = (self.min_table, self.last_id + 1);
        let fit = Fit::from_number(table.fit)?;
        let source = Source::from_number(table.source)?;
        let process = self.process(fact);
        let region = process.note(fact.event.header.time_ns, fact.event.header.tid, table);
        if weight(table) < min_table {
            return None;
        }
        let id = process.id(table.ordinal, next_id);
        let sight = Sight {
            process: &fact.process,
            time_ns: fact.event.header.time_ns,
            learned_by: ancestor(fact, table),
            table,
            fit,
            source,
        };
        let finding = explain(sight, &region, process, id);
        process.keep(&finding);
        self.last_id = self.last_id.max(id);
        Some(finding)
    }

    fn oom_kill(&mut self, kill: &event::OomKill) {
        let key = ProcessKey { tgid: kill.tgid, start_ns: kill.start_ns };
        if let Some(process) = self.processes.get_mut(&key) {
            process.oom_killed = true;
        }
    }

    /// What is kept of the process that a fact's header names, made when there is nothing yet.
    fn process(&mut self, fact: &Fact) -> &mut Process {
        let key = key_of(fact);
        if !self.processes.contains_key(&key) {
            self.forget_holders(key);
            self.make_room();
        }
        let process = self.processes.entry(key).or_default();
        process.heard_ns = fact.event.header.time_ns;
        process
    }

    fn remove(&mut self, fact: &Fact) -> Option<Process> {
        self.processes.remove(&key_of(fact))
    }

    /// A pid has one holder at a time: earlier ones have ended, even if their exit was lost.
    fn forget_holders(&mut self, key: ProcessKey) {
        let earlier = ProcessKey { start_ns: 0, ..key }..key;
        while let Some((&gone, _)) = self.processes.range(earlier.clone()).next() {
            self.processes.remove(&gone);
        }
    }

    fn make_room(&mut self) {
        if self.processes.len() < PROCESSES_MAX {
            return;
        }
        let oldest = self.processes.iter().min_by_key(|(_, process)| process.heard_ns).map(|(&key, _)| key);
        if let Some(key) = oldest {
            self.processes.remove(&key);
            self.evicted += 1;
        }
    }
}

/// The process a fact belongs to: as the kernel named it, or as the ledger did where the kernel did not know the start.
fn key_of(fact: &Fact) -> ProcessKey {
    let key = fact.event.key();
    if key.start_ns == 0 { fact.process.key } else { key }
}

/// A region and whose it is, as a record or `/proc` shows it.
struct Sight<'a> {
    process: &'a Arc<Identity>,
    time_ns: u64,
    learned_by: Option<Arc<Identity>>,
    table: &'a event::FdTable,
    fit: Fit,
    source: Source,
}

fn explain(sight: Sight<'_>, region: &Region, process: &Process, id: u64) -> Finding {
    let Sight { table, fit, source, .. } = sight;
    let program = Program::of(sight.process);
    let state = state_of(table);
    let origin = process.origin.clone().flatten();
    let (confidence, reasons) =
        signs::weigh(&signs::Evidence { table, fit, state, region, process, program });
    Finding {
        id,
        process: Arc::clone(sight.process),
        time_ns: sight.time_ns,
        learned: table.learned,
        element_bytes: table.element,
        bytes: table.length,
        total_bytes: table.total,
        overhead_bytes: table.overhead,
        fit,
        lag_ns: region.lag_ns,
        asked_by: region.asked_by,
        source,
        state,
        signalled: table.state == TABLE_SIGNALLED,
        result: table.result,
        touched_bytes: table.touched,
        ordinal: table.ordinal,
        confidence,
        reasons,
        advice: advice::advise(sight.process, program, origin.as_ref(), table),
        origin,
        learned_by: sight.learned_by,
        last: false,
    }
}

/// Bytes by which a table is reported or not.
const fn weight(table: &event::FdTable) -> u64 {
    if table.state == TABLE_FAILED { table.length } else { table.total }
}

fn ancestor(fact: &Fact, table: &event::FdTable) -> Option<Arc<Identity>> {
    let other = fact.other.as_ref()?;
    (table.learned.tgid != fact.event.header.tgid).then(|| Arc::clone(other))
}

/// Memory counts as touched from a sixteenth on: a process that lives on grows a little without its tables.
const fn state_of(table: &event::FdTable) -> State {
    match table.state {
        TABLE_FAILED => State::Failed,
        TABLE_TOUCHED if signs::is_touched(table.touched, table.total) => State::Touched,
        _ => State::Mapped,
    }
}
