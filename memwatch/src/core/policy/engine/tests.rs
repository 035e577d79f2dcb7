//! The engine against a simulated host.

mod behaviour;
mod explain;
mod growth;
mod host;
mod orders;
mod properties;
mod queue;
mod story;
mod true_use;
mod unit;
