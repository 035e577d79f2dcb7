//! Enrichment: a decoded event goes in, a [`Fact`](crate::core::fact::Fact) with the processes it speaks of comes out.
//!
//! [`proc`] reads `/proc`, [`cgroup`] finds the paths behind cgroup ids, [`container`] reads containers, pods and
//! units out of those paths, and [`ledger`] remembers processes so that the dead keep their identity.
//!
//! Invariant: bytes that a process chose (names, arguments, paths) stay bytes; escaping them is the exporter's job.

pub mod cgroup;
pub mod container;
pub mod ledger;
mod place;
pub mod proc;
