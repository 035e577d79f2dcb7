//! What `memwatch forecast` concluded, for people and for programs.

pub mod json;
pub mod keys;
pub mod page;
pub mod table;

#[cfg(test)]
mod samples;

/// Seconds as nanoseconds; what is beyond their range is as good as never.
fn nanos(seconds: f64) -> Option<u64> {
    let ns = seconds * 1e9;
    (ns < u64::MAX as f64).then_some(ns as u64)
}
