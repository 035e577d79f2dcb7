//! Events as log records of OpenTelemetry's data model.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{scope, unix_ns};
use crate::export::event::{Event, Severity, fields};
use crate::export::route::Route;

/// Keys that have a field of their own in a record.
const OWN: [&str; 3] = ["event.name", "timestamp", "memwatch.severity"];

/// An event as a record, without what is not to go there.
#[must_use]
pub fn record(route: &Route, event: &Event, observed: SystemTime) -> LogRecord {
    let object = route.redacted(event);
    let fields = fields(&object);
    let time = fields.iter().find(|(key, _)| *key == "timestamp");
    let time = time.and_then(|(_, value)| humantime::parse_rfc3339(value.get().trim_matches('"')).ok());
    let attributes = fields.iter().filter(|(key, _)| !OWN.contains(key)).map(|(key, value)| {
        let value = serde_json::from_str(value.get()).unwrap_or_default();
        KeyValue { key: (*key).to_owned(), value: Some(any(value)), ..KeyValue::default() }
    });
    // What is left out of the object is left out of words.
    let sentence = event.sentence.as_ref().filter(|_| route.redact.is_empty());
    LogRecord {
        time_unix_nano: time.map(unix_ns).unwrap_or_default(),
        observed_time_unix_nano: unix_ns(observed),
        severity_number: number(event.severity).into(),
        severity_text: event.severity.name().to_owned(),
        body: sentence.map(|text| AnyValue { value: Some(Value::StringValue(text.clone())) }),
        attributes: attributes.collect(),
        event_name: event.name.to_owned(),
        ..LogRecord::default()
    }
}

/// Records as a request.
#[must_use]
pub fn logs(resource: &Resource, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let resource = Some(resource.clone());
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    }
}

/// Number of a severity: those of syslog, as the data model's appendix maps them.
const fn number(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Info => SeverityNumber::Info,
        Severity::Notice => SeverityNumber::Info2,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Error => SeverityNumber::Error,
    }
}

/// A value of JSON as one of the data model.
fn any(value: serde_json::Value) -> AnyValue {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => None,
        Json::Bool(flag) => Some(Value::BoolValue(flag)),
        Json::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::IntValue(whole),
            // There are no larger integers; digits are kept rather than a rounded number.
            (None, Some(large)) => Value::StringValue(large.to_string()),
            (None, None) => Value::DoubleValue(number.as_f64().unwrap_or_default()),
        }),
        Json::String(text) => Some(Value::StringValue(text)),
        Json::Array(values) => {
            Some(Value::ArrayValue(ArrayValue { values: values.into_iter().map(any).collect() }))
        }
        Json::Object(entries) => {
            let entry = |(key, value)| KeyValue { key, value: Some(any(value)), ..KeyValue::default() };
            Some(Value::KvlistValue(KeyValueList { values: entries.into_iter().map(entry).collect() }))
        }
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::pattern::Pattern;
    use crate::export::route::Destination;

    fn event() -> Event {
        let object = br#"{"event.name":"memwatch.decision","memwatch.severity":"notice","timestamp":"1970-01-01T00:00:01.000000002Z","process.pid":7,"a":true,"b":[1.5,{"c":null}],"d":18446744073709551615,"process.command_args":["--key=s3cret"]}"#;
        Event {
            name: "memwatch.decision",
            severity: Severity::Notice,
            object: object.to_vec(),
            sentence: Some("asking a".to_owned()),
        }
    }

    fn route() -> Route {
        Route::new("test".to_owned(), Destination::StandardOutput(None))
    }

    fn text(words: &str) -> Value {
        Value::StringValue(words.to_owned())
    }

    #[test]
    fn each_key_has_its_place() {
        let record = record(&route(), &event(), SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (1_000_000_002, 2_000_000_000));
        assert_eq!((record.severity_number, record.severity_text.as_str()), (10, "notice"));
        assert_eq!(record.event_name, "memwatch.decision");
        assert_eq!(record.body.and_then(|body| body.value), Some(text("asking a")));
        let values: Vec<_> = record
            .attributes
            .into_iter()
            .map(|KeyValue { key, value, .. }| (key, value.and_then(|value| value.value)))
            .collect();
        let nested = KeyValueList {
            values: vec![KeyValue {
                key: "c".to_owned(),
                value: Some(AnyValue::default()),
                ..KeyValue::default()
            }],
        };
        let array = [Value::DoubleValue(1.5), Value::KvlistValue(nested)];
        let array = array.map(|value| AnyValue { value: Some(value) }).to_vec();
        let expected = [
            ("process.pid", Value::IntValue(7)),
            ("a", Value::BoolValue(true)),
            ("b", Value::ArrayValue(ArrayValue { values: array })),
            ("d", text("18446744073709551615")),
        ];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), Some(value))));
    }

    #[test]
    fn what_is_left_out_is_left_out_of_words_and_fields() {
        let redact = vec![Pattern::parse("process.*").expect("a pattern")];
        let record = record(&Route { redact, ..route() }, &event(), SystemTime::now());
        assert_eq!(record.body, None);
        assert!(record.attributes.iter().all(|attribute| !attribute.key.starts_with("process.")));
    }

    #[test]
    fn severities_keep_their_order() {
        let numbers = Severity::ALL.map(|(_, severity)| i32::from(number(severity)));
        assert_eq!(numbers, [9, 10, 13, 17]);
    }
}
