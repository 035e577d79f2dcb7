//! What the detector hands out: one region of memory that follows from a descriptor limit, explained.

use std::sync::Arc;

use memwatch_ebpf::abi::event::{FdTable, SOURCE_BRK, SOURCE_MMAP, SOURCE_MREMAP};
use memwatch_ebpf::abi::state::Learned;
use memwatch_ebpf::table::{Certainty, Fit};

use super::advice;
use super::programs::Program;
use crate::core::fact::Identity;
use crate::core::origin::Origin;

/// Memory that holds one slot per possible descriptor, as far as is known at `time_ns`.
///
/// A region is reported when it is asked for and again as it is touched; all reports of one region carry one `id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Number of the region among all findings of this run, from 1.
    pub id: u64,
    /// The process that asked for the memory.
    pub process: Arc<Identity>,
    /// Boot clock at this report, in nanoseconds.
    pub time_ns: u64,
    /// The limit N and how it came to be known.
    pub learned: Learned,
    /// The process that learned the limit, when it is another one and known.
    pub learned_by: Option<Arc<Identity>>,
    /// Bytes per descriptor (k).
    pub element_bytes: u32,
    /// Bytes of this region (L).
    pub bytes: u64,
    /// Bytes of all tables of the process that were granted.
    pub total_bytes: u64,
    /// Bytes of this region that the table itself does not need.
    pub overhead_bytes: u64,
    /// How L follows from N and k.
    pub fit: Fit,
    /// Nanoseconds from the limit's look-up to the request; `None` when the request's own record was lost.
    pub lag_ns: Option<u64>,
    /// The thread that asked for the memory; `None` when the request's own record was lost.
    pub asked_by: Option<u32>,
    /// The system call that asked for it.
    pub source: Source,
    /// What became of it.
    pub state: State,
    /// Whether a rule of the kernel side signalled the process as the memory was granted.
    pub signalled: bool,
    /// Address of the region, or the negative errno of a refused request.
    pub result: i64,
    /// Bytes of the tables that were touched, at most `total_bytes`.
    pub touched_bytes: u64,
    /// Number of the region among the tables of its process, from 1.
    pub ordinal: u32,
    /// How sure this is.
    pub confidence: Confidence,
    /// What speaks for and against it, strongest signs in a fixed order.
    pub reasons: Vec<Reason>,
    /// Where the limits of the process come from, as far as can be told.
    pub origin: Option<Origin>,
    /// What a person can do about it.
    pub advice: String,
    /// Whether the process has ended and nothing more will be reported of it.
    pub last: bool,
}

impl Finding {
    /// Notes where the limits of the process come from: the advice says so.
    pub fn set_origin(&mut self, origin: Option<Origin>) {
        let table = FdTable {
            learned: self.learned,
            length: self.bytes,
            total: self.total_bytes,
            overhead: self.overhead_bytes,
            element: self.element_bytes,
            ..FdTable::default()
        };
        self.advice = advice::advise(&self.process, Program::of(&self.process), origin.as_ref(), &table);
        self.origin = origin;
    }
}

/// The system call that asked for a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `mmap(2)`.
    Mmap,
    /// `mremap(2)`.
    Mremap,
    /// `brk(2)`.
    Brk,
}

impl Source {
    /// The source behind a wire number, or `None` for a number nobody gave.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            SOURCE_MMAP => Some(Self::Mmap),
            SOURCE_MREMAP => Some(Self::Mremap),
            SOURCE_BRK => Some(Self::Brk),
            _ => None,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::Mremap => "mremap",
            Self::Brk => "brk",
        }
    }
}

/// What became of a region. Mapped is not resident: memory costs nothing until it is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Granted; little or nothing of it is resident.
    Mapped,
    /// Granted, and the process's memory grew by a good part of it.
    Touched,
    /// Refused.
    Failed,
}

impl State {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Touched => "touched",
            Self::Failed => "failed",
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// The length fits, as lengths do by accident.
    Low,
    /// Several signs agree: worth a look.
    Medium,
    /// A person who sees the reasons would bet on it.
    High,
}

impl Confidence {
    /// What a rule of the kernel side asks of a table's length for this confidence.
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        match self {
            Self::Low => Certainty::Low,
            Self::Medium => Certainty::Medium,
            Self::High => Certainty::High,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One sign for or against a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable name, for programs.
    pub code: &'static str,
    /// A sentence, for people.
    pub text: String,
}
