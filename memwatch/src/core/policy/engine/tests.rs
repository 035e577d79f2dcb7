//! The engine against a simulated host.

mod behaviour;
mod host;
mod properties;
