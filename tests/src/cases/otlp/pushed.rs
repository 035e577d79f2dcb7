//! Metrics that are sent: to the receiver of the tests, and to a real one.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;

use super::MIB;
use crate::cases::daemon::{POOL, Stage, policy, pool};
use crate::cases::metrics::{free_address, query};
use crate::child::{PATIENCE, Running};
use crate::program;
use crate::receiver::{Mood, Protocol, Receiver, text};
use crate::scratch::Scratch;
use crate::tracer::eventually;

/// Names of the metrics that `/metrics` shows.
fn scraped(address: SocketAddr) -> anyhow::Result<BTreeSet<String>> {
    let mut peer = TcpStream::connect(address).context("connect")?;
    write!(peer, "GET /metrics HTTP/1.1\r\nHost: memwatch\r\nConnection: close\r\n\r\n").context("ask")?;
    let mut answer = String::new();
    peer.read_to_string(&mut answer).context("read the answer")?;
    let names = answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// The value of a counter or gauge whose attributes have this text.
fn value(receiver: &Receiver, name: &str, label: (&str, &str)) -> Option<f64> {
    let metric = receiver.metrics().into_iter().find(|metric| metric.name == name)?;
    let points = match metric.data? {
        Data::Sum(sum) => sum.data_points,
        Data::Gauge(gauge) => gauge.data_points,
        Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_) => return None,
    };
    let (key, wanted) = label;
    let point = points.into_iter().find(|point| key.is_empty() || text(&point.attributes, key) == wanted)?;
    match point.value? {
        Number::AsDouble(value) => Some(value),
        Number::AsInt(_) => None,
    }
}

pub(super) fn all(protocol: Protocol) -> anyhow::Result<()> {
    let mut receiver = Receiver::new(protocol, Mood::TakePart)?;
    let listen = free_address()?;
    let offer = format!(
        "{POOL}[metrics]\nlisten = \"{listen}\"\n[metrics.otlp]\nurl = \"http://{}\"\nprotocol = \"{}\"\nevery = \"1s\"\n",
        receiver.address,
        protocol.word()
    );
    let pool = pool(8 * MIB, 200 * MIB, &[])?;
    let text = policy("enforce", pool.pid(), &offer);
    let mut stage = Stage::new(pool, &text, &["-v"])?;
    stage.wait_for("closing", |line| line.is("memwatch.closing.ending", "returned"))?;
    let points =
        |outcome| value(&receiver, "memwatch_pushed_points_total", ("outcome", outcome)).unwrap_or(0.0);
    eventually(PATIENCE, "what is refused is counted", || {
        points("refused") >= 1.0 && points("delivered") > 10.0
    })?;
    receiver.set_mood(Mood::Take);
    let decided = || value(&receiver, "memwatch_decisions_total", ("rule", "host_bounds"));
    eventually(PATIENCE, "decisions are counted", || decided().is_some_and(|count| count >= 1.0))?;
    let sent = receiver.metrics();
    let names: BTreeSet<_> = sent.iter().map(|metric| metric.name.clone()).collect();
    let missing: Vec<_> = names.difference(&scraped(listen)?).cloned().collect();
    ensure!(names.len() > 15 && missing.is_empty(), "{missing:?} are sent and not shown: {names:?}");
    let find =
        |name: &str| sent.iter().find(|metric| metric.name == name).with_context(|| format!("no {name}"));
    let Some(Data::Histogram(histogram)) = &find("memwatch_decision_duration_seconds")?.data else {
        anyhow::bail!("no histogram: {sent:?}");
    };
    let point = histogram.data_points.first().context("a data point")?;
    ensure!(point.count > 0 && point.bucket_counts.iter().sum::<u64>() == point.count, "{point:?}");
    ensure!(point.bucket_counts.len() == point.explicit_bounds.len() + 1, "{point:?}");
    ensure!((1..point.time_unix_nano).contains(&point.start_time_unix_nano), "{point:?}");
    ensure!(find("memwatch_host_memory_bytes")?.unit == "By", "{sent:?}");

    receiver.stop();
    stage.wait_for_error_line("metrics are not taken")?;
    receiver.start_again(protocol)?;
    stage.wait_for_error_line("metrics are taken again")?;
    let lost = || value(&receiver, "memwatch_pushed_points_total", ("outcome", "lost"));
    eventually(PATIENCE, "what was lost is counted", || lost().is_some_and(|count| count > 0.0))?;
    stage.end().map(drop)
}

/// A real database gets them, under the names that it would see if it asked.
pub(super) fn to_victoria_metrics() -> anyhow::Result<()> {
    let (own, scratch) = (free_address()?, Scratch::new()?);
    let mut command = Command::new(program::victoria_metrics().context("VictoriaMetrics")?);
    command.arg(format!("-storageDataPath={}", scratch.path().join("data").display()));
    command.args([format!("-httpListenAddr={own}").as_str(), "-search.latencyOffset=0s"]);
    let _database = Running::start(command.stdin(Stdio::null()).current_dir(scratch.path()))?;
    let pool = pool(8 * MIB, 200 * MIB, &[])?;
    let offer = format!(
        "{POOL}[metrics.otlp]\nurl = \"http://{own}/opentelemetry\"\nprotocol = \"http\"\nevery = \"1s\"\n"
    );
    let text = policy("enforce", pool.pid(), &offer);
    let mut stage = Stage::new(pool, &text, &["-v"])?;
    stage.wait_for("closing", |line| line.is("memwatch.closing.ending", "returned"))?;
    for expression in [
        "sum(memwatch_decisions_total{service.name=\"memwatch\"})",
        "sum(memwatch_pool_workers{pool=\"trigger\"})",
        "memwatch_host_memory_bytes",
        "sum(memwatch_decision_duration_seconds_count)",
        "sum(memwatch_pushed_points_total{outcome=\"delivered\"})",
    ] {
        eventually(PATIENCE, expression, || query(own, expression).is_some_and(|number| number > 0.0))?;
    }
    let refused = query(own, "sum(memwatch_pushed_points_total{outcome=\"refused\"})");
    ensure!(refused.is_none(), "{refused:?} data points were refused");
    stage.end().map(drop)
}
