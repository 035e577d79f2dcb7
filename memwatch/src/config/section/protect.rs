//! Processes that are never touched.

use super::matching;
use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::core::policy::{Match, Protect};

const MATCH: Key<Inner> = Key::new("match", Unwritten::Required, "Which.");

/// `[[protect]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[protect]]",
    doc: "Processes that are never touched, beyond those that are guarded by nature: process 1, memwatch and what started it, kernel threads, what has an oom_score_adj of -1000, what has no \
          known executable, and by their executables the service manager, sshd and logins, the message bus, kubelet, container runtimes, \
          the network's and the log's daemons.",
    rows: &[MATCH.row],
};

/// Reads them.
pub(in crate::config) fn read(tables: &[Table<'_, '_>]) -> Protect {
    let matching = |table: &Table<'_, '_>| {
        let matching = matching::read(table, &MATCH, false)?;
        if matching.is_all() {
            table.refuse_key(
                &MATCH,
                "nothing could be done about any process",
                "name those to protect, or write mode = \"observe\"",
            );
        }
        Some(matching)
    };
    Protect {
        matching: tables.iter().filter_map(matching).filter(|matching: &Match| !matching.is_all()).collect(),
    }
}
