//! From a record's bytes to lines of output.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use memwatch_ebpf::abi::event::{Kind, Resident};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::header::cgroup_number;
use memwatch_ebpf::abi::state::{Counters, Process};

use super::close_sweeps::CloseSweeps;
use super::filter::Filter;
use super::losses::{self, Losses};
use super::sequence::Sequence;
use super::waiting::Waiting;
use crate::core::detect::fd_table::{FdTables, Finding};
use crate::core::fact::{Body, Container, Fact, ProcessKey};
use crate::decode::decode;
use crate::enrich::cgroup::hierarchy_of;
use crate::enrich::cri::Containers;
use crate::enrich::ledger::Ledger;
use crate::enrich::origins::Origins;
use crate::export::{Exporter, Summary, TopCgroup, TopProcess};
use crate::probe::attach::{Probe, ProbeError};
use crate::source::Source;
use crate::sys::boot_ns;

/// Findings kept for the summary.
const FINDINGS_MAX: usize = 1024;
/// Processes named in the summary.
const TOP: usize = 10;

/// What a run is asked to tell at its end besides its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the summary goes elsewhere.
    Lines,
    /// The summary, after the lines.
    WithSummary,
}

/// The stages between the ring buffer and the writer.
pub struct Pipeline {
    /// The own process id, which libc asks the kernel for each time.
    own_tgid: u32,
    ledger: Ledger,
    detector: FdTables,
    origins: Origins,
    filter: Filter,
    exporter: Option<Box<dyn Exporter>>,
    outcome: Outcome,
    always_watch: bool,
    has_rule: bool,
    /// What is to be written: whole lines, which leave as one shared buffer.
    pub(super) output: BytesMut,
    /// The line that is being made.
    line: Vec<u8>,
    found: Vec<Finding>,
    lines: u64,
    lines_max: Option<u64>,
    events: Vec<(Kind, u64)>,
    undecodable: u64,
    /// Records that were passed over at the end.
    unread: u64,
    sequence: Sequence,
    findings: HashMap<u64, Finding>,
    findings_dropped: u64,
    /// Those that have ended and asked for the most, the largest first.
    ended: Vec<TopProcess>,
    losses: Losses,
    sweeps: CloseSweeps,
    /// What waits for the name of its container.
    pub(super) waiting: Waiting<Telling>,
    /// What need not wait any more; kept for its memory.
    ready: Vec<Telling>,
}

/// What is to be told.
#[derive(Debug)]
pub(super) enum Telling {
    Fact(Box<Fact>),
    Finding(Box<Finding>),
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Joins the stages. Without an exporter records are decoded, attributed and counted only.
    #[must_use]
    pub fn new(
        ledger: Ledger,
        detector: FdTables,
        filter: Filter,
        exporter: Option<Box<dyn Exporter>>,
        outcome: Outcome,
    ) -> Self {
        Self {
            own_tgid: std::process::id(),
            origins: Origins::new(ledger.proc()),
            ledger,
            detector,
            filter,
            exporter,
            outcome,
            always_watch: false,
            has_rule: false,
            output: BytesMut::with_capacity(256 << 10),
            line: Vec::with_capacity(4 << 10),
            found: Vec::new(),
            lines: 0,
            lines_max: None,
            events: Kind::ALL.iter().map(|kind| (*kind, 0)).collect(),
            undecodable: 0,
            unread: 0,
            sequence: Sequence::default(),
            findings: HashMap::new(),
            findings_dropped: 0,
            ended: Vec::with_capacity(TOP + 1),
            losses: Losses::default(),
            sweeps: CloseSweeps::default(),
            waiting: Waiting::new(Containers::none()),
            ready: Vec::new(),
        }
    }

    /// Has what speaks of containers wait a moment for their names, where somebody is asked for them.
    pub fn name_containers(&mut self, containers: Containers) {
        self.waiting = Waiting::new(containers);
    }

    /// Sees which pages are touched whether or not a table was found.
    pub fn always_watch(&mut self, on: bool) {
        self.always_watch = on;
    }

    /// The kernel side acts on fd tables, whether findings are told or not.
    pub fn has_rule(&mut self, is_set: bool) {
        self.has_rule = is_set;
    }

    pub(super) fn limit_lines(&mut self, max: Option<u64>) {
        self.lines_max = max;
    }

    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether lines are made at all.
    pub(super) fn writes(&self) -> bool {
        self.exporter.is_some()
    }

    /// Whether as many lines were made as were asked for.
    pub(super) fn is_full(&self) -> bool {
        self.lines_max.is_some_and(|max| self.lines >= max)
    }

    /// Whether a process with an fd table lives, whose growth is to be seen at every change.
    pub(super) fn watches(&self) -> bool {
        self.always_watch || self.detector.is_watching()
    }

    /// Takes one record.
    pub(super) fn take(&mut self, record: &[u8]) {
        let event = match decode(record) {
            Ok(event) => event,
            Err(error) => {
                self.undecodable += 1;
                tracing::warn!("cannot decode a record of {} bytes: {error}", record.len());
                return;
            }
        };
        self.sequence.saw(event.header.cpu, event.header.seq);
        let mut fact = self.ledger.attribute(event);
        if self.sweeps.take(&mut fact) {
            self.learn(fact);
        }
    }

    /// Tells of close sweeps that have ended without a record of it; of all that go on, where tracing ends.
    pub(super) fn end_sweeps(&mut self, probe: &mut Probe, is_last: bool) -> Result<(), ProbeError> {
        // Before anything is looked at: a close that comes meanwhile is no older than this.
        let now = boot_ns();
        let ends = self.sweeps.ended(now, is_last, |tgid| probe.process(tgid))?;
        ends.into_iter().for_each(|end| self.learn(end));
        Ok(())
    }

    /// Takes in a fact, and tells it and what follows from it.
    fn learn(&mut self, fact: Fact) {
        let kind = fact.event.body.kind();
        // Before the filter learns that it is no member any more.
        if let Body::Exit(exit) = &fact.event.body
            && fact.event.header.tgid != self.own_tgid
            && self.filter.concerns(&fact.process)
        {
            self.note_ended(&fact, &exit.counters);
        }
        self.filter.learn(&fact);
        // What becomes of a process's tables is told whichever of its threads it is seen in.
        let is_followed = self.detector.knows(&fact) || self.filter.admits_actor(&fact);
        if let Some(learned) = self.detector.lacks_origin(&fact)
            && is_followed
        {
            // Once for each process, and so soon that it has hardly ended.
            let proc = self.ledger.proc();
            let origin = self.origins.of_learned(proc, &fact.process, learned, boot_ns());
            self.detector.set_origin(&fact, origin);
        }
        if is_followed || kind == Kind::OomKill {
            self.detector.take(&fact, &mut self.found);
        }
        // An OOM kill is the victim's, also when it was memwatch's own request that triggered it.
        let is_own = fact.event.header.tgid == self.own_tgid && kind != Kind::OomKill;
        let shown = !is_own && self.filter.admits(&fact, kind);
        // What the kernel side reports of tables is told by the detector's findings.
        if shown && !matches!(fact.event.body, Body::FdTable(_)) && self.count_line(kind) {
            self.tell_fact(fact);
        }
        let found = std::mem::take(&mut self.found);
        for finding in &found {
            self.tell(finding);
        }
        self.found = found;
        self.found.clear();
    }

    /// Counts a line of this kind; false when as many were made as were asked for.
    fn count_line(&mut self, kind: Kind) -> bool {
        if self.is_full() {
            return false;
        }
        self.lines += 1;
        if let Some((_, count)) = self.events.iter_mut().find(|(known, _)| *known == kind) {
            *count += 1;
        }
        true
    }

    /// Writes a fact, or has it wait for the name of its container.
    fn tell_fact(&mut self, fact: Fact) {
        let container = fact.subject().and_then(|identity| identity.container.as_ref());
        match container.filter(|container| self.waiting.awaits(container)).cloned() {
            Some(container) => self.wait(&container, Telling::Fact(Box::new(fact))),
            None => self.write(|exporter, line| exporter.fact(&fact, line)),
        }
    }

    fn wait(&mut self, container: &Container, telling: Telling) {
        self.waiting.push(container, telling);
        if self.waiting.is_crowded() {
            self.release(false);
        }
    }

    /// Writes what has the name of its container by now, or has waited long enough; all that waits when told so.
    pub(super) fn release(&mut self, all: bool) {
        let mut ready = std::mem::take(&mut self.ready);
        self.waiting.take_ready(all, &mut ready);
        for telling in ready.drain(..) {
            match telling {
                Telling::Fact(fact) => self.write(|exporter, line| exporter.fact(&fact, line)),
                Telling::Finding(finding) => self.write(|exporter, line| exporter.finding(&finding, line)),
            }
        }
        self.ready = ready;
    }

    fn write(&mut self, line: impl FnOnce(&mut dyn Exporter, &mut Vec<u8>)) {
        if let Some(exporter) = &mut self.exporter {
            line(exporter.as_mut(), &mut self.line);
            self.output.extend_from_slice(&self.line);
            self.line.clear();
        }
    }

    fn tell(&mut self, finding: &Finding) {
        if self.filter.kinds & Kind::FdTable.bit() == 0 {
            return;
        }
        if self.findings.len() < FINDINGS_MAX || self.findings.contains_key(&finding.id) {
            self.findings.insert(finding.id, finding.clone());
        } else {
            self.findings_dropped += 1;
        }
        if !self.count_line(Kind::FdTable) {
            return;
        }
        let container = finding.process.container.as_ref();
        match container.filter(|container| self.waiting.awaits(container)) {
            Some(container) => self.wait(container, Telling::Finding(Box::new(finding.clone()))),
            None => self.write(|exporter, line| exporter.finding(finding, line)),
        }
    }

    /// Looks at every loss counter and tells what is new.
    pub(super) fn count_losses(&mut self, probe: &mut Probe) -> Result<(), ProbeError> {
        let faults = probe.faults()?;
        let ring_full = faults.get(FaultCode::RingFull as usize).copied().unwrap_or(0);
        let unaccounted = self.sequence.unaccounted(ring_full);
        let own =
            [self.undecodable, unaccounted, self.unread, self.findings_dropped, self.detector.evicted()];
        let counters = losses::named(&faults)
            .chain(self.ledger.losses().by_name())
            .chain(losses::of_containers(&self.waiting))
            .chain(losses::OWN.into_iter().zip(own));
        let (mut ring_lost, mut is_crowded) = (false, false);
        for (kind, total) in counters {
            if let Some(loss) = self.losses.take(kind, total) {
                ring_lost |= kind == FaultCode::RingFull.name();
                is_crowded |= kind == FaultCode::ProcessMapFull.name();
                self.write(|exporter, line| exporter.lost(&loss, line));
            }
        }
        if ring_lost && let Err(error) = self.ledger.reconcile() {
            tracing::warn!("cannot look for processes whose exit record was lost: {error}");
        }
        if is_crowded {
            match self.ledger.running() {
                Ok(running) => probe.forget_others(&running)?,
                Err(error) => tracing::warn!("cannot look for processes that have ended: {error}"),
            }
        }
        Ok(())
    }

    /// Forgets tables of processes that have ended without a record of it, because it was lost or they were no longer among those
    /// of `--pid`: nobody is watched for them any more.
    pub(super) fn look_for_ended(&mut self) {
        let ledger = &self.ledger;
        self.detector.forget_ended(|key| ledger.has_ended(key));
    }

    /// Whether records that the kernel side numbered did not come yet. To be asked once it is silent.
    pub(super) fn lacks_records(&mut self, probe: &mut Probe) -> Result<bool, ProbeError> {
        self.sequence.ended_at(&probe.numbered()?);
        let not_written = probe.faults()?.get(FaultCode::RingFull as usize).copied().unwrap_or(0);
        Ok(self.sequence.unaccounted(not_written) > 0)
    }

    /// Counts the records that are left, and drops what was told and is not written; gives how many lines that were.
    pub(super) fn pass_over(&mut self, probe: &mut Probe, source: &mut Source) -> Result<u64, ProbeError> {
        self.release(true);
        let left = memchr::memchr_iter(b'\n', &self.output).count() as u64;
        self.output.clear();
        let mut count = |record: &[u8]| {
            self.unread += 1;
            if let Ok(event) = decode(record) {
                self.sequence.saw(event.header.cpu, event.header.seq);
            }
        };
        while source.drain(&mut count) > 0 {}
        self.sequence.ended_at(&probe.numbered()?);
        self.count_losses(probe)?;
        self.output.clear();
        Ok(left)
    }

    /// Ends the run: the summary, and what is left to write.
    pub(super) fn finish(
        mut self,
        probe: &mut Probe,
        elapsed: Duration,
    ) -> Result<(Summary, BytesMut), ProbeError> {
        let mut findings: Vec<_> = self.findings.drain().map(|(_, finding)| finding).collect();
        findings.sort_by_key(|finding| finding.id);
        let states = probe.processes()?;
        let missing = || probe.hooks.iter().filter(|hook| hook.attached.is_none()).map(|hook| hook.hook);
        let hooks_missing = missing().map(|hook| hook.name).collect();
        let table_hooks_missing =
            missing().filter(|hook| hook.finds_tables()).map(|hook| hook.name).collect();
        let finds = self.filter.kinds & Kind::FdTable.bit() != 0;
        let summary = Summary {
            duration_ns: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            events: self.events.iter().copied().filter(|(_, count)| *count > 0).collect(),
            findings,
            min_table: finds.then(|| self.detector.min_table()),
            has_rule: self.has_rule,
            losses: self.losses.all(),
            hooks_missing,
            table_hooks_missing,
            top: self.top(&states),
            cgroups: self.cgroups(probe, &states)?,
        };
        self.release(true);
        let mut output = std::mem::take(&mut self.output);
        if self.outcome == Outcome::WithSummary
            && let Some(exporter) = &mut self.exporter
        {
            exporter.summary(&summary, &mut self.line);
            output.extend_from_slice(&self.line);
        }
        Ok((summary, output))
    }

    fn top(&self, states: &[(u32, Process)]) -> Vec<TopProcess> {
        let mut largest: Vec<_> = states
            .iter()
            .filter(|(tgid, state)| *tgid != self.own_tgid && mapped(&state.counters) > 0)
            .collect();
        largest.sort_by_key(|(tgid, state)| (Reverse(mapped(&state.counters)), *tgid));
        let identified = largest.into_iter().filter_map(|(tgid, state)| {
            let identity = self.ledger.get(ProcessKey { tgid: *tgid, start_ns: state.start_ns })?;
            self.filter.concerns(&identity).then_some(TopProcess {
                identity,
                mapped_bytes: mapped(&state.counters),
                minor_faults: state.counters.minor_faults,
                major_faults: state.counters.major_faults,
                // A process has some page resident as long as it lives: all zeros mean that nobody looked.
                resident: Some(state.resident).filter(|resident| *resident != Resident::default()),
            })
        });
        let mut top: Vec<_> = identified.take(TOP).chain(self.ended.iter().cloned()).collect();
        top.sort_by_key(|process| (Reverse(process.mapped_bytes), process.identity.key.tgid));
        top.truncate(TOP);
        top
    }

    /// Keeps a process that has ended for the summary, if it is one of the largest.
    fn note_ended(&mut self, fact: &Fact, counters: &Counters) {
        let mapped_bytes = mapped(counters);
        let place = self.ended.partition_point(|other| other.mapped_bytes >= mapped_bytes);
        if mapped_bytes == 0 || place >= TOP {
            return;
        }
        let process = TopProcess {
            identity: Arc::clone(&fact.process),
            mapped_bytes,
            minor_faults: counters.minor_faults,
            major_faults: counters.major_faults,
            resident: None,
        };
        self.ended.insert(place, process);
        self.ended.truncate(TOP);
    }

    /// Sums of the kernel side over those that ended or moved on, and what the living have not added to them yet.
    fn cgroups(
        &mut self,
        probe: &mut Probe,
        states: &[(u32, Process)],
    ) -> Result<Vec<TopCgroup>, ProbeError> {
        if !self.filter.is_by_cgroup() {
            // The sums are of whole cgroups, others in them included: no answer to a question about a few processes.
            return Ok(Vec::new());
        }
        let mut sums: BTreeMap<u64, Counters> = probe.cgroups()?.into_iter().collect();
        for (_, state) in states {
            sums.entry(state.cgroup_id).or_default().add_new(&state.counters, &state.folded);
        }
        let mut largest: Vec<_> = sums.into_iter().collect();
        largest.retain(|(_, sum)| mapped(sum) > 0);
        largest.sort_by_key(|(id, sum)| (Reverse(mapped(sum)), *id));
        let now = boot_ns();
        let (ledger, filter) = (&mut self.ledger, &self.filter);
        let shown = largest.into_iter().filter_map(|(id, sum)| {
            let path = ledger.cgroup_path(id, now);
            let named = path.as_deref().map(|path| (hierarchy_of(id), path));
            filter.admits_cgroup(named).then_some((id, path, sum))
        });
        let named = shown.take(TOP).map(|(id, path, sum)| TopCgroup {
            id: cgroup_number(id),
            path,
            mapped_bytes: mapped(&sum),
            freed_bytes: sum.munmap_bytes + sum.mremap_shrunk_bytes + sum.brk_shrunk_bytes,
            minor_faults: sum.minor_faults,
            major_faults: sum.major_faults,
        });
        Ok(named.collect())
    }
}

/// Bytes mapped or grown by.
const fn mapped(counters: &Counters) -> u64 {
    counters.mmap_bytes + counters.mremap_grown_bytes + counters.brk_grown_bytes
}
