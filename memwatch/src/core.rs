//! The deciding part: facts and time in, findings and commands out. Performs no I/O and reads no clock.

pub mod audit;
pub mod detect;
pub mod exposure;
pub mod fact;
pub mod forecast;
pub mod naming;
pub mod origin;
pub mod pattern;
pub mod policy;
pub(crate) mod quantity;
