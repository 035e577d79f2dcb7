//! The table of tests, a family a file.

mod action;
mod audit;
mod cleanup;
mod command;
mod containers;
mod daemon;
mod daemon_orders;
mod daemon_tables;
mod deploy;
mod descriptors;
mod ending;
mod explain;
mod exporters;
mod fate;
mod faults;
mod filter;
mod forecast;
mod hostile;
mod kernels;
mod kubepods;
mod life;
mod limits;
mod load;
mod lookalikes;
mod manners;
mod memory;
mod metrics;
mod monitoring;
mod negative;
mod oom;
mod otlp;
mod pressure;
mod programs;
mod queue;
mod rights;
mod same;
mod scan;
mod servers;
mod service;
mod table;
mod thrash;
mod true_use;
mod units;
mod verifier;
mod ways;

use crate::case::Case;
use crate::need::Need;
use crate::tracer::{Run, Tracer};

/// What every test needs that attaches the tracer.
const TRACING: &[Need] = &[Need::Root, Need::Tracing];

/// Every test.
pub fn all() -> impl Iterator<Item = Case> {
    [
        memory::CASES,
        limits::CASES,
        descriptors::CASES,
        life::CASES,
        faults::CASES,
        table::CASES,
        fate::CASES,
        negative::CASES,
        filter::CASES,
        command::CASES,
        ending::CASES,
        hostile::CASES,
        oom::CASES,
        load::CASES,
        manners::CASES,
        cleanup::CASES,
        rights::CASES,
        action::CASES,
        pressure::CASES,
        programs::CASES,
        queue::CASES,
        exporters::CASES,
        otlp::CASES,
        containers::CASES,
        metrics::CASES,
        monitoring::CASES,
        scan::CASES,
        daemon::CASES,
        daemon_orders::CASES,
        daemon_tables::CASES,
        explain::CASES,
        service::CASES,
        deploy::CASES,
        servers::CASES,
        audit::CASES,
        forecast::CASES,
        thrash::CASES,
        true_use::CASES,
        lookalikes::CASES,
        units::CASES,
        kubepods::CASES,
        kernels::CASES,
        verifier::CASES,
        ways::CASES,
        same::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs the trigger under `memwatch trace` with these options; both succeed.
fn traced(options: &[&str], trigger: &[&str]) -> anyhow::Result<Run> {
    Tracer::new(options)?.trigger(trigger)?.succeeded()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    /// What docs/compatibility.json says of the tests there are is what docs/compatibility.md counts as not run.
    #[test]
    fn docs_tell_of_every_test_and_of_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.json");
        let results: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let told = results["known"].as_array().unwrap();
        let told: BTreeSet<&str> = told.iter().filter_map(Value::as_str).collect();
        let there: BTreeSet<&str> = super::all().map(|case| case.name).collect();
        let differ: Vec<_> = there.symmetric_difference(&told).collect();
        assert!(differ.is_empty(), "`cargo xtask docs` takes these in, or out: {differ:?}");
    }
}
