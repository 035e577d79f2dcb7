//! What is kept of one process between its first table and its end.

use memwatch_ebpf::abi::event::{CloseSweep, Exit, FdTable, TABLE_FAILED, TABLE_TOUCHED};
use memwatch_ebpf::table::whole;

use super::finding::{Finding, State};
use super::signs;
use crate::core::fact::Fact;
use crate::core::origin::Origin;

/// Regions remembered per process. A program has a handful of tables; one with more has none. Those that are reported again are
/// the largest: the smallest gives way.
const REGIONS_MAX: usize = 32;

/// A region as it was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Region {
    /// Number among the tables of the process.
    pub(super) ordinal: u32,
    /// Bytes per descriptor.
    pub(super) element: u32,
    /// Bytes asked for.
    pub(super) length: u64,
    /// Nanoseconds from the limit's look-up to the request, when that was seen.
    pub(super) lag_ns: Option<u64>,
    /// The thread that asked for it, when that was seen.
    pub(super) asked_by: Option<u32>,
    /// Number of its findings, or 0 when there was none.
    id: u64,
}

/// What is kept of one process.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// When it was last heard of.
    pub(super) heard_ns: u64,
    /// Its latest run of closes.
    pub(super) sweep: Option<CloseSweep>,
    /// Where its limits come from; the outer level tells whether that was asked.
    pub(super) origin: Option<Option<Origin>>,
    /// Whether the kernel chose it as an OOM victim.
    pub(super) oom_killed: bool,
    /// Whether it was granted a table of which more can be touched than was told.
    pub(super) can_touch: bool,
    regions: Vec<Region>,
    chief: Option<Finding>,
}

impl Process {
    /// Remembers a region when it is asked for, and finds it again when it is touched.
    pub(super) fn note(&mut self, time_ns: u64, tid: u32, table: &FdTable) -> Region {
        if table.state != TABLE_FAILED {
            self.can_touch = table.touched < whole(table.total);
        }
        let known = self.regions.iter().find(|region| region.ordinal == table.ordinal);
        if let Some(known) = known.filter(|_| table.state == TABLE_TOUCHED) {
            return *known;
        }
        // A record of touched memory tells when it was touched; the one that told of the request was lost.
        let is_request = table.state != TABLE_TOUCHED;
        let region = Region {
            ordinal: table.ordinal,
            element: table.element,
            length: table.length,
            lag_ns: is_request.then(|| time_ns.saturating_sub(table.learned.time_ns)),
            asked_by: is_request.then_some(tid),
            id: 0,
        };
        if self.regions.len() == REGIONS_MAX {
            let smallest = self.regions.iter().enumerate().min_by_key(|(_, region)| region.length);
            if let Some((place, _)) = smallest {
                self.regions.remove(place);
            }
        }
        self.regions.push(region);
        region
    }

    /// The number of a region's findings; `next` when there is none yet.
    pub(super) fn id(&mut self, ordinal: u32, next: u64) -> u64 {
        match self.regions.iter_mut().find(|region| region.ordinal == ordinal) {
            Some(region) if region.id != 0 => region.id,
            Some(region) => {
                region.id = next;
                next
            }
            None => next,
        }
    }

    /// Regions of the same length as `region`, itself included.
    pub(super) fn alike(&self, region: &Region) -> usize {
        self.regions.iter().filter(|other| other.length == region.length).count().max(1)
    }

    /// Sizes of the elements of all tables, each once, in order of appearance.
    pub(super) fn elements(&self) -> Vec<u32> {
        let mut elements = Vec::new();
        for region in &self.regions {
            if !elements.contains(&region.element) {
                elements.push(region.element);
            }
        }
        elements
    }

    /// Keeps the finding that the last report will repeat: a refused request, else the largest region.
    pub(super) fn keep(&mut self, finding: &Finding) {
        let is_chief = self.chief.as_ref().is_none_or(|chief| {
            match (chief.state == State::Failed, finding.state == State::Failed) {
                // An allocator that was refused asks again in other ways, with a little more padding: the first request
                // is the program's.
                (true, true) => finding.bytes > chief.bytes.saturating_add(chief.bytes / 16),
                (true, false) => false,
                (false, true) => true,
                (false, false) => finding.bytes >= chief.bytes,
            }
        });
        if is_chief {
            self.chief = Some(finding.clone());
        }
    }

    /// The last report, when there was one before.
    pub(super) fn end(self, fact: &Fact, exit: &Exit) -> Option<Finding> {
        let mut finding = self.chief?;
        let lived_ns = fact.event.header.time_ns.saturating_sub(finding.time_ns);
        finding.time_ns = fact.event.header.time_ns;
        finding.total_bytes = finding.total_bytes.max(exit.table_total);
        finding.touched_bytes = finding.touched_bytes.max(exit.table_touched);
        if finding.state != State::Failed {
            let (touched, total) = (finding.touched_bytes, finding.total_bytes);
            finding.state = if signs::is_touched(touched, total) { State::Touched } else { State::Mapped };
            // Bytes touched after the last step that was reported are known only now.
            if let Some(reason) = finding.reasons.last_mut() {
                *reason = signs::progress(touched, total);
            }
        }
        finding.reasons.push(signs::end(finding.state, self.oom_killed, exit.status, lived_ns));
        finding.last = true;
        Some(finding)
    }
}
