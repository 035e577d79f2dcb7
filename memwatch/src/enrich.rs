//! Enrichment: a decoded event goes in, a [`Fact`](crate::core::fact::Fact) with the processes it speaks of comes out.
//!
//! Invariant: bytes that a process chose (names, arguments, paths) stay bytes; escaping them is the exporter's job.

pub mod cgroup;
pub mod container;
pub mod proc;
