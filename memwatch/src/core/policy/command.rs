//! What the engine hands out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decision::{Candidate, Closing, Decision, Warning};
use crate::core::fact::ProcessKey;

/// A signal by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal(pub i32);

impl Signal {
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGTERM.
    pub const TERM: Self = Self(15);

    /// Names of the standard signals of Linux on x86-64 and arm64 by number, from 1 (`signal(7)`).
    pub const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];

    /// Whether it is in a set of signals: bit N-1 for signal N.
    #[must_use]
    pub fn is_in(self, set: u64) -> bool {
        let bit = u32::try_from(self.0 - 1).ok().and_then(|shift| 1_u64.checked_shl(shift));
        bit.is_some_and(|bit| set & bit != 0)
    }

    /// Parses a name, with or without `SIG`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        (1..)
            .zip(Self::NAMES)
            .find(|(_, name)| name.strip_prefix("SIG") == Some(bare))
            .map(|(number, _)| Self(number))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = usize::try_from(self.0).ok().and_then(|number| number.checked_sub(1));
        match place.and_then(|place| Self::NAMES.get(place)) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// What tells a master to change its number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A signal to it.
    Signal(Signal),
    /// A byte written to the FIFO that it reads.
    Fifo(u8),
    /// Nothing does: what would be done is told.
    Nothing,
}

impl Order {
    /// Parses `SIGTTIN` or `fifo +`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("fifo ").map(str::as_bytes) {
            Some([byte]) => Some(Self::Fifo(*byte)),
            Some(_) => None,
            None => Signal::parse(text).map(Self::Signal),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => signal.fmt(f),
            Self::Fifo(byte) => write!(f, "`{}` at its FIFO", byte.escape_ascii()),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// A limit for the kernel side to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Whom it concerns.
    pub key: ProcessKey,
    /// Resident bytes.
    pub bytes: u64,
    /// What is sent.
    pub signal: Signal,
    /// Id of the rule, which comes back in [`super::Input::Acted`].
    pub rule: u32,
}

/// One thing to do or to tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Look at a process's memory; [`super::Input::Figures`] or [`super::Input::Unreadable`] answers.
    Measure(ProcessKey),
    /// Read what a cgroup truly holds, by number; [`super::Input::Holding`] answers.
    Audit(u64),
    /// Send a signal; [`super::Input::Outcome`] answers.
    Send {
        /// For which decision.
        decision: u64,
        /// To whom.
        key: ProcessKey,
        /// What.
        signal: Signal,
    },
    /// Tell a master to change its number of workers; [`super::Input::Outcome`] answers.
    Tell {
        /// For which decision.
        decision: u64,
        /// The master.
        key: ProcessKey,
        /// How.
        order: Order,
    },
    /// Kill every process of the cgroup that a process is in; [`super::Input::Outcome`] answers.
    KillCgroup {
        /// For which decision.
        decision: u64,
        /// A process in it.
        key: ProcessKey,
    },
    /// Have systemd stop the unit that a process is in; [`super::Input::Outcome`] answers.
    StopUnit {
        /// For which decision.
        decision: u64,
        /// A process in it.
        key: ProcessKey,
    },
    /// Run a hook; [`super::Input::Outcome`] answers.
    RunHook {
        /// For which decision.
        decision: u64,
        /// About whom.
        key: ProcessKey,
        /// Of which pool in the settings; `None`: of those found by themselves.
        pool: Option<usize>,
        /// Before the act, or after it.
        before: bool,
    },
    /// Keep a limit in the kernel, until the process executes a program.
    Limit(Limit),
    /// Keep it no longer.
    Unlimit(ProcessKey),
    /// Let the kernel side's fd-table rule of this number act on a process and on those that it forks, on each until it executes
    /// a program.
    Rule {
        /// Whom.
        key: ProcessKey,
        /// Number of the rule in the settings.
        rule: usize,
    },
    /// Let none of them act on it any more; on those that it has forked they do.
    Unrule(ProcessKey),
    /// Look at the host again within this time, in nanoseconds.
    LookWithin(u64),
    /// A decision was made; its candidates stand in the [`super::Outbox`].
    Decided(Decision),
    /// A decision's end.
    Closed(Closing),
    /// Something that an operator should see.
    Warn(Warning),
}

/// What of a command is told to people and counted.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Somebody is to go, or a pool is to change its size.
    Decided(&'a Decision),
    /// A decision has ended.
    Closed(&'a Closing),
    /// Something else that people should know.
    Warned(&'a Warning),
}

impl Command {
    /// What is told of it; `None`: it is only carried out.
    #[must_use]
    pub const fn told(&self) -> Option<Told<'_>> {
        match self {
            Self::Decided(decision) => Some(Told::Decided(decision)),
            Self::Closed(closing) => Some(Told::Closed(closing)),
            Self::Warn(warning) => Some(Told::Warned(warning)),
            Self::Measure(_)
            | Self::Audit(_)
            | Self::Send { .. }
            | Self::Tell { .. }
            | Self::KillCgroup { .. }
            | Self::StopUnit { .. }
            | Self::RunHook { .. }
            | Self::Limit(_)
            | Self::Unlimit(_)
            | Self::Rule { .. }
            | Self::Unrule(_)
            | Self::LookWithin(_) => None,
        }
    }
}

/// Where the engine puts what it hands out. Kept and cleared by the caller, so that its room is made once.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// What to do and tell, in order.
    pub commands: Vec<Command>,
    /// Rankings of the decisions among them.
    pub candidates: Vec<Candidate>,
}

impl Outbox {
    /// Empties it, and keeps its room.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.candidates.clear();
    }

    /// The ranking of a decision.
    #[must_use]
    pub fn ranking(&self, decision: &Decision) -> &[Candidate] {
        let range = decision.first_candidate..decision.first_candidate + decision.candidates;
        self.candidates.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(Signal::parse("sigterm"), Some(Signal::TERM));
        assert_eq!(Signal::parse("HUP"), Some(Signal(1)));
        assert_eq!(Signal::parse("SIGFOO"), None);
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
        assert_eq!(Signal(40).to_string(), "signal 40");
    }
}
