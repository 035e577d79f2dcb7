//! Pressure: acted on only when memory is truly short as well.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Bound, Nanoseconds, Share};
use crate::core::policy::{Amount, Pressure};

const ENABLED: Key<bool> = Key::new("enabled", Unwritten::Toml("true"), "Whether it is looked at.");
const FULL: Key<Share> = Key::new(
    "full",
    Unwritten::Toml("\"20%\""),
    "Share of ten seconds in which every task that could run waited for memory (`full avg10` of /proc/pressure/memory).",
);
const LASTING: Key<Nanoseconds> =
    Key::new("lasting", Unwritten::Toml("\"10s\""), "How long it has to be above that.");
const AVAILABLE_BELOW: Key<Bound> = Key::new(
    "available_below",
    Unwritten::Toml("\"10%\""),
    "Available memory below which memory is truly short; pressure alone is no reason.",
);

/// `[pressure]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[pressure]",
    doc: "Acts as at the upper bound when pressure lasts and memory is truly short: never on pressure alone.",
    rows: &[ENABLED.row, FULL.row, LASTING.row, AVAILABLE_BELOW.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Option<Pressure> {
    let (full, available) = (table.get(&FULL), table.get(&AVAILABLE_BELOW));
    if full.value.0 == 0 && full.is_sound {
        table.refuse(&full, "pressure is always at or above this", "write for example \"20%\"");
    }
    if available.is_sound && matches!(available.value.0, Amount::Share(5_001..)) {
        table.refuse(&available, "half of the memory is not short", "write at most \"50%\"");
    }
    if available.is_sound && matches!(available.value.0, Amount::Share(0) | Amount::Bytes(0)) {
        table.refuse(&available, "memory is never so short", "write for example \"10%\"");
    }
    let pressure = Pressure {
        full: full.value.0,
        lasting_ns: table.get(&LASTING).value.0,
        available_below: available.value.0,
    };
    table.get(&ENABLED).value.then_some(pressure)
}
