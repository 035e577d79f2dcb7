//! Metrics for Prometheus: what the daemon counts, and how things stand when they are asked for, in the text format.
//!
//! Labels are names of the configuration, of rules and of kinds, which are few. Those that a host makes at will, cgroups, have a bound:
//! beyond it they are one label together.

mod labels;
mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, Result, TextEncoder};
use serde::Serialize;

use super::decision;
use super::otlp::Endpoint;
use crate::core::policy::{Command, Engine, Told, Warning};
use labels::Labels;
pub use state::{Program, State};

/// What all cgroups beyond the bound are called.
const OTHER: &str = "other";

/// Bounds of what takes microseconds to seconds.
const QUICK: [f64; 12] = [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1, 1.0, 10.0];
/// Bounds of what takes milliseconds to minutes.
const SLOW: [f64; 11] = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0];

/// Who gets metrics, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The address of the HTTP server at which they are asked for.
    pub listen: Option<SocketAddr>,
    /// Whom they are sent to.
    pub push: Option<Push>,
    /// Cgroups that have a label of their own.
    pub max_cgroups: usize,
}

/// Whom metrics are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The receiver.
    pub to: Endpoint,
    /// Time from one sending to the next.
    pub every: Duration,
}

/// What is counted while the daemon runs.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    decisions: IntCounterVec,
    cgroup_decisions: IntCounterVec,
    cgroups: Labels,
    endings: IntCounterVec,
    returned: IntCounter,
    warnings: IntCounterVec,
    forecasts: IntCounterVec,
    forecast_error: Histogram,
    decided: Histogram,
    reacted: Histogram,
    ended: Histogram,
    pushed: IntCounterVec,
}

impl Counters {
    /// Counters at zero.
    ///
    /// # Errors
    /// When a name is none: never of these.
    pub fn new(max_cgroups: usize) -> Result<Self> {
        let counters = Self {
            registry: Registry::new(),
            decisions: IntCounterVec::new(
                Opts::new(
                    "memwatch_decisions_total",
                    "Decisions by rule, entry of the configuration, mode and gravity.",
                ),
                &["rule", "entry", "mode", "gravity"],
            )?,
            cgroup_decisions: IntCounterVec::new(
                Opts::new("memwatch_cgroup_decisions_total", "Decisions by the cgroup of the process."),
                &["cgroup"],
            )?,
            cgroups: Labels::new(max_cgroups),
            endings: IntCounterVec::new(
                Opts::new("memwatch_decision_endings_total", "Decisions that ended, by how they did."),
                &["ending"],
            )?,
            returned: IntCounter::new(
                "memwatch_returned_bytes_total",
                "Bytes by which the use of scopes fell when decisions ended.",
            )?,
            warnings: IntCounterVec::new(
                Opts::new("memwatch_warnings_total", "Warnings by kind."),
                &["kind"],
            )?,
            forecasts: IntCounterVec::new(
                Opts::new(
                    "memwatch_forecasts_total",
                    "Warnings of growth, by whether the limit was reached then.",
                ),
                &["outcome"],
            )?,
            forecast_error: histogram(
                "memwatch_forecast_error_seconds",
                "Between the time at which growth was to reach a limit and that at which it did, earlier or later.",
                &SLOW,
            )?,
            decided: histogram(
                "memwatch_decision_duration_seconds",
                "From an input to the decision that comes of it.",
                &QUICK,
            )?,
            reacted: histogram(
                "memwatch_reaction_duration_seconds",
                "From an input to the last signal, order or kill of a cgroup that comes of it.",
                &QUICK,
            )?,
            ended: histogram(
                "memwatch_victim_end_seconds",
                "From a decision to the end of the process that it is about.",
                &SLOW,
            )?,
            pushed: IntCounterVec::new(
                Opts::new(
                    "memwatch_pushed_points_total",
                    "Data points of metrics that were sent by OTLP, by what became of them.",
                ),
                &["outcome"],
            )?,
        };
        let Self {
            registry,
            decisions,
            cgroup_decisions,
            endings,
            returned,
            warnings,
            forecasts,
            forecast_error,
            decided,
            reacted,
            ended,
            pushed,
            ..
        } = &counters;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(cgroup_decisions.clone()))?;
        registry.register(Box::new(endings.clone()))?;
        registry.register(Box::new(returned.clone()))?;
        registry.register(Box::new(warnings.clone()))?;
        registry.register(Box::new(forecasts.clone()))?;
        registry.register(Box::new(forecast_error.clone()))?;
        registry.register(Box::new(decided.clone()))?;
        registry.register(Box::new(reacted.clone()))?;
        registry.register(Box::new(ended.clone()))?;
        registry.register(Box::new(pushed.clone()))?;
        Ok(counters)
    }

    /// What other threads read.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// What another thread counts in: data points that it sent.
    #[must_use]
    pub fn pushed(&self) -> IntCounterVec {
        self.pushed.clone()
    }

    /// Changes how many cgroups have a label of their own; those that have one keep it.
    pub const fn set_max_cgroups(&mut self, max_cgroups: usize) {
        self.cgroups.set_bound(max_cgroups);
    }

    /// Counts a command that is told.
    pub fn count(&mut self, command: &Command, engine: &Engine) {
        let Some(told) = command.told() else { return };
        match told {
            Told::Decided(decision) => {
                let entry = engine.entry_name(decision).unwrap_or_default();
                let (mode, gravity) = (engine.settings().mode.name(), word(&decision.gravity));
                self.decisions.with_label_values(&[decision.rule, entry, mode, &gravity]).inc();
                if let Some(cgroup) = engine.who(decision.key).and_then(|who| who.cgroup.as_deref()) {
                    self.cgroup_decisions.with_label_values(&[self.cgroups.of(cgroup)]).inc();
                }
            }
            Told::Closed(closing) => {
                self.endings.with_label_values(&[&word(&closing.ending)]).inc();
                self.returned.inc_by(closing.returned_bytes.unwrap_or(0));
                if let Some(ended_ns) = closing.ended_after_ns {
                    self.ended.observe(seconds(ended_ns));
                }
            }
            Told::Warned(warning) => {
                self.warnings.with_label_values(&[decision::kind(warning)]).inc();
                if let Warning::Forecast { foretold_ns, reached_ns } = *warning {
                    self.foretold(foretold_ns, reached_ns);
                }
            }
        }
    }

    fn foretold(&self, foretold_ns: u64, reached_ns: Option<u64>) {
        let outcome = if reached_ns.is_some() { "reached" } else { "not_reached" };
        self.forecasts.with_label_values(&[outcome]).inc();
        if let Some(reached_ns) = reached_ns {
            self.forecast_error.observe(seconds(foretold_ns.abs_diff(reached_ns)));
        }
    }

    /// A decision took so long, in nanoseconds.
    pub fn decided(&self, ns: u64) {
        self.decided.observe(seconds(ns));
    }

    /// What was decided was carried out after so long, in nanoseconds.
    pub fn reacted(&self, ns: u64) {
        self.reacted.observe(seconds(ns));
    }
}

/// All metrics, by name.
///
/// # Errors
/// When a name is none: never of these.
pub fn families(counters: &Registry, state: &State) -> Result<Vec<MetricFamily>> {
    let mut families = counters.gather();
    families.extend(state.families()?);
    families.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(families)
}

/// All metrics in the text format.
///
/// # Errors
/// When two have one name: never of these.
pub fn text(counters: &Registry, state: &State) -> Result<String> {
    TextEncoder::new().encode_to_string(&families(counters, state)?)
}

fn histogram(name: &str, help: &str, bounds: &[f64]) -> Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))
}

/// A word that lines of JSON have as well.
fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
