//! Acting for real.

use std::io;
use std::os::fd::AsFd;

use super::reaper::Reaper;
use super::{Actuator, Guard};
use crate::core::fact::ProcessKey;
use crate::core::policy::{Outcome, Signal};
use crate::sys;

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
}

#[cfg(test)]
mod tests;
