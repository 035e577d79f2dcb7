//! What a scan finds: processes whose memory follows from a descriptor limit, or would after their next start.

mod kin;

use std::sync::Arc;

use memwatch_ebpf::table::kernel_bytes;

use super::detect::fd_table::standing::Expectation;
use super::detect::fd_table::{Confidence, Finding, Reason};
use super::fact::{Identity, ProcessKey};
use super::origin::{Limits, Origin};
pub use kin::Kin;

/// One process at risk.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// The process.
    pub process: Arc<Identity>,
    /// Boot clock when it was looked at, in nanoseconds.
    pub time_ns: u64,
    /// Its limits.
    pub limits: Limits,
    /// Where they come from, as far as can be told.
    pub origin: Option<Origin>,
    /// Slots of the kernel's own table, when known.
    pub kernel_slots: Option<u64>,
    /// What the risk is.
    pub risk: Risk,
}

/// A risk.
#[derive(Clone, Debug)]
pub enum Risk {
    /// Tables that stand.
    Table {
        /// The surest of them, with the sum of all.
        finding: Box<Finding>,
        /// Bytes of them that are resident or swapped out, when that could be read.
        touched: Option<u64>,
    },
    /// A known program that has no table yet, under a limit that makes a large one.
    Expected {
        /// What it would ask for.
        expectation: Expectation,
        /// The limit at that start.
        limit: u64,
        /// The file that sets this limit, when it has changed since the process started.
        changed: Option<String>,
    },
    /// A large table of the kernel's own, which is resident.
    Kernel,
}

impl Risk {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Table { .. } => "table",
            Self::Expected { .. } => "expected",
            Self::Kernel => "kernel",
        }
    }
}

impl Exposure {
    /// Notes where the limits come from: the advice says so.
    pub fn set_origin(&mut self, origin: Option<Origin>) {
        if let Risk::Table { finding, .. } = &mut self.risk {
            finding.set_origin(origin.clone());
        }
        self.origin = origin;
    }

    /// Bytes that it costs or may come to cost: all that is mapped, or would be, and the kernel's own table.
    #[must_use]
    pub fn at_risk(&self) -> u64 {
        let memory = match &self.risk {
            Risk::Table { finding, .. } => finding.total_bytes,
            Risk::Expected { expectation, limit, .. } => expectation.bytes(*limit),
            Risk::Kernel => 0,
        };
        memory.saturating_add(self.kernel_bytes().unwrap_or(0))
    }

    /// Bytes of the kernel's own table, when known.
    #[must_use]
    pub fn kernel_bytes(&self) -> Option<u64> {
        self.kernel_slots.map(kernel_bytes)
    }

    /// How sure it is. What a known program will do is likely and not certain; what the kernel says is certain.
    #[must_use]
    pub const fn confidence(&self) -> Confidence {
        match &self.risk {
            Risk::Table { finding, .. } => finding.confidence,
            Risk::Expected { .. } => Confidence::Medium,
            Risk::Kernel => Confidence::High,
        }
    }

    /// What it rests on.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        match &self.risk {
            Risk::Table { finding, .. } => finding.reasons.clone(),
            Risk::Expected { expectation, limit, changed } => {
                expected(expectation, *limit, changed.as_deref())
            }
            Risk::Kernel => vec![Reason {
                code: "kernel_table",
                text: format!(
                    "the kernel's own table has {} slots, and keeps its largest size until the process ends",
                    self.kernel_slots.unwrap_or(0)
                ),
            }],
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match &self.risk {
            Risk::Table { finding, .. } => finding.advice.clone(),
            Risk::Expected { expectation, limit, .. } => {
                expectation.advice(&self.process, *limit, self.origin.as_ref())
            }
            Risk::Kernel => {
                "find the open descriptors in /proc/PID/fd, close those that leak, and restart the process"
                    .to_owned()
            }
        }
    }

    /// Order of a report: the dearest first, then the surest, then by process.
    #[must_use]
    pub fn rank(&self) -> impl Ord + use<> {
        let ProcessKey { tgid, start_ns } = self.process.key;
        (std::cmp::Reverse((self.at_risk(), self.confidence())), tgid, start_ns)
    }
}

fn expected(expectation: &Expectation, limit: u64, changed: Option<&str>) -> Vec<Reason> {
    let (program, element) = (expectation.program(), expectation.element());
    let known = format!("{program} is known to keep a table with {element} bytes per descriptor");
    let now = match changed {
        Some(file) => Reason {
            code: "limit_changed",
            text: format!("{file} has changed since the process started: the next start gets a limit of {limit}"),
        },
        None => Reason {
            code: "not_allocated",
            text: "it has no such table now: a start with other settings, or a setting that bounds it, may be why"
                .to_owned(),
        },
    };
    vec![Reason { code: "program_known", text: known }, now]
}
