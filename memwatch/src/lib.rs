//! memwatch: sees memory asked for in the kernel, names the limit that led to it, and explains what it will cost.
//!
//! The flow is `source -> decode -> enrich -> core (detect) -> export`; ARCHITECTURE.md has the map.

pub mod act;
pub mod cli;
pub mod config;
pub mod core;
pub mod decode;
pub mod enrich;
pub mod export;
pub mod measure;
pub mod probe;
pub mod replay;
mod rights;
pub mod runtime;
pub mod source;
pub mod sys;
