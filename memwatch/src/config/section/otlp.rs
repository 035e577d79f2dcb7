//! Keys that name a receiver of OpenTelemetry's protocol, in whichever table.

use crate::config::key::{Key, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Form as _, Protocol, Url};
use crate::export::otlp::{Endpoint, Misplaced};

pub(super) const URL: Key<Url> = Key::new(
    "url",
    Unwritten::Absent("of `otlp` it is needed"),
    "Where the receiver of `otlp` is: `http://`, an address (names are not looked up) and a port; without one it is 4317 with `grpc`, 4318 with `http`. With `http` a path may follow, to which `/v1/logs` or `/v1/metrics` is added. There is no TLS: what goes to another host goes through a collector on this one.",
);
pub(super) const PROTOCOL: Key<Protocol> = Key::new(
    "protocol",
    Unwritten::Absent("`grpc`"),
    "How it is spoken to: `grpc`, or `http` for protobuf over HTTP/1.1.",
);

/// Reads them; `None`: there is a fault.
pub(super) fn endpoint(table: &Table<'_, '_>) -> Option<Endpoint> {
    if !table.has(&URL) {
        table.refuse_key(&URL, "this key is needed", format!("write url = {}", Url::EXAMPLE));
    }
    let protocol = table.find(&PROTOCOL).map(|read| read.value.0).unwrap_or_default();
    let url = table.find(&URL)?;
    Endpoint::parse(&url.value.0, protocol)
        .map_err(|Misplaced(problem, remedy)| table.refuse(&url, problem, remedy))
        .ok()
}
