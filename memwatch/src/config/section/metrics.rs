//! Where metrics are asked for.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Address, Count};
use crate::export::metrics::Listen;

const LISTEN: Key<Address> = Key::new(
    "listen",
    Unwritten::Absent("nowhere"),
    "Address and port at which Prometheus asks for `/metrics`, for example `\"127.0.0.1:9836\"`.",
);
const BEYOND_LOOPBACK: Key<bool> = Key::new(
    "beyond_loopback",
    Unwritten::Toml("false"),
    "Whether that may be an address that other hosts reach: whoever reaches it reads the names of pools and cgroups. It has to be spelled out.",
);
const MAX_CGROUPS: Key<Count> = Key::new(
    "max_cgroups",
    Unwritten::Toml("100"),
    "Cgroups that have a label of their own; all others are `other`.",
);

/// `[metrics]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[metrics]",
    doc: "Metrics for Prometheus (docs/metrics.md). Nothing listens unless it is written.",
    rows: &[LISTEN.row, BEYOND_LOOPBACK.row, MAX_CGROUPS.row],
};

/// Labels are kept by whoever asks for them.
const MOST_CGROUPS: u32 = 10_000;

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Option<Listen> {
    let max_cgroups = table.get(&MAX_CGROUPS);
    if max_cgroups.value.0 > MOST_CGROUPS {
        table.refuse(
            &max_cgroups,
            "so many labels weigh on Prometheus",
            format!("write at most {MOST_CGROUPS}"),
        );
    }
    let is_spelled_out = table.get(&BEYOND_LOOPBACK).value;
    let listen = table.find(&LISTEN)?;
    if !listen.value.0.ip().is_loopback() && !is_spelled_out {
        table.refuse(
            &listen,
            "other hosts could read the metrics",
            "write an address of the loopback such as \"127.0.0.1:9836\", or spell it out with beyond_loopback = true",
        );
    }
    Some(Listen { address: listen.value.0, max_cgroups: max_cgroups.value.0 as usize })
}
