//! What is done about memory: inputs and time in, commands out.
//!
//! `Engine::handle` is the only way in, and what it hands out is all that happens: the same inputs give the same commands, in the
//! same order. Inputs can be written to a file and read again ([`Input`] is serializable), so every decision can be
//! repeated. The path from an input to a signal allocates nothing once its tables have grown to the host's size.
//!
//! A policy is one file in `rule/` and one row of its table. A rule only proposes; what becomes of a proposal is decided
//! in one place (the engine): guarded processes are no candidates, pools keep their least number, kills wait for the
//! memory of the last one and are counted against a budget.

mod audited;
mod budget;
mod case;
mod command;
mod course;
mod decision;
mod engine;
pub mod explain;
pub mod guard;
mod guard_names;
mod input;
mod masters;
mod queue;
mod rule;
mod samples;
mod server;
mod settings;
mod sizing;
pub mod unit;
mod who;
mod world;

pub use command::{Command, Limit, Order, Outbox, Signal, Told};
pub use decision::{
    Candidate, Cause, Closing, Decision, Ending, Gravity, Grows, Outcome, Standing, Turn, Warning,
};
pub use engine::{Engine, LIMIT_RULES};
pub use guard_names::{MOVED, guarded_folders, guarded_path, guarded_program, is_guarded_unit};
pub use input::{Acted, Figures, Holding, Host, Input, Strain, Table, TableState};
pub use queue::{PoolSight, Queue, Way};
pub use server::Server;
pub use settings::{
    Amount, Audit, Bounds, Budget, FdTableRule, Growth, Hooks, Match, Measure, Mode, Pool, Pressure,
    ProcessLimit, Protect, Reach, Scope, Settings, Sizing, Step, TableAction, Then, Thrash,
};
pub use sizing::Resize;
pub use who::Who;
