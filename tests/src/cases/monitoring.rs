//! What is delivered for Prometheus and Grafana: alert rules with their tests, and a dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::case::Case;
use crate::need::Need;
use crate::program;
use crate::scratch::Scratch;

const NEEDS: &[Need] = &[Need::Program("usr/bin/promtool")];

pub(super) const CASES: &[Case] = &[
    Case::new("monitoring::alerts_fire_at_what_they_are_for", NEEDS, fire),
    Case::new("monitoring::each_alert_is_tested", &[], tested),
    Case::new("monitoring::the_dashboard_can_be_asked", NEEDS, dashboard),
    Case::new("monitoring::all_that_is_asked_for_exists", &[], known),
];

const RULES: &str = include_str!("../../../deploy/prometheus/memwatch.rules.yaml");
const TESTS: &str = include_str!("../../../deploy/prometheus/memwatch.rules.test.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/memwatch.json");
const METRICS: &str = include_str!("../../../docs/metrics.md");

/// Runs promtool in a folder; its complaint is an error.
fn promtool(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let promtool = program::root().context("no root file system")?.join("usr/bin/promtool");
    let output =
        Command::new(promtool).args(arguments).current_dir(folder).output().context("run promtool")?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

fn fire() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    fs::write(scratch.path().join("memwatch.rules.yaml"), RULES).context("write the rules")?;
    fs::write(scratch.path().join("tests.yaml"), TESTS).context("write their tests")?;
    promtool(scratch.path(), &["check", "rules", "memwatch.rules.yaml"])?;
    promtool(scratch.path(), &["test", "rules", "tests.yaml"])
}

/// Each alert is one of those that the tests wait for: one that no test fires may never fire.
fn tested() -> anyhow::Result<()> {
    let alerts: BTreeSet<_> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let fired: BTreeSet<_> =
        TESTS.split("alertname=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    ensure!(alerts.len() > 10 && alerts == fired, "alerts {alerts:?}, tested {fired:?}");
    Ok(())
}

/// Every expression of the dashboard, with what Grafana puts in for its variables.
fn expressions() -> anyhow::Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).context("read the dashboard")?;
    let array =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let panels = array(&dashboard, "panels");
    let mut asked: Vec<Value> = panels.iter().flat_map(|panel| array(panel, "targets")).collect();
    asked.extend(dashboard.get("annotations").map(|all| array(all, "list")).unwrap_or_default());
    let texts = asked
        .iter()
        .map(|one| one.get("expr").and_then(Value::as_str).context("a query without an expression"));
    let filled = texts.map(|text| {
        Ok(text?.replace("$instance", ".*").replace("$__rate_interval", "5m").replace("$__interval", "5m"))
    });
    filled.collect()
}

fn dashboard() -> anyhow::Result<()> {
    let expressions = expressions()?;
    ensure!(expressions.len() > 30, "{} expressions", expressions.len());
    let rules: Vec<_> = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| json!({"record": format!("asked:{number}"), "expr": expression}))
        .collect();
    let scratch = Scratch::new()?;
    let text = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    fs::write(scratch.path().join("asked.yaml"), text).context("write the expressions")?;
    promtool(scratch.path(), &["check", "rules", "asked.yaml"])
}

/// Every metric that an alert, a test or the dashboard names is in the list of metrics.
fn known() -> anyhow::Result<()> {
    let metrics: BTreeSet<_> =
        METRICS.split("| `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    let texts = [RULES.to_owned(), TESTS.to_owned(), expressions()?.join(" ")].join(" ");
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = texts.split(|letter| !is_part(letter)).filter(|word| word.starts_with("memwatch_"));
    let named: BTreeSet<_> = words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect();
    let unknown: Vec<_> = named.difference(&metrics).collect();
    ensure!(named.len() > 20 && unknown.is_empty(), "there are no such metrics: {unknown:?}");
    Ok(())
}
