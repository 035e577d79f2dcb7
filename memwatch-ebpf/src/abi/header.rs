//! The header that every record starts with.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::COMM_LEN;

/// Set in the id of a cgroup that is in the memory controller's v1 hierarchy, whose ids are numbered apart from the unified
/// one's. The kernel's own ids do not get there: their upper half counts generations.
pub const MEMORY_V1: u64 = 1 << 63;

/// The id of a cgroup within its hierarchy.
#[must_use]
#[inline(always)]
pub const fn cgroup_number(id: u64) -> u64 {
    id & !MEMORY_V1
}

/// Who did what, when. First in every record of the ring buffer.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// Boot clock at the moment of the event, in nanoseconds.
    pub time_ns: u64,
    /// Start of the process (its thread-group leader) on the boot clock, in nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// The process's cgroup: its id in the unified (v2) hierarchy; where that is the root and the memory controller
    /// has a v1 hierarchy of its own, its id there with [`MEMORY_V1`].
    pub cgroup_id: u64,
    /// Number of this record among those of its CPU, from 1. A gap is a loss.
    pub seq: u64,
    /// Process id (thread-group id) in the initial pid namespace.
    pub tgid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Process id of the parent when the kernel side knows it, else 0.
    pub parent_tgid: u32,
    /// CPU that wrote the record.
    pub cpu: u16,
    /// What follows the header: a [`super::event::Kind`] as a number.
    pub kind: u16,
    /// [`super::VERSION`].
    pub version: u16,
    /// Bytes of the whole record, header included.
    pub len: u16,
    /// Name of the thread as the kernel holds it: any bytes, padded with zeros.
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<Header>() == 72);
