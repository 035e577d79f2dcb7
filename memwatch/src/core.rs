//! The deciding part: facts and time in, findings out. Performs no I/O and reads no clock.

pub mod detect;
pub mod fact;
