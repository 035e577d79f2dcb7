//! `/metrics`, asked for by hand, by promtool and by a real Prometheus.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::daemon::{NEEDS, POOL, Stage, policy, pool};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::need::Need;
use crate::program;
use crate::scratch::Scratch;
use crate::tracer::eventually;

const PROMETHEUS_NEEDS: &[Need] =
    &[Need::Root, Need::Tracing, Need::InitialPids, Need::Program("usr/bin/prometheus")];

pub(super) const CASES: &[Case] = &[
    Case::new("metrics::what_happens_is_counted", NEEDS, counted),
    Case::new("metrics::promtool_finds_nothing_to_say", PROMETHEUS_NEEDS, checked),
    Case::new("metrics::prometheus_scrapes_them", PROMETHEUS_NEEDS, scraped),
    Case::new("metrics::odd_peers_hold_nobody_up", NEEDS, odd),
];

const MIB: u64 = 1 << 20;

/// A daemon that enforces, and where it is asked.
struct Asked {
    stage: Stage,
    address: SocketAddr,
}

/// An address that nobody listens at.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a port")?.local_addr()?)
}

impl Asked {
    /// Starts it, and waits until a decision has ended.
    fn new() -> anyhow::Result<Self> {
        let address = free_address()?;
        let pool = pool(8 * MIB, 200 * MIB, &[])?;
        let metrics = format!("{POOL}[metrics]\nlisten = \"{address}\"\n");
        let policy = policy("enforce", pool.pid(), &metrics);
        let mut stage = Stage::new(pool, &policy, &[])?;
        stage.wait_for("closing", |line| line.is("memwatch.closing.ending", "returned"))?;
        Ok(Self { stage, address })
    }

    /// Head and body of the answer to a request.
    fn ask(&self, request: &str) -> anyhow::Result<(String, String)> {
        let mut peer = TcpStream::connect(self.address).context("connect")?;
        peer.set_read_timeout(Some(PATIENCE))?;
        write!(peer, "{request} HTTP/1.1\r\nHost: memwatch\r\nConnection: close\r\n\r\n").context("ask")?;
        let mut answer = String::new();
        peer.read_to_string(&mut answer).context("read the answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a head and a body")?;
        Ok((head.to_owned(), body.to_owned()))
    }

    fn metrics(&self) -> anyhow::Result<String> {
        let (head, body) = self.ask("GET /metrics")?;
        ensure!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"), "{head}");
        Ok(body)
    }
}

/// The sum of the samples of a metric whose labels have this text in them.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_meant = series.split('{').next() == Some(name) && series.contains(label);
        is_meant.then(|| value.parse::<f64>().unwrap_or(f64::NAN))
    });
    samples.sum()
}

fn counted() -> anyhow::Result<()> {
    let asked = Asked::new()?;
    let text = asked.metrics()?;
    for (name, label) in [
        ("memwatch_decisions_total", "rule=\"host_bounds\""),
        ("memwatch_decision_endings_total", "ending=\"returned\""),
        ("memwatch_cgroup_decisions_total", "cgroup="),
        ("memwatch_decision_duration_seconds_count", ""),
        ("memwatch_reaction_duration_seconds_count", ""),
        ("memwatch_victim_end_seconds_count", ""),
        ("memwatch_scope_used_bytes", "scope=\"pool\""),
        ("memwatch_pool_workers", "pool=\"trigger\""),
        ("memwatch_pool_memory_bytes", "pool=\"trigger\""),
        ("memwatch_pool_worker_peak_bytes", "pool=\"trigger\""),
        ("memwatch_export_produced_events_total", "exporter=\"stdout\""),
        ("memwatch_processes", ""),
    ] {
        ensure!(sum(&text, name, label) > 0.0, "{name} {label} in\n{text}");
    }
    // Not of every kind: what cannot be read of some other process of the host is counted here too.
    ensure!(text.contains("memwatch_lost_total{kind=\"ring_full\"} 0"), "{text}");
    let (produced, events, queued) = (
        sum(&text, "memwatch_export_produced_events_total", ""),
        sum(&text, "memwatch_export_events_total", ""),
        sum(&text, "memwatch_export_queued_events", ""),
    );
    ensure!(produced == events + queued, "{produced} != {events} + {queued}");
    asked.stage.end().map(drop)
}

fn checked() -> anyhow::Result<()> {
    let asked = Asked::new()?;
    let text = asked.metrics()?;
    let promtool = program::root().context("no root file system")?.join("usr/bin/promtool");
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().context("start promtool")?;
    check
        .stdin
        .take()
        .context("an input")?
        .write_all(text.as_bytes())
        .context("hand promtool the metrics")?;
    let output = check.wait_with_output().context("wait for promtool")?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success() && said.is_empty(),
        "promtool says {}: {}\n{text}",
        output.status,
        String::from_utf8_lossy(&said)
    );
    asked.stage.end().map(drop)
}

fn scraped() -> anyhow::Result<()> {
    let asked = Asked::new()?;
    let own = free_address()?;
    let scratch = Scratch::new()?;
    let config = scratch.path().join("prometheus.yml");
    let jobs = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: memwatch\n  static_configs:\n  - targets: [\"{}\"]\n",
        asked.address
    );
    fs::write(&config, jobs).context("write Prometheus' configuration")?;
    let program = program::root().context("no root file system")?.join("usr/bin/prometheus");
    let mut command = Command::new(program);
    command.arg("--config.file").arg(&config).arg("--storage.tsdb.path").arg(scratch.path().join("data"));
    command.arg(format!("--web.listen-address={own}")).stdin(Stdio::null()).current_dir(scratch.path());
    let _prometheus = Running::start(&mut command)?;
    let query = |expression: &str| query(own, expression);
    eventually(PATIENCE, "Prometheus has scraped the decisions", || {
        query("sum(memwatch_decisions_total)").is_some_and(|number| number > 0.0)
    })?;
    ensure!(query("up{job=\"memwatch\"}") == Some(1.0), "Prometheus says that the daemon is down");
    ensure!(query("sum(memwatch_pool_workers{pool=\"trigger\"})").is_some_and(|workers| workers > 0.0));
    let buckets = "histogram_quantile(0.5, sum(memwatch_reaction_duration_seconds_bucket) by (le))";
    ensure!(query(buckets).is_some_and(|median| median < 1.0), "no median of reactions");
    asked.stage.end().map(drop)
}

/// What Prometheus answers to a query with one number; `None`: it has none yet.
pub(super) fn query(prometheus: SocketAddr, expression: &str) -> Option<f64> {
    let mut peer = TcpStream::connect(prometheus).ok()?;
    let body = format!("query={}", expression.replace('+', "%2B").replace('&', "%26"));
    let length = body.len();
    write!(
        peer,
        "POST /api/v1/query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    peer.read_to_string(&mut answer).ok()?;
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
}

/// Peers that say nothing, talk nonsense or ask for something else: others are answered, and workers still leave.
fn odd() -> anyhow::Result<()> {
    let mut asked = Asked::new()?;
    ensure!(asked.ask("GET /")?.0.starts_with("HTTP/1.1 404 "));
    ensure!(asked.ask("POST /metrics")?.0.starts_with("HTTP/1.1 405 "));
    ensure!(asked.ask("HEAD /metrics")?.1.is_empty());
    let mut loud = TcpStream::connect(asked.address).context("connect")?;
    // The server may end the connection before all is written.
    let _ = loud.write_all(&[b'x'; 1 << 20]);
    let silent: Vec<_> = (0..64).filter_map(|_| TcpStream::connect(asked.address).ok()).collect();
    asked.stage.wait_for("closing", |_| true)?;
    // Silence is given up after a while.
    eventually(Duration::from_secs(60), "others are answered again", || asked.metrics().is_ok())?;
    drop(silent);
    asked.stage.end().map(drop)
}
