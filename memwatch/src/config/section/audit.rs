//! What cgroups truly hold, beside what they are charged for.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Bound, Nanoseconds, Size};
use crate::core::policy::Audit;

const ENABLED: Key<bool> = Key::new(
    "enabled",
    Unwritten::Toml("true"),
    "Whether cgroups that no scope names are read. Those of scopes with `measure = \"true-use\"` are in any case.",
);
const EVERY: Key<Nanoseconds> = Key::new(
    "every",
    Unwritten::Toml("\"10min\""),
    "Time between two readings of a cgroup. All readings together take a thousandth of one processor, and it gets longer where that is little.",
);
const SETTLE: Key<Nanoseconds> = Key::new(
    "settle",
    Unwritten::Toml("\"10s\""),
    "Time from the first process in a new cgroup, or one that was made anew, to its first reading.",
);
const MIN_MISSING: Key<Size> = Key::new(
    "min_missing",
    Unwritten::Toml("\"64MiB\""),
    "Bytes of its true use charged elsewhere from which on a cgroup is told.",
);
const MIN_SHARE: Key<Bound> =
    Key::new("min_share", Unwritten::Toml("\"10%\""), "And the share of its true use.");

/// `[audit]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[audit]",
    doc: "Tells of cgroups that hold clearly more than they are charged for, so that their own limit is never reached (docs/audit.md). It does not act: a scope with `measure = \"true-use\"` does.",
    rows: &[ENABLED.row, EVERY.row, SETTLE.row, MIN_MISSING.row, MIN_SHARE.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Option<Audit> {
    let every = table.get(&EVERY);
    if every.value.0 < 1_000_000_000 && every.is_sound {
        table.refuse(&every, "a reading takes longer than that on a large host", "write at least \"1s\"");
    }
    let audit = Audit {
        every_ns: every.value.0,
        settle_ns: table.get(&SETTLE).value.0,
        min_missing: table.get(&MIN_MISSING).value.0,
        min_share: table.get(&MIN_SHARE).value.0,
    };
    table.get(&ENABLED).value.then_some(audit)
}
