//! Limits that the kernel side keeps by itself.

use super::matching;
use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::refuse;
use crate::config::value::{Name, Size};
use crate::core::policy::{ProcessLimit, Protect, Signal};

const NAME: Key<Name> =
    Key::new("name", Unwritten::Absent("`process_limit-` and its number"), "Its name in reports.");
const MATCH: Key<Inner> = Key::new("match", Unwritten::Required, "Whom it concerns.");
const LIMIT: Key<Size> = Key::new("limit", Unwritten::Required, "Resident memory (RSS) of one process.");
const NEEDS: Key<Size> = Key::new(
    "needs",
    Unwritten::Absent("not known"),
    "What such a process holds once it has started: a limit that would kill it then is refused.",
);
const SIGNAL: Key<Signal> =
    Key::new("signal", Unwritten::Toml("\"SIGKILL\""), "What it is sent in the act of passing the limit.");

/// `[[process_limit]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[process_limit]]",
    doc: "A limit kept in the kernel: the process is signalled in the act of passing it, with no step of the daemon between. The \
          first that matches wins.",
    rows: &[NAME.row, MATCH.row, LIMIT.row, NEEDS.row, SIGNAL.row],
};

/// Servers and shells of any host stay below this for a while: less would empty it at once.
const LEAST_FOR_ALL: u64 = 64 << 20;

/// Reads the limits.
pub(in crate::config) fn read(tables: &[Table<'_, '_>], protect: &Protect) -> Vec<ProcessLimit> {
    let limits: Vec<_> = (1..)
        .zip(tables)
        .map(|(number, table): (usize, _)| {
            let matching = matching::read(table, &MATCH, false).unwrap_or_default();
            refuse::guarded(table, &MATCH, &matching, protect);
            let limit = table.find(&LIMIT);
            if let Some(limit) = &limit {
                refuse::too_small(table, limit, table.find(&NEEDS).as_ref());
                if table.word(&MATCH) == Some("all") && limit.value.0 < LEAST_FOR_ALL {
                    table.refuse(
                        limit,
                        "every process would be held to this",
                        "write at least \"64MiB\", or name programs",
                    );
                }
            }
            ProcessLimit {
                name: table
                    .find(&NAME)
                    .map_or_else(|| format!("process_limit-{number}"), |read| read.value.0),
                matching,
                bytes: limit.map_or(u64::MAX, |limit| limit.value.0),
                signal: table.find(&SIGNAL).map_or(Signal::KILL, |read| read.value),
            }
        })
        .collect();
    super::refuse_twins(tables, &NAME, limits.iter().map(|limit| limit.name.as_str()));
    limits
}
