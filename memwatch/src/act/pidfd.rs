//! Acting for real.

use std::io;
use std::os::fd::AsFd;

use super::cgroup::Target;
use super::fifo;
use super::reaper::Reaper;
use super::{Actuator, Guard, unit};
use crate::core::fact::ProcessKey;
use crate::core::policy::{Outcome, Signal};
use crate::sys;

/// Looks at the members of a cgroup that the kernel cannot kill at once.
const ROUNDS: u32 = 8;

/// Signals processes through descriptors of them.
#[derive(Debug)]
pub struct PidfdActuator {
    guard: Guard,
    reaper: Reaper,
}

impl PidfdActuator {
    /// An actuator behind this guard; starts the thread that frees the memory of the killed.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(guard: Guard) -> io::Result<Self> {
        Ok(Self { guard, reaper: Reaper::start()? })
    }
}

impl PidfdActuator {
    /// Kills the members one by one, and those that they started meanwhile, until nobody is left who was not signalled.
    fn kill_each(&mut self, key: ProcessKey, mut target: Target) -> Outcome {
        let mut killed = Vec::with_capacity(target.members.len());
        for _ in 0..ROUNDS {
            let before = killed.len();
            for member in &target.members {
                if !killed.contains(&member.key) {
                    killed.push(member.key);
                    // It may have ended by itself; whoever else refuses is left over in the next round.
                    self.send(member.key, Signal::KILL);
                }
            }
            if killed.len() == before {
                return Outcome::Sent;
            }
            target = match Target::of(&mut self.guard, target.folder) {
                Ok(again) => again,
                Err(_) => return Outcome::Sent,
            };
        }
        tracing::warn!(
            "the cgroup of process {} grows faster than it is killed; give it a limit of pids",
            key.tgid
        );
        Outcome::Sent
    }
}

impl Actuator for PidfdActuator {
    fn send(&mut self, key: ProcessKey, signal: Signal) -> Outcome {
        let process = match self.guard.admit(key) {
            Ok(process) => process,
            Err(outcome) => return outcome,
        };
        match sys::process::send_signal(process.as_fd(), signal.0) {
            Ok(()) => {
                if signal == Signal::KILL {
                    self.reaper.take(process);
                }
                Outcome::Sent
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ESRCH) | None => Outcome::Gone,
                Some(errno) => Outcome::Failed(errno),
            },
        }
    }

    fn write_fifo(&mut self, key: ProcessKey, byte: u8) -> Outcome {
        match self.guard.admit(key) {
            Ok(_) => fifo::write(key, byte),
            Err(outcome) => outcome,
        }
    }

    fn kill_cgroup(&mut self, key: ProcessKey) -> Outcome {
        let target = match Target::find(&mut self.guard, key) {
            Ok(target) => target,
            Err(outcome) => return outcome,
        };
        match target.kill_at_once() {
            Ok(()) => {
                target.members.into_iter().for_each(|member| self.reaper.take(member.process));
                Outcome::Sent
            }
            // A v1 hierarchy, or a kernel before 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_each(key, target),
            Err(error) => Outcome::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    fn stop_unit(&mut self, key: ProcessKey) -> Outcome {
        unit::find(&mut self.guard, key).map_or_else(|outcome| outcome, |unit| unit::stop(&unit))
    }
}

#[cfg(test)]
mod tests;
