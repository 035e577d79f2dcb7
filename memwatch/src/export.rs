//! What leaves the program: facts, findings, losses and the summary, as text in a buffer that the caller writes.
//!
//! An exporter appends whole lines and never fails, waits or writes by itself; names of processes and files are any
//! bytes and leave escaped.

pub mod account;
pub mod audit;
pub mod clock;
pub mod decision;
pub mod escape;
pub mod event;
mod exit_status;
pub mod explain;
pub mod flat;
pub mod forecast;
pub mod json;
pub mod kernel_names;
pub mod lost_kinds;
pub mod metrics;
pub mod otlp;
pub mod route;
#[cfg(test)]
pub(crate) mod samples;
pub mod scan;
pub mod schema;
mod subject;
pub mod summary;
pub mod table;
mod words;
pub(crate) mod wrap;

use std::sync::Arc;

use memwatch_ebpf::abi::event::{Kind, Resident};

use crate::core::detect::fd_table::Finding;
use crate::core::fact::{Fact, Identity};

/// One form of output. Facts of [`Kind::FdTable`] are not written: the detector turns them into findings.
pub trait Exporter {
    /// Appends an event.
    fn fact(&mut self, fact: &Fact, out: &mut Vec<u8>);
    /// Appends a finding, or the update of one.
    fn finding(&mut self, finding: &Finding, out: &mut Vec<u8>);
    /// Appends what was lost since the last report.
    fn lost(&mut self, loss: &Loss, out: &mut Vec<u8>);
    /// Appends what is said at the end.
    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>);
}

/// Something that was shed or could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it was noticed, on the boot clock, in nanoseconds.
    pub time_ns: u64,
    /// What was lost, by its name in reports and metrics.
    pub kind: &'static str,
    /// How much since the last report.
    pub count: u64,
    /// How much since the start.
    pub total: u64,
}

/// A whole run, looked back at.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// Lines by kind of event; kinds that did not occur may be left out.
    pub events: Vec<(Kind, u64)>,
    /// The last state of each finding.
    pub findings: Vec<Finding>,
    /// Smallest sum of a process's fd tables that is a finding; `None` where findings were not asked for.
    pub min_table: Option<u64>,
    /// Whether a rule acted on fd tables, findings asked for or not.
    pub has_rule: bool,
    /// What was lost, over the whole run.
    pub losses: Vec<Loss>,
    /// Hooks that were not attached: what they would have told is no counted loss.
    pub hooks_missing: Vec<&'static str>,
    /// Those among them without which fd tables go unnoticed.
    pub table_hooks_missing: Vec<&'static str>,
    /// Processes that asked for the most memory, the largest first.
    pub top: Vec<TopProcess>,
    /// Cgroups whose processes asked for the most memory, living and ended, the largest first.
    pub cgroups: Vec<TopCgroup>,
}

/// What the processes of one cgroup did while they were in it.
#[derive(Clone, Debug)]
pub struct TopCgroup {
    /// Its id in its hierarchy.
    pub id: u64,
    /// Its path, when it is known.
    pub path: Option<Arc<str>>,
    /// Bytes mapped or grown by.
    pub mapped_bytes: u64,
    /// Bytes given back.
    pub freed_bytes: u64,
    /// Minor page faults.
    pub minor_faults: u64,
    /// Major page faults.
    pub major_faults: u64,
}

/// What one process did and holds.
#[derive(Clone, Debug)]
pub struct TopProcess {
    /// The process.
    pub identity: Arc<Identity>,
    /// Bytes it mapped or grew by.
    pub mapped_bytes: u64,
    /// Its minor page faults.
    pub minor_faults: u64,
    /// Its major page faults.
    pub major_faults: u64,
    /// What it holds resident, when last seen; `None` when it never was, or has ended.
    pub resident: Option<Resident>,
}
