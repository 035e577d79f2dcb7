//! From a record's bytes to the engine's inputs.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use memwatch_ebpf::abi::state::SWEEP_GAP_NS;

use super::trees::Trees;
use crate::core::detect::fd_table::{Confidence, FdTables, Finding, State};
use crate::core::fact::{Body, Fact, Identity, ProcessKey};
use crate::core::policy::{Acted, Figures, Input, Table, TableState, Who};
use crate::decode::decode;
use crate::enrich::ledger::Ledger;
use crate::measure::ProcessMeter;

/// Decodes, attributes and detects, and says it in the engine's words.
#[derive(Debug)]
pub(super) struct Intake {
    ledger: Ledger,
    detector: FdTables,
    meter: ProcessMeter,
    trees: Option<Arc<Trees>>,
    /// The key by which the engine knows the holder of a process id: starts that come from `/proc` are rounded, later ones
    /// are not, and mean the same process.
    told: HashMap<u32, ProcessKey>,
    found: Vec<Finding>,
    pub(super) undecodable: u64,
}

impl Intake {
    pub(super) fn new(
        ledger: Ledger,
        detector: FdTables,
        meter: ProcessMeter,
        trees: Option<Arc<Trees>>,
    ) -> Self {
        Self { ledger, detector, meter, trees, told: HashMap::new(), found: Vec::new(), undecodable: 0 }
    }

    /// The ledger of processes.
    pub(super) const fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Whether a process with an fd table lives.
    pub(super) fn watches(&self) -> bool {
        self.detector.is_watching()
    }

    /// Tables from this size on are told of.
    pub(super) const fn change_floor(&mut self, min_table: u64) {
        self.detector.change_min_table(min_table);
    }

    /// Everything that runs, parents before children.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub(super) fn seed(&mut self, inputs: &mut Vec<Input>) -> io::Result<()> {
        self.ledger.seed()?;
        self.run_each(|_| true, inputs);
        Ok(())
    }

    /// Tells of those who live, parents before children.
    fn run_each(&mut self, is_told: impl Fn(&Identity) -> bool, inputs: &mut Vec<Input>) {
        let mut all: Vec<Arc<Identity>> =
            self.ledger.living().filter(|identity| is_told(identity)).cloned().collect();
        all.sort_by_key(|identity| (identity.key.start_ns, identity.key.tgid));
        for identity in all {
            self.runs(&identity, inputs);
        }
    }

    /// Records were lost: whoever started or ended unheard is found.
    pub(super) fn reconcile(&mut self, inputs: &mut Vec<Input>) -> io::Result<()> {
        self.ledger.reconcile()?;
        self.ledger.seed()?;
        let ledger = &self.ledger;
        let gone: Vec<ProcessKey> = self
            .told
            .values()
            .copied()
            .filter(|key| !ledger.living().any(|identity| identity.key.is_same(*key)))
            .collect();
        for key in gone {
            self.told.remove(&key.tgid);
            inputs.push(Input::Ended(key));
        }
        let known = self.told.clone();
        self.run_each(|identity| !known.contains_key(&identity.key.tgid), inputs);
        Ok(())
    }

    /// Takes one record.
    pub(super) fn take(&mut self, record: &[u8], inputs: &mut Vec<Input>) {
        let event = match decode(record) {
            Ok(event) => event,
            Err(error) => {
                self.undecodable += 1;
                tracing::warn!("cannot decode a record of {} bytes: {error}", record.len());
                return;
            }
        };
        let fact = self.ledger.attribute(event);
        self.say(&fact, inputs);
        let mut found = std::mem::take(&mut self.found);
        self.detector.take(&fact, &mut found);
        inputs.extend(found.drain(..).map(|finding| Input::Table(self.table(&finding))));
        self.found = found;
    }

    fn say(&mut self, fact: &Fact, inputs: &mut Vec<Input>) {
        let key = self.key(fact.process.key);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a new kind of event concerns the policy only by intent"
        )]
        match &fact.event.body {
            Body::Fork(_) => {
                if let Some(child) = &fact.other {
                    self.runs(child, inputs);
                }
            }
            Body::Exec(_) => self.runs(&fact.process, inputs),
            Body::Exit(_) => {
                self.told.remove(&key.tgid);
                inputs.push(Input::Ended(key));
            }
            // The end may be told long after the last close, which says nothing of what the process does now.
            Body::CloseSweep(sweep) if fact.event.header.time_ns <= sweep.last_ns + SWEEP_GAP_NS => {
                inputs.push(Input::Sweeps(key));
            }
            Body::Rss(rss) => {
                let resident = Some(rss.resident.anon + rss.resident.file + rss.resident.shmem);
                // Where the kernel side keeps the limit its act follows; the next look finds who is only observed.
                inputs.push(Input::Figures { key, figures: Figures { resident, ..Figures::default() } });
            }
            Body::Action(action) => inputs.push(Input::Acted(Acted {
                key,
                rule: action.rule,
                bytes: action.bytes,
                bound: action.bound,
                done: action.result == 0,
            })),
            _ => {}
        }
    }

    fn runs(&mut self, identity: &Identity, inputs: &mut Vec<Input>) {
        let key = self.key(identity.key);
        self.told.insert(key.tgid, key);
        let nature = self.meter.nature(key).ok();
        let is_kernel = nature.is_some_and(|nature| nature.is_kernel);
        let mut who = Who::new(identity, nature.and_then(|nature| nature.oom_score_adj), is_kernel);
        who.key = key;
        who.runs_guarded = nature.and_then(|nature| nature.runs_guarded);
        who.trees = self.trees.as_ref().map(|trees| trees.of(key.tgid)).unwrap_or_default();
        inputs.push(Input::Runs(Box::new(who)));
    }

    /// The key by which the engine knows a process.
    fn key(&self, key: ProcessKey) -> ProcessKey {
        self.told.get(&key.tgid).copied().filter(|told| told.is_same(key)).unwrap_or(key)
    }

    fn table(&self, finding: &Finding) -> Table {
        Table {
            key: self.key(finding.process.key),
            limit: finding.learned.limit,
            bytes: finding.total_bytes.max(finding.bytes),
            touched: finding.touched_bytes,
            state: match finding.state {
                State::Mapped if finding.signalled => TableState::Signalled,
                State::Mapped => TableState::Mapped,
                State::Touched => TableState::Touched,
                State::Failed => TableState::Failed,
            },
            confidence: match finding.confidence {
                Confidence::Low => 0,
                Confidence::Medium => 1,
                Confidence::High => 2,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use memwatch_ebpf::abi::event::{CloseSweep, Kind, SWEEP_END, SWEEP_PROGRESS};

    use super::*;
    use crate::enrich::proc::ProcFs;
    use crate::export::samples;

    #[test]
    fn a_sweep_of_a_while_ago_says_nothing_of_now() {
        let ledger = Ledger::new(ProcFs::open(Path::new("/proc")).unwrap()).unwrap();
        let meter = ProcessMeter::open(Path::new("/proc")).unwrap();
        let mut intake = Intake::new(ledger, FdTables::new(0), meter, None);
        let mut said = |phase, ago_ns| {
            let mut fact = samples::fact(Kind::CloseSweep);
            let last_ns = fact.event.header.time_ns - ago_ns;
            fact.event.body = Body::CloseSweep(CloseSweep { last_ns, phase, ..CloseSweep::default() });
            let mut inputs = Vec::new();
            intake.say(&fact, &mut inputs);
            inputs
        };
        let now = vec![Input::Sweeps(samples::identity().key)];
        assert_eq!(said(SWEEP_PROGRESS, 0), now);
        assert_eq!(said(SWEEP_END, SWEEP_GAP_NS), now);
        assert_eq!(said(SWEEP_END, SWEEP_GAP_NS + 1), []);
    }
}
