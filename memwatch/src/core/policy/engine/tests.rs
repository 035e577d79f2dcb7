//! The engine against a simulated host.

mod behaviour;
mod explain;
mod host;
mod properties;
mod true_use;
