//! OpenTelemetry's forms: events as log records, what `/metrics` shows as data points, and of whom they are.
//!
//! Messages are those of the protocol's own definitions (crate `opentelemetry-proto`). The SDK's processors are not between: they drop
//! what finds no room, or is refused, without telling which exporter's account it belongs to.

mod endpoint;
mod metrics;
mod records;

use std::time::SystemTime;

pub use endpoint::{Endpoint, Misplaced, Protocol};
pub use metrics::metrics;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
pub use records::{logs, record};
use rustix::system::uname;

/// Of whom it is: this service, on this host. `OTEL_RESOURCE_ATTRIBUTES` adds to that, and names the node of a cluster.
#[must_use]
pub fn resource() -> Resource {
    let name = uname();
    let mut attributes = vec![
        KeyValue::new("service.name", "memwatch"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("os.type", "linux"),
        KeyValue::new("os.version", name.release().to_string_lossy().into_owned()),
    ];
    if let Ok(host) = name.nodename().to_str()
        && !host.is_empty()
    {
        attributes.push(KeyValue::new("host.name", host.to_owned()));
    }
    // What is written in the environment is meant: it goes before what was found out.
    let environment = Box::new(EnvResourceDetector::new());
    let builder = opentelemetry_sdk::Resource::builder_empty();
    (&builder.with_attributes(attributes).with_detector(environment).build()).into()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "memwatch".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// A moment in nanoseconds since 1970.
fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_and_its_host_are_named() {
        let resource = resource();
        let keys: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        for key in ["service.name", "service.version", "host.name", "os.type"] {
            assert!(keys.contains(&key), "{keys:?}");
        }
    }
}
