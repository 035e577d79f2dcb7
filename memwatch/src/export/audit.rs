//! What `memwatch audit` found, for people and for programs.

pub mod json;
pub mod keys;
pub mod page;
pub mod table;
mod words;

#[cfg(test)]
mod samples;
