//! Who is asked for the names of containers.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::Places;
use crate::enrich::cri::Sockets;

const SOCKETS: Key<Places> = Key::new(
    "sockets",
    Unwritten::Absent("those of containerd, k3s, CRI-O and cri-dockerd, where they are"),
    "Sockets at which container runtimes answer (CRI); an empty array asks nobody.",
);

/// `[containers]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[containers]",
    doc: "Names of containers and pods, for what is told of them (docs/decisions.md). Without a runtime that answers it is told \
          what the cgroup path says.",
    rows: &[SOCKETS.row],
};

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Sockets {
    table.find(&SOCKETS).map_or(Sockets::Usual, |sockets| Sockets::At(sockets.value.0))
}
