//! How many kills in what time.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Count, Nanoseconds};
use crate::core::policy::Budget;

const KILLS: Key<Count> = Key::new("kills", Unwritten::Toml("20"), "How many kills.");
const WINDOW: Key<Nanoseconds> = Key::new("window", Unwritten::Toml("\"10min\""), "In this time.");
const COOL_DOWN: Key<Nanoseconds> =
    Key::new("cool_down", Unwritten::Toml("\"10min\""), "How long nothing is killed once they are spent.");

/// `[budget]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[budget]",
    doc: "How many kills in what time, those of the kernel side included. Once they are spent, that is told and nothing is killed for a \
          while: a policy that kills without end does not help.",
    rows: &[KILLS.row, WINDOW.row, COOL_DOWN.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Budget {
    let (kills, window) = (table.get(&KILLS), table.get(&WINDOW));
    if kills.value.0 == 0 && kills.is_sound {
        table.refuse(&kills, "nothing could ever be killed", "write at least 1, or mode = \"observe\"");
    }
    if window.value.0 == 0 && window.is_sound {
        table.refuse(&window, "no kill falls into no time", "write for example \"10min\"");
    }
    Budget { kills: kills.value.0, window_ns: window.value.0, cool_down_ns: table.get(&COOL_DOWN).value.0 }
}
