//! What cgroups truly hold, beside what the kernel charged them for.
//!
//! Pages that were seen in address spaces go into a [`Tally`], the cgroups and their counters into a [`Tree`]; a
//! [`Balance`] of each cgroup comes out. [`Draw`] chooses the pages when not all are read, and [`Estimate`] says how far
//! off the figures can be.

pub mod balance;
pub mod charge;
pub mod draw;
pub mod estimate;
pub mod item;
pub mod report;
pub mod tally;
pub mod tree;

pub use balance::{Audit, Balance, Dying, Elsewhere, Owner, Survey, Thresholds, balance};
pub use charge::Charged;
pub use draw::Draw;
pub use estimate::{Estimate, Weights};
pub use item::{Class, Item, Items};
pub use report::{Notes, Place, Report};
pub use tally::Tally;
pub use tree::{Group, Tree};

/// Owner of pages when the kernel does not tell any.
pub const UNTOLD: u64 = u64::MAX;
