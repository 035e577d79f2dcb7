//! What `/metrics` shows, under the same names, as data points.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{LabelPair, Metric as Row, MetricFamily, MetricType};

use super::{scope, unix_ns};

/// What is counted since the first moment stands so at the second one.
#[derive(Clone, Copy, Debug)]
struct Span {
    start_ns: u64,
    now_ns: u64,
}

/// Families as a request.
#[must_use]
pub fn metrics(
    resource: &Resource,
    families: &[MetricFamily],
    (since, now): (SystemTime, SystemTime),
) -> ExportMetricsServiceRequest {
    let span = Span { start_ns: unix_ns(since), now_ns: unix_ns(now) };
    let metrics = families.iter().map(|family| metric(family, span)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource.clone());
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn metric(family: &MetricFamily, span: Span) -> Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let rows = family.get_metric().iter();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: rows.map(|row| number(row, row.get_counter().get_value(), span)).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: rows.map(|row| distribution(row, span)).collect(),
            aggregation_temporality: cumulative,
        }),
        // memwatch has no other types.
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => Data::Gauge(Gauge {
            // What stands so at a moment has no start.
            data_points: rows
                .map(|row| NumberDataPoint {
                    start_time_unix_nano: 0,
                    ..number(row, row.get_gauge().get_value(), span)
                })
                .collect(),
        }),
    };
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// The unit that a name ends with, in UCUM.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_bytes_per_second") {
        return "By/s";
    }
    match name.rsplit('_').next() {
        Some("bytes") => "By",
        Some("seconds") => "s",
        _ => "",
    }
}

fn number(row: &Row, value: f64, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(row.get_label()),
        start_time_unix_nano: span.start_ns,
        time_unix_nano: span.now_ns,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Buckets there hold what is below their bound; here each holds its own, and one more what is above all.
fn distribution(row: &Row, span: Span) -> HistogramDataPoint {
    let histogram = row.get_histogram();
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: attributes(row.get_label()),
        start_time_unix_nano: span.start_ns,
        time_unix_nano: span.now_ns,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn attributes(labels: &[LabelPair]) -> Vec<KeyValue> {
    let attribute = |label: &LabelPair| KeyValue {
        key: label.name().to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(label.value().to_owned())) }),
        ..KeyValue::default()
    };
    labels.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::core::Collector as _;
    use prometheus::{HistogramOpts, IntCounterVec, IntGauge, Opts};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn one(families: &[MetricFamily]) -> Metric {
        let mut request = metrics(&Resource::default(), families, (at(1), at(2)));
        request.resource_metrics.remove(0).scope_metrics.remove(0).metrics.remove(0)
    }

    #[test]
    fn counters_are_sums_since_the_start() {
        let counter =
            IntCounterVec::new(Opts::new("memwatch_x_total", "What."), &["kind"]).expect("a counter");
        counter.with_label_values(&["a"]).inc_by(3);
        let metric = one(&counter.collect());
        assert_eq!((metric.name.as_str(), metric.description.as_str()), ("memwatch_x_total", "What."));
        let Some(Data::Sum(sum)) = metric.data else { panic!("no sum: {metric:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{sum:?}");
        let [point] = &sum.data_points[..] else { panic!("one point: {sum:?}") };
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 2_000_000_000));
        assert_eq!(point.value, Some(Number::AsDouble(3.0)));
        assert_eq!(point.attributes[0].key, "kind");
    }

    #[test]
    fn gauges_and_units() {
        let gauge = IntGauge::new("memwatch_host_memory_bytes", "Memory.").expect("a gauge");
        gauge.set(5);
        let metric = one(&gauge.collect());
        let Some(Data::Gauge(gauge)) = metric.data else { panic!("no gauge: {metric:?}") };
        assert_eq!((metric.unit.as_str(), gauge.data_points[0].start_time_unix_nano), ("By", 0));
        assert_eq!(unit("memwatch_pool_growth_bytes_per_second"), "By/s");
        assert_eq!((unit("memwatch_bpf_run_seconds_total"), unit("memwatch_processes")), ("s", ""));
    }

    #[test]
    fn buckets_hold_their_own() {
        let opts = HistogramOpts::new("memwatch_y_seconds", "Time.").buckets(vec![1.0, 10.0]);
        let histogram = prometheus::Histogram::with_opts(opts).expect("a histogram");
        [0.5, 0.5, 5.0, 50.0, 50.0, 50.0].into_iter().for_each(|seconds| histogram.observe(seconds));
        let metric = one(&histogram.collect());
        let Some(Data::Histogram(histogram)) = metric.data else { panic!("no histogram: {metric:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.bucket_counts.as_slice(), point.count), ([2, 1, 3].as_slice(), 6));
        assert_eq!((point.explicit_bounds.as_slice(), point.sum), ([1.0, 10.0].as_slice(), Some(156.0)));
    }
}
