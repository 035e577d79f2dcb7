//! Thrash: told while something can still be done about it.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Count, Nanoseconds, Share};
use crate::core::policy::Thrash;

const ENABLED: Key<bool> = Key::new("enabled", Unwritten::Toml("true"), "Whether it is looked at.");
const REFAULTS: Key<Count> = Key::new(
    "refaults",
    Unwritten::Toml("1000"),
    "Pages a second that are read in again soon after they were dropped (`workingset_refault_*`). Where tasks wait longer than `stalled` says, as for a slow disk, fewer do: a tenth at ten times as long.",
);
const STALLED: Key<Share> = Key::new(
    "stalled",
    Unwritten::Toml("\"5%\""),
    "Share of the time in which a task waited for memory meanwhile (`some` of memory.pressure). Where the kernel does not tell, any direct reclaim or major fault will do.",
);
const WINDOW: Key<Nanoseconds> =
    Key::new("window", Unwritten::Toml("\"5s\""), "Time over which both are taken.");

/// `[thrash]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[thrash]",
    doc: "Tells when a scope that is the host or a cgroup reads the same pages again and again and waits for them. It does not act.",
    rows: &[ENABLED.row, REFAULTS.row, STALLED.row, WINDOW.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Option<Thrash> {
    let window = table.get(&WINDOW);
    if window.value.0 < 1_000_000_000 && window.is_sound {
        table.refuse(&window, "no rate can be told from so short a time", "write at least \"1s\"");
    }
    let thrash = Thrash {
        refaults: table.get(&REFAULTS).value.0.into(),
        stalled: table.get(&STALLED).value.0,
        window_ns: window.value.0,
    };
    table.get(&ENABLED).value.then_some(thrash)
}
