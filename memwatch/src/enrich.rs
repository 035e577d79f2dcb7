//! Enrichment: a decoded event goes in, a [`Fact`](crate::core::fact::Fact) with the processes it speaks of comes out.
//!
//! [`proc`] reads `/proc`, [`cgroup`] finds the paths behind cgroup ids, [`container`] reads containers, pods and
//! units out of those paths, [`cri`] asks container runtimes for the names behind the ids, and [`ledger`] remembers processes so that the dead keep their identity.
//!
//! Apart from events, [`survey`] reads what is there already: [`pages`] of address spaces, and [`memory_cgroups`] with
//! their counters.
//!
//! Invariant: bytes that a process chose (names, arguments, paths) stay bytes; escaping them is the exporter's job.

pub mod cgroup;
pub mod container;
pub mod cri;
pub mod fifo;
pub mod guarded_files;
pub mod identify;
pub mod ledger;
pub mod memory_cgroups;
pub mod origins;
pub mod pages;
mod place;
pub mod proc;
pub mod survey;
pub mod unit_limit;
