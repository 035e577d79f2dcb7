//! What the engine takes in.

use serde::{Deserialize, Serialize};

use super::decision::Outcome;
use super::queue::Queue;
use super::who::Who;
use crate::core::fact::ProcessKey;

/// One thing that happened, or was looked at. The time comes beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A process runs: it was there at the start, was forked, or runs another program or under another name now.
    Runs(Box<Who>),
    /// A process ended.
    Ended(ProcessKey),
    /// The host was looked at.
    Host(Host),
    /// A cgroup, by its path, or the host was looked at for signs of thrash.
    Strain {
        /// Which; `None`: the host.
        cgroup: Option<String>,
        /// What was seen.
        strain: Strain,
    },
    /// What a cgroup, by its path, and those below it truly hold was read; nothing where it cannot be.
    Holding {
        /// Which.
        cgroup: String,
        /// What was found.
        holding: Option<Holding>,
    },
    /// A process was looked at.
    Figures {
        /// Which.
        key: ProcessKey,
        /// What was seen.
        figures: Figures,
    },
    /// The process that was to be looked at cannot be: it is gone, or may not be read.
    Unreadable(ProcessKey),
    /// The sockets of a pool were looked at.
    Queue(Queue),
    /// The detector found an fd table, or an update of one.
    Table(Table),
    /// A process closes descriptors one after another, most of which are not open.
    Sweeps(ProcessKey),
    /// A rule or limit acted in the kernel.
    Acted(Acted),
    /// What became of a command.
    Outcome {
        /// Of which decision.
        decision: u64,
        /// What.
        outcome: Outcome,
    },
    /// Time passed.
    Tick,
}

/// An act of the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// On which process.
    pub key: ProcessKey,
    /// Id of the rule.
    pub rule: u32,
    /// Bytes at that moment.
    pub bytes: u64,
    /// Bytes from which on it acts.
    pub bound: u64,
    /// Whether the signal was sent or the mapping refused.
    pub done: bool,
}

/// Memory of the host, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// `MemTotal`.
    pub total: u64,
    /// `MemAvailable`.
    pub available: u64,
    /// `SwapTotal`.
    pub swap_total: u64,
    /// `SwapFree`.
    pub swap_free: u64,
    /// Share of the last ten seconds in which every task that could run waited for memory, in hundredths of a percent;
    /// `None` where the kernel does not tell.
    pub full_pressure: Option<u32>,
}

impl Host {
    /// Bytes in use.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.total.saturating_sub(self.available)
    }
}

/// Signs of thrash: counters that only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strain {
    /// Faults that had to wait for a disk.
    pub major_faults: u64,
    /// Pages read in again soon after they were dropped.
    pub refaults: u64,
    /// Pages taken back on the spot by tasks that needed one; `None` where it is not told.
    #[serde(default)]
    pub reclaimed: Option<u64>,
    /// Time in which a task waited for memory, in nanoseconds; `None` where it is not told.
    #[serde(default)]
    pub stalled_ns: Option<u64>,
}

/// What a cgroup truly holds, and what it is charged for, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// What it costs the host: what its processes hold, wherever it is charged, shared pages by their share; memory of the
    /// kernel; files in memory that it is charged for and does not map.
    pub used: u64,
    /// Of a sample, the interval that holds it in 95 of 100 cases.
    pub used_low: u64,
    /// Its end.
    pub used_high: u64,
    /// What the kernel charged it for.
    pub charged: u64,
    /// What its processes hold and is charged elsewhere; of a sample the lower end of its interval.
    pub missing: u64,
    /// Its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Time that it took to read it, in nanoseconds.
    pub took_ns: u64,
    /// CPU time of that, in nanoseconds.
    #[serde(default)]
    pub cpu_ns: u64,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Resident (RSS), shared pages in full.
    pub resident: Option<u64>,
    /// Resident in this process only (USS).
    pub private: Option<u64>,
    /// Resident, shared pages by their share (PSS).
    pub proportional: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
    /// The most that was ever resident since the program was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// Whether it waits for a client: blocked on a socket that listens.
    #[serde(default)]
    pub idle: Option<bool>,
    /// Signals that it has a handler for and does not block: bit N-1 for signal N.
    #[serde(default)]
    pub caught: Option<u64>,
    /// Whether the kernel's OOM killer takes its cgroup as one (`memory.oom.group`).
    #[serde(default)]
    pub as_one: Option<bool>,
}

impl Figures {
    /// These, moved by what RSS has done since.
    #[must_use]
    pub fn moved(self, resident: Option<u64>) -> Self {
        let (Some(then), Some(now)) = (self.resident, resident) else { return self };
        let moved = |value: u64| (value + now).saturating_sub(then).min(now);
        Self {
            resident: Some(now),
            private: self.private.map(moved),
            proportional: self.proportional.map(moved),
            ..self
        }
    }
}

/// What became of an fd table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Granted.
    Mapped,
    /// Granted, and the kernel side signalled the process for it: its act follows.
    Signalled,
    /// Granted, and a good part of it is resident.
    Touched,
    /// Refused by the kernel.
    Failed,
}

/// An fd table that the detector found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The process that holds it.
    pub key: ProcessKey,
    /// The limit N.
    pub limit: u64,
    /// Bytes of all tables of the process.
    pub bytes: u64,
    /// Bytes of them that are resident.
    pub touched: u64,
    /// What became of it.
    pub state: TableState,
    /// How sure the detector is: 0 low, 1 medium, 2 high.
    pub confidence: u8,
}
