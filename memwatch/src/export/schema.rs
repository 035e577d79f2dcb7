//! The fields of the JSON stream: one table, which the writer takes its keys from and docs/events.md is made of.
//!
//! Invariant: a [`Field`] is made in [`fields`] only, so a key that is not in the table cannot be written.

pub mod fields;
pub mod page;

use memwatch_ebpf::abi::event::Kind;

/// Version of the JSON stream; a key that changes its meaning or goes raises it, a new one does not.
pub const VERSION: u64 = 1;

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// An event of the kernel side, or a finding ([`Kind::FdTable`]).
    Of(Kind),
    /// What a scan found.
    Exposure,
    /// Something was lost.
    Lost,
}

impl Name {
    /// Value of `event.name`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Of(Kind::Mmap) => "memwatch.mmap",
            Self::Of(Kind::Munmap) => "memwatch.munmap",
            Self::Of(Kind::Mremap) => "memwatch.mremap",
            Self::Of(Kind::Brk) => "memwatch.brk",
            Self::Of(Kind::Fault) => "memwatch.fault",
            Self::Of(Kind::Rss) => "memwatch.rss",
            Self::Of(Kind::RlimitRead) => "memwatch.rlimit_read",
            Self::Of(Kind::RlimitSet) => "memwatch.rlimit_set",
            Self::Of(Kind::FdTableGrowth) => "memwatch.fdtable_growth",
            Self::Of(Kind::CloseSweep) => "memwatch.close_sweep",
            Self::Of(Kind::FdTable) => "memwatch.fd_table",
            Self::Of(Kind::Action) => "memwatch.action",
            Self::Of(Kind::OomKill) => "memwatch.oom_kill",
            Self::Of(Kind::Exec) => "memwatch.exec",
            Self::Of(Kind::Fork) => "memwatch.fork",
            Self::Of(Kind::Exit) => "memwatch.exit",
            Self::Exposure => "memwatch.exposure",
            Self::Lost => "memwatch.lost",
        }
    }

    /// What such a line says, in one sentence.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Of(Kind::Mmap) => "A process mapped memory, or failed to.",
            Self::Of(Kind::Munmap) => "A process gave a mapping back.",
            Self::Of(Kind::Mremap) => "A process moved or resized a mapping.",
            Self::Of(Kind::Brk) => "A process moved its program break: its heap grew or shrank.",
            Self::Of(Kind::Fault) => "A page had to be read from disk: a major page fault.",
            Self::Of(Kind::Rss) => "A process passed its limit on resident memory.",
            Self::Of(Kind::RlimitRead) => {
                "A process read a resource limit (`getrlimit`, `prlimit64`; `sysconf`, `getdtablesize` and \
                 `ulimit` arrive here)."
            }
            Self::Of(Kind::RlimitSet) => "A process set a resource limit, its own or another's.",
            Self::Of(Kind::FdTableGrowth) => "The kernel's own descriptor table of a process grew.",
            Self::Of(Kind::CloseSweep) => "A process closes a long run of descriptors that are not open.",
            Self::Of(Kind::FdTable) => {
                "Finding: a process asked for one slot per possible descriptor. Reported when the memory is asked \
                 for, again as it is touched, and at the process's exit."
            }
            Self::Of(Kind::Action) => "A rule acted in the kernel.",
            Self::Of(Kind::OomKill) => {
                "The kernel's OOM killer chose a victim. `process.*`, `thread.*`, `container.*` and the cgroup are \
                 the victim's; the task that triggered the kill stands in `memwatch.oom_kill.trigger_*`."
            }
            Self::Of(Kind::Exec) => "A process runs another program.",
            Self::Of(Kind::Fork) => "A process made another process. The line is the parent's.",
            Self::Of(Kind::Exit) => {
                "A process ended: its last thread is gone. Its sums begin when it does or, of a process that is older than \
                 the tracer, when the last hook was attached."
            }
            Self::Exposure => {
                "Finding of `memwatch scan`: a process has a table with one slot per possible descriptor, or will have \
                 after its next start. A process has one such line; the largest `at_risk_bytes` come first."
            }
            Self::Lost => "Something was shed or could not be read since the last such line.",
        }
    }

    /// Every name, in the order of the wire numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().map(Self::Of).chain([Self::Exposure, Self::Lost])
    }
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A JSON number without a fraction.
    Integer,
    /// Such a number; of a sample with `_low` and `_high` beside it.
    Estimate,
    /// A string.
    Text,
    /// A string with `0x` and the number in hexadecimal: an address does not fit the numbers of every JSON reader.
    Hex,
    /// A moment: RFC 3339 in UTC.
    Time,
    /// `true` or `false`.
    Flag,
    /// An array of strings.
    Texts,
    /// A string for each label, with the label's own key at the end of the key.
    Labels,
}

impl Type {
    /// Its name in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Estimate => "estimate",
            Self::Text => "string",
            Self::Hex => "hex string",
            Self::Time => "time string",
            Self::Flag => "boolean",
            Self::Texts => "array of strings",
            Self::Labels => "string for each label",
        }
    }
}

/// The lines that may carry a field.
#[derive(Clone, Copy, Debug)]
pub enum Lines {
    /// All of them.
    Every,
    /// All that speak of a process.
    Process,
    /// Those that come from one thread: findings are about processes.
    Thread,
    /// Those of one name.
    Only(Name),
}

/// What stands for a label's own key.
const LABEL: &str = "<key>";

/// A row of the table.
#[derive(Debug)]
pub struct Field {
    key: &'static str,
    /// A comma, the quoted key and a colon: what the writer appends.
    lead: &'static str,
    ty: Type,
    unit: &'static str,
    lines: Lines,
    doc: &'static str,
}

impl Field {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// The key up to a label's own.
    #[must_use]
    pub fn prefix(&self) -> &'static str {
        self.key.strip_suffix(LABEL).unwrap_or(self.key)
    }

    /// Whether a key is this one, or one of its labels'.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        match self.key.strip_suffix(LABEL) {
            Some(prefix) => key.strip_prefix(prefix).is_some_and(|label| !label.is_empty()),
            None => key == self.key,
        }
    }

    /// A comma, the key as a JSON string, and a colon.
    #[must_use]
    pub const fn lead(&self) -> &'static str {
        self.lead
    }

    /// Type of the value.
    #[must_use]
    pub const fn ty(&self) -> Type {
        self.ty
    }

    /// Whether lines of this name may carry it.
    #[must_use]
    pub fn is_in(&self, name: Name) -> bool {
        match self.lines {
            Lines::Every => true,
            Lines::Process => name != Name::Lost,
            Lines::Thread => !matches!(name, Name::Lost | Name::Exposure | Name::Of(Kind::FdTable)),
            Lines::Only(only) => name == only,
        }
    }
}
