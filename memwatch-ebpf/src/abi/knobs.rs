//! What user space sets while the programs run: filters, floors and rules.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::COMM_LEN;

/// Filters and floors. One instance, in the array `KNOBS` at index 0. A zero means "no filter" unless said otherwise.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Knobs {
    /// Kinds that are written to the ring: bits as in [`super::event::Kind::bit`].
    pub kinds: u64,
    /// Smallest mapping that makes an event of its own, in bytes.
    pub min_bytes: u64,
    /// Smallest single region that is taken for an fd table, in bytes.
    pub min_table: u64,
    /// RSS at which a process without a limit of its own raises an event, in bytes; 0: never.
    pub rss_limit: u64,
    /// Only processes in this cgroup or below it; with [`MEMORY_V1`](super::header::MEMORY_V1) in the memory
    /// controller's v1 hierarchy.
    pub cgroup_id: u64,
    /// Boot clock from when on anything is counted or told, in nanoseconds; 0: not yet. Set last, once every program is
    /// attached: what one of them begins, all of them see.
    pub armed_ns: u64,
    /// Depth of that cgroup below the root of its hierarchy.
    pub cgroup_level: u32,
    /// Only these processes: those in the map `MARKS` with [`MARK_SHOWN`]; 1 when the filter is on.
    pub marked_only: u32,
    /// 1 when `uid` filters.
    pub uid_on: u32,
    /// Only this user.
    pub uid: u32,
    /// 1 when `comm` filters.
    pub comm_on: u32,
    /// Number of valid entries of the array `RULES`.
    pub rules: u32,
    /// Only threads of exactly this name.
    pub comm: [u8; COMM_LEN],
    /// A process whose events are not told but for its forks: memwatch itself; 0: none.
    pub self_tgid: u32,
    /// 1 once there was anything in the map `MARKS`: looking for what is not there would cost every process at its start and
    /// end.
    pub has_marks: u32,
    /// The same of the map `LIMITS`.
    pub has_limits: u32,
    /// Bits of marks that a process loses when it executes a program: orders about the program before it.
    pub lost_at_exec: u32,
}

/// `MARKS` value bit: the process is in the filter.
pub const MARK_SHOWN: u32 = 1;
/// `MARKS` value bit: children of the process are marked like it.
pub const MARK_INHERITED: u32 = 2;
/// The first of the `MARKS` value bits that rules of scope [`SCOPE_MARKED`] ask for, each its own ([`Rule::mark`]).
pub const MARK_RULED: u32 = 1 << 8;

/// The first of the `MARKS` value bits of process trees that user space tells apart, each its own: a process with one descends
/// from the root of that tree. They lie above those of the rules, and go up to the highest bit.
pub const MARK_TREE: u32 = 1 << 24;
/// Trees that can be told apart.
pub const TREES_MAX: usize = 8;

/// Entries of the array `RULES`.
pub const RULES_MAX: u32 = 16;

/// The marks of all rules.
pub const MARKS_RULED: u32 = MARK_TREE - MARK_RULED;
const _: () = assert!(MARKS_RULED == ((1 << RULES_MAX) - 1) * MARK_RULED);

/// [`Rule::scope`]: processes with the mark [`Rule::mark`].
pub const SCOPE_MARKED: u32 = 1;
/// [`Rule::scope`]: processes in `cgroup_id` or below it.
pub const SCOPE_CGROUP: u32 = 2;

/// An order of the daemon that the kernel side obeys at the moment memory is asked for or touched.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// Smallest table that the rule concerns, in bytes (a single region).
    pub min_table: u64,
    /// Touched bytes at which a [`super::event::ACTION_SIGNAL_TOUCHED`] rule acts.
    pub touched: u64,
    /// The cgroup of scope [`SCOPE_CGROUP`], as [`Knobs::cgroup_id`].
    pub cgroup_id: u64,
    /// Its depth below the root of the unified hierarchy.
    pub cgroup_level: u32,
    /// `SCOPE_*`. A rule of an unknown scope concerns nobody.
    pub scope: u32,
    /// `ACTION_*` of [`super::event`].
    pub action: u32,
    /// Signal to send.
    pub signal: u32,
    /// Id that goes into the record of an act.
    pub id: u32,
    /// 1 when `comm` must match the thread's name.
    pub comm_on: u32,
    /// The mark of scope [`SCOPE_MARKED`]: [`MARK_RULED`] or a higher bit.
    pub mark: u32,
    /// How sure the table's length has to make at least: a [`crate::table::Certainty`] as a number.
    pub certainty: u32,
    /// That name.
    pub comm: [u8; COMM_LEN],
    /// Bytes per descriptor in tables of the programs that it names, where they are known; 0 in an unused place.
    pub elements: [u32; ELEMENTS_MAX],
}

/// Sizes of elements that a rule knows.
pub const ELEMENTS_MAX: usize = 8;

/// A process's own RSS limit: value of the map `LIMITS`, by process id.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct RssLimit {
    /// Start of the process it was meant for, boot clock, nanoseconds, exact or rounded down to a clock tick of 10 ms: another
    /// process of the same id is not concerned.
    pub start_ns: u64,
    /// The limit in bytes.
    pub bytes: u64,
    /// Signal to send when it is passed, or 0 for an event only.
    pub signal: u32,
    /// Id of the rule behind it.
    pub rule: u32,
}
