//! Acting on processes: what the policy decided is carried out here, or only told.
//!
//! An [`Actuator`] takes a process as a pair of id and start time, never as a bare id. It opens the process (pidfd), looks
//! whether it is the one that was meant, asks its own [`Guard`], which knows nothing of the policy, and only then acts. Observing
//! is another actuator with the same checks ([`DryRun`]).

mod cgroup;
mod dry_run;
mod fifo;
mod guard;
mod hook;
mod pidfd;
mod reaper;
mod unit;

pub use dry_run::DryRun;
pub use guard::{Guard, Lineage, Refusal};
pub use hook::{HookCall, Hooks};
pub use pidfd::PidfdActuator;

use crate::core::fact::ProcessKey;
use crate::core::policy::{Order, Outcome, Signal};

/// Carries out commands. Nothing here waits for the process: what becomes of it comes back as facts.
pub trait Actuator {
    /// Sends a signal to a process.
    fn send(&mut self, key: ProcessKey, signal: Signal) -> Outcome;

    /// Writes a byte to the FIFO that a process reads.
    fn write_fifo(&mut self, key: ProcessKey, byte: u8) -> Outcome;

    /// Kills every process of the cgroup that a process is in, and of those below it. Nobody is killed when one of them
    /// is guarded, or the cgroup is the root.
    fn kill_cgroup(&mut self, key: ProcessKey) -> Outcome;

    /// Has systemd stop the unit that a process is in. Nothing is stopped when one of its processes is guarded, or the host's
    /// systemd has no such unit.
    fn stop_unit(&mut self, key: ProcessKey) -> Outcome;

    /// Tells the master of a pool to change its number of workers.
    fn tell(&mut self, key: ProcessKey, order: Order) -> Outcome {
        match order {
            Order::Signal(signal) => self.send(key, signal),
            Order::Fifo(byte) => self.write_fifo(key, byte),
            Order::Nothing => Outcome::WouldSend,
        }
    }
}
