//! Growth towards a limit.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::Nanoseconds;
use crate::core::policy::Growth;

const ENABLED: Key<bool> = Key::new("enabled", Unwritten::Toml("true"), "Whether it is looked at.");
const WARN_WITHIN: Key<Nanoseconds> = Key::new(
    "warn_within",
    Unwritten::Toml("\"10min\""),
    "Told when a limit will be reached within this time at the present rate.",
);
const RECYCLE_WITHIN: Key<Nanoseconds> = Key::new(
    "recycle_within",
    Unwritten::Absent("never"),
    "A worker is asked to leave when a limit will be reached within this time.",
);
const WINDOW: Key<Nanoseconds> =
    Key::new("window", Unwritten::Toml("\"1min\""), "Time over which the rate is taken.");

/// `[growth]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[growth]",
    doc: "A pool or scope that will reach its limit soon, at its present rate.",
    rows: &[ENABLED.row, WARN_WITHIN.row, RECYCLE_WITHIN.row, WINDOW.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Option<Growth> {
    let (warn, window, recycle) = (table.get(&WARN_WITHIN), table.get(&WINDOW), table.find(&RECYCLE_WITHIN));
    if let Some(recycle) = &recycle
        && warn.is_sound
        && recycle.value > warn.value
    {
        table.refuse(recycle, "it would act before it has warned", "write at most warn_within");
    }
    if window.value.0 < 1_000_000_000 && window.is_sound {
        table.refuse(&window, "no rate can be told from so short a time", "write at least \"1s\"");
    }
    let growth = Growth {
        warn_within_ns: warn.value.0,
        recycle_within_ns: recycle.map_or(0, |recycle| recycle.value.0),
        window_ns: window.value.0,
    };
    table.get(&ENABLED).value.then_some(growth)
}
