//! Who gets metrics.

use std::time::Duration;

use super::otlp;
use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Address, Count, Nanoseconds};
use crate::export::metrics::{Offer, Push};

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
const OTLP: Key<Inner> =
    Key::new("otlp", Unwritten::Absent("nobody"), "Whom they are sent to, by OpenTelemetry's protocol.");
const EVERY: Key<Nanoseconds> =
    Key::new("every", Unwritten::Toml("\"1min\""), "Time from one sending to the next.");

/// `[metrics]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[metrics]",
    doc: "Metrics (docs/metrics.md), for Prometheus to ask for or for a receiver of OTLP. Nothing listens, and nothing is sent, unless it \
          is written.",
    rows: &[LISTEN.row, BEYOND_LOOPBACK.row, MAX_CGROUPS.row, OTLP.row],
};

/// `[metrics.otlp]`.
pub(in crate::config) const OTLP_SECTION: Section = Section {
    heading: "[metrics.otlp]",
    doc: "Sends the same metrics under the same names to a receiver of OpenTelemetry's protocol. What it does not take is counted, not \
          kept, as the next ones say it too; the time to those doubles each time, up to 5 min.",
    rows: &[otlp::URL.row, otlp::PROTOCOL.row, EVERY.row],
};

/// Labels are kept by whoever asks for them.
const MOST_CGROUPS: u32 = 10_000;

/// The shortest time from one sending to the next: how things stand is gathered each time.
const LEAST_NS: u64 = 1_000_000_000;

/// Reads it.
pub(in crate::config) fn read(table: &Table<'_, '_>) -> Offer {
    let max_cgroups = table.get(&MAX_CGROUPS);
    if max_cgroups.value.0 > MOST_CGROUPS {
        table.refuse(
            &max_cgroups,
            "so many labels weigh on Prometheus",
            format!("write at most {MOST_CGROUPS}"),
        );
    }
    let is_spelled_out = table.get(&BEYOND_LOOPBACK).value;
    let listen = table.find(&LISTEN);
    if let Some(listen) =
        listen.as_ref().filter(|listen| !listen.value.0.ip().is_loopback() && !is_spelled_out)
    {
        table.refuse(
            listen,
            "other hosts could read the metrics",
            "write an address of the loopback such as \"127.0.0.1:9836\", or spell it out with beyond_loopback = true",
        );
    }
    Offer {
        listen: listen.map(|listen| listen.value.0),
        push: push(table),
        max_cgroups: max_cgroups.value.0 as usize,
    }
}

fn push(table: &Table<'_, '_>) -> Option<Push> {
    if !table.has(&OTLP) {
        return None;
    }
    let table = table.inner(&OTLP, &OTLP_SECTION);
    let every = table.get(&EVERY);
    if every.value.0 < LEAST_NS && every.is_sound {
        table.refuse(&every, "all is gathered anew each time", "write at least \"1s\"");
    }
    Some(Push { to: otlp::endpoint(&table)?, every: Duration::from_nanos(every.value.0) })
}
