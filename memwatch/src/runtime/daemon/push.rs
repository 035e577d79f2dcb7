//! Sends metrics to a receiver of OTLP, on a thread of its own, which asks the loop each time how things stand.
//!
//! Figures that were not taken are not kept: counters go on, so that the next ones say it as well.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::{IntCounterVec, Registry};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::scrape::Question;
use crate::export::metrics::{self, Push};
use crate::export::otlp;
use crate::runtime::otlp::{Client, Failure};

/// The longest time between two tries, unless it is longer from one sending to the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The loop's end. The thread ends with it.
#[derive(Debug)]
pub(super) struct Pushes {
    _alive: oneshot::Sender<Infallible>,
}

/// What the thread takes its figures from, and counts in.
#[derive(Debug)]
pub(super) struct Figures {
    /// Where the loop is asked.
    pub(super) asked: mpsc::Sender<Question>,
    /// What is counted.
    pub(super) counters: Registry,
    /// Data points by what became of them.
    pub(super) points: IntCounterVec,
    /// When counting began.
    pub(super) since: SystemTime,
}

impl Pushes {
    /// Begins to send.
    ///
    /// # Errors
    /// When a thread or a descriptor cannot be had.
    pub(super) fn start(push: &Push, figures: Figures) -> io::Result<Self> {
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (alive, ended) = oneshot::channel();
        let resource = otlp::resource();
        let client = Client::new(&push.to);
        let (every, failures, is_taken_in_part) = (push.every, 0, false);
        let pusher = Pusher { every, client, figures, resource, failures, is_taken_in_part };
        std::thread::Builder::new().name("memwatch-push".into()).spawn(move || {
            reactor.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = pusher.run() => {}
                }
            });
        })?;
        Ok(Self { _alive: alive })
    }
}

struct Pusher {
    every: Duration,
    client: Client,
    figures: Figures,
    resource: Resource,
    /// Tries in a row that did not go well.
    failures: u32,
    /// Some of the last ones were refused.
    is_taken_in_part: bool,
}

impl Pusher {
    async fn run(mut self) {
        let mut pause = self.every;
        loop {
            sleep(pause).await;
            let Some(request) = self.request().await else { return };
            let points = points(&request);
            let result = self.client.send(&request).await;
            pause = self.settle(points, result.map(|verdict| (verdict.refused, verdict.message)));
        }
    }

    /// How things stand; `None`: the loop has ended.
    async fn request(&self) -> Option<ExportMetricsServiceRequest> {
        let (answer, answered) = oneshot::channel();
        self.figures.asked.send(answer).await.ok()?;
        let state = answered.await.ok()?;
        let families = metrics::families(&self.figures.counters, &state)
            .inspect_err(|error| tracing::warn!("metrics cannot be written down: {error}"))
            .ok()?;
        Some(otlp::metrics(&self.resource, &families, (self.figures.since, SystemTime::now())))
    }

    /// Counts what became of data points; gives the time until the next ones.
    fn settle(&mut self, points: u64, result: Result<(u64, String), Failure>) -> Duration {
        let count = |outcome, points| self.figures.points.with_label_values(&[outcome]).inc_by(points);
        let (problem, wait) = match result {
            Ok((refused, message)) => {
                let refused = refused.min(points);
                count("delivered", points - refused);
                if refused > 0 {
                    count("refused", refused);
                }
                if !std::mem::replace(&mut self.is_taken_in_part, refused > 0) && refused > 0 {
                    tracing::warn!("{refused} of {points} data points of metrics are refused: {message}");
                }
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!("metrics are taken again");
                }
                return self.every;
            }
            Err(Failure::Never(reason)) => {
                count("refused", points);
                (reason, None)
            }
            Err(Failure::Later(reason, wait)) => {
                count("lost", points);
                (reason, wait)
            }
            Err(Failure::Broken(error)) => {
                count("lost", points);
                (error.to_string(), None)
            }
        };
        if self.failures == 0 {
            tracing::warn!("metrics are not taken, and sent again and again: {problem}");
        }
        self.failures = self.failures.saturating_add(1);
        let longer = self.every.saturating_mul(1 << self.failures.min(16));
        longer.max(wait.unwrap_or_default()).min(LONGEST_PAUSE.max(self.every))
    }
}

/// Data points of a request.
fn points(request: &ExportMetricsServiceRequest) -> u64 {
    let metrics = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
    let points = metrics.filter_map(|metric| metric.data.as_ref()).map(|data| match data {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        Data::Summary(summary) => summary.data_points.len(),
    });
    points.sum::<usize>() as u64
}
