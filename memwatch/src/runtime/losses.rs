//! Every place that can shed, in one list of named counters.

use std::collections::BTreeMap;

use memwatch_ebpf::abi::fault::FaultCode;

use super::waiting::Waiting;
use crate::export::Loss;
use crate::sys::boot_ns;

/// Names of the pipeline's own counters.
pub(super) const OWN: [&str; 5] =
    ["undecodable", "unaccounted", "unread", "findings_dropped", "findings_state_evicted"];

/// Names of the counters about names of containers.
pub(super) const CONTAINERS: [&str; 4] =
    ["containers_unnamed", "container_calls_failed", "containers_not_kept", "containers_not_asked"];

/// What they come to.
pub(super) fn of_containers<T>(waiting: &Waiting<T>) -> impl Iterator<Item = (&'static str, u64)> + use<T> {
    let lost = waiting.containers().losses();
    CONTAINERS.into_iter().zip([waiting.unnamed(), lost.calls_failed, lost.not_kept, lost.not_asked])
}

/// Name of the one that is known only when nothing more can be written.
const UNWRITTEN: &str = "unwritten";

/// Lines that nobody took, where there are any.
pub(super) fn unwritten(lines: u64) -> Option<Loss> {
    (lines > 0).then(|| Loss { time_ns: boot_ns(), kind: UNWRITTEN, count: lines, total: lines })
}

/// Counters by name, as last reported.
#[derive(Debug, Default)]
pub(super) struct Losses {
    reported: BTreeMap<&'static str, u64>,
}

impl Losses {
    /// Takes a counter's value; gives what is new since it was last taken.
    pub(super) fn take(&mut self, kind: &'static str, total: u64) -> Option<Loss> {
        let before = self.reported.insert(kind, total).unwrap_or(0);
        (total > before).then(|| Loss { time_ns: boot_ns(), kind, count: total - before, total })
    }

    /// Every counter that is not zero.
    pub(super) fn all(&self) -> Vec<Loss> {
        self.reported
            .iter()
            .filter(|(_, total)| **total > 0)
            .map(|(kind, total)| Loss { time_ns: boot_ns(), kind, count: *total, total: *total })
            .collect()
    }
}

/// The kernel side's counters by name.
pub(super) fn named(faults: &[u64]) -> impl Iterator<Item = (&'static str, u64)> {
    FaultCode::ALL.iter().map(|code| code.name()).zip(faults.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::enrich::ledger::Losses as LedgerLosses;
    use crate::export::lost_kinds;
    use crate::export::scan::Unread;
    use crate::runtime::exporters::report;

    #[test]
    fn every_counter_has_a_meaning() {
        let scan = Unread { processes: 1, memory: 1, residence: 1 };
        let counted: BTreeSet<_> = named(&[0; FaultCode::ALL.len()])
            .chain(LedgerLosses::default().by_name())
            .map(|(name, _)| name)
            .chain(OWN)
            .chain(CONTAINERS)
            .chain([UNWRITTEN])
            .chain(report::KINDS)
            .chain(scan.counts().map(|(name, _)| name))
            .collect();
        let explained: BTreeSet<_> = lost_kinds::ALL.iter().map(|kind| kind.name).collect();
        assert_eq!(counted, explained);
    }
}
