//! What a scan says: the processes at risk, what could not be read, and a line that sums it up.

mod table;

use std::io::{self, Write};
use std::time::Duration;

use super::json::Json;
use super::{Exporter, Loss, lost_kinds};
use crate::core::exposure::Exposure;
use crate::core::quantity::Bytes;
use crate::rights::{self, CAP_SYS_PTRACE};
use crate::sys;

/// What could not be read, by what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Processes of which nothing could be said.
    pub processes: u64,
    /// Processes that are large enough for a table and whose areas are out of sight.
    pub memory: u64,
    /// Processes with tables of which it is not known how much is resident.
    pub residence: u64,
}

impl std::ops::AddAssign for Unread {
    fn add_assign(&mut self, other: Self) {
        self.processes += other.processes;
        self.memory += other.memory;
        self.residence += other.residence;
    }
}

impl Unread {
    /// The kinds of losses that occurred, by their names in reports.
    pub(crate) fn counts(self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { processes, memory, residence } = self;
        let all = [("scan_processes", processes), ("scan_memory", memory), ("scan_residence", residence)];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}

/// A whole scan.
#[derive(Debug)]
pub struct Report {
    /// Processes at risk, in the order of the report.
    pub exposures: Vec<Exposure>,
    /// What could not be read.
    pub unread: Unread,
    /// Processes that were looked at.
    pub scanned: u64,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Writes one JSON object a line: the processes, then a line for each kind of loss. What is written goes out bit by
    /// bit: thousands of findings are no reason to hold all their lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let mut json = Json::new();
        let mut lines = Vec::new();
        for exposure in &self.exposures {
            json.exposure(exposure, &mut lines);
            out.write_all(&lines)?;
            lines.clear();
        }
        let time_ns = sys::boot_ns();
        for (kind, count) in self.unread.counts() {
            json.lost(&Loss { time_ns, kind, count, total: count }, &mut lines);
        }
        out.write_all(&lines)
    }

    /// Writes a table for people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn table(&self, width: usize, coloured: bool, out: &mut impl Write) -> io::Result<()> {
        table::write(self, width, coloured, out)
    }

    /// The scan in one sentence, and one more for what it could not see.
    #[must_use]
    pub fn summary(&self) -> String {
        let at_risk: u64 = self.exposures.iter().map(Exposure::at_risk).fold(0, u64::saturating_add);
        let mut text = format!("processes scanned: {}, in {:.2?}; ", self.scanned, self.took);
        text += &match self.exposures.len() {
            0 => "none at risk".to_owned(),
            count => format!("at risk: {count}, {} in all", Bytes(at_risk)),
        };
        for (kind, count) in self.unread.counts() {
            let meaning = lost_kinds::find(kind).map_or(kind, |known| known.meaning);
            let meaning = match meaning.strip_prefix("processes ") {
                Some(of) if count == 1 => format!("process {of}"),
                _ => meaning.to_owned(),
            };
            text += &format!("; not seen: {count} {meaning}");
        }
        if self.unread == Unread::default() {
            return text;
        }
        format!("{text}; {}", rights::remedy(&[CAP_SYS_PTRACE]))
    }
}

#[cfg(test)]
mod tests;
