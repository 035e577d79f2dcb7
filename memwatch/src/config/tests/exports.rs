//! Where events are said to go.

use std::path::Path;
use std::time::Duration;

use super::fault;
use crate::config::parse;
use crate::export::event::Severity;
use crate::export::metrics::Push;
use crate::export::otlp::{Endpoint, Protocol};
use crate::export::route::{Destination, Form, Rate, Rotation, Route};

fn exports(text: &str) -> Vec<Route> {
    parse(text, Path::new("test.toml")).unwrap_or_else(|faults| panic!("{faults}")).exports
}

#[test]
fn nobody_is_named_by_default() {
    assert!(exports("").is_empty());
    let plain = Route::new("export-1".to_owned(), Destination::StandardOutput(None));
    assert_eq!(exports("[[export]]\nto = 'stdout'"), [plain]);
}

#[test]
fn an_exporter_in_full() {
    let text = "[[export]]\nname = 'kills'\nto = 'stdout'\nform = 'json'\nkinds = ['dec*', 'closing']\nmin_severity = 'warning'\n\
                queue = 16\narguments = true\nredact = 'container.*'\nat_most = 5\nper = '1s'";
    let [route] = &exports(text)[..] else { panic!("one exporter") };
    assert_eq!(route.to, Destination::StandardOutput(Some(Form::Json)));
    assert_eq!((route.name.as_str(), route.kinds.len(), route.redact.len()), ("kills", 2, 1));
    assert_eq!((route.min_severity, route.queue, route.has_arguments), (Severity::Warning, 16, true));
    assert_eq!(route.at_most, Some(Rate { events: 5, per_ns: 1_000_000_000 }));
}

#[test]
fn files_are_bounded_unless_told_otherwise() {
    let routes =
        exports("[[export]]\nto = 'file'\npath = '/f'\n[[export]]\nto = 'unix'\npath = '/s'\nform = 'text'");
    let rotation = Rotation { max_bytes: 64 << 20, max_age_ns: None, keep: 5 };
    assert_eq!(routes[0].to, Destination::File { path: "/f".into(), rotation, form: Form::Json });
    assert_eq!(routes[1].to, Destination::Unix { path: "/s".into(), form: Form::Text });
    let routes = exports("[[export]]\nto = 'journald'\n[[export]]\nto = 'syslog'\naddress = '127.0.0.1:601'");
    assert_eq!(routes[0].to, Destination::Journald { path: "/run/systemd/journal/socket".into() });
    assert_eq!(routes[1].to, Destination::Syslog { address: ([127, 0, 0, 1], 601).into(), form: Form::Json });
}

#[test]
fn what_could_not_be_meant_is_refused() {
    let refused = [
        ("to = 'stdout'\nkinds = 'kill'", "no kind of event is named kill"),
        ("to = 'stdout'\nqueue = 0", "a queue of this length"),
        ("to = 'stdout'\nat_most = 0", "nothing would ever go there"),
        ("to = 'stdout'\nper = '0s'", "nothing happens in no time"),
        ("to = 'stdout'\nform = 'text'\nredact = 'process.*'", "a sentence has no keys"),
        ("to = 'file'", "write path = \"/var/log"),
        ("to = 'file'\npath = 'events.jsonl'", "no path of a file from the root"),
        ("to = 'file'\npath = '/f'\nmax_size = '1KiB'", "a few lines would fill it"),
        ("to = 'file'\npath = '/f'\nmax_age = '1s'", "again and again"),
        ("to = 'unix'\npath = '/f'\nkeep = 1", "has no such thing"),
        ("to = 'syslog'", "write address = "),
        ("to = 'journald'\nform = 'json'", "has no such thing"),
        ("name = 'x'", "this key is needed"),
        ("to = 'pigeon'", "there is no such choice"),
    ];
    for (text, words) in refused {
        let fault = fault(&format!("[[export]]\n{text}"));
        assert!(fault.contains(words), "{text}: {fault}");
    }
    for (text, words) in [
        ("", "write url = \"http://127.0.0.1:4317\""),
        ("url = 'https://127.0.0.1:4317'", "speaks no TLS"),
        ("url = 'http://collector:4317'", "names are not looked up"),
        ("url = 'http://127.0.0.1/v1/logs'", "gRPC has no path"),
        ("url = 'http://127.0.0.1'\nprotocol = 'udp'", "there is no such choice"),
        ("url = 'http://127.0.0.1'\nform = 'json'", "has no such thing"),
    ] {
        let fault = fault(&format!("[[export]]\nto = 'otlp'\n{text}"));
        assert!(fault.contains(words), "{text}: {fault}");
    }
    let twins = "[[export]]\nname = 'a'\nto = 'stdout'\n[[export]]\nname = 'a'\nto = 'stdout'";
    assert!(fault(twins).contains("another one has this name"));
}

#[test]
fn receivers_of_otlp() {
    let routes = exports(
        "[[export]]\nto = 'otlp'\nurl = 'http://127.0.0.1'\n[[export]]\nto = 'otlp'\nurl = 'http://[::1]/x/'\nprotocol = 'http'",
    );
    let endpoint = |text, protocol| Endpoint::parse(text, protocol).expect("an endpoint");
    assert_eq!(routes[0].to, Destination::Otlp(endpoint("http://127.0.0.1:4317", Protocol::Grpc)));
    assert_eq!(routes[1].to, Destination::Otlp(endpoint("http://[::1]:4318/x", Protocol::Http)));
    let text = "[metrics.otlp]\nurl = 'http://127.0.0.1:1'\nevery = '5s'";
    let metrics = parse(text, Path::new("test.toml")).expect("sound").metrics;
    let to = endpoint("http://127.0.0.1:1", Protocol::Grpc);
    assert_eq!(metrics.push, Some(Push { to, every: Duration::from_secs(5) }));
    assert!(fault("[metrics.otlp]\nurl = 'http://127.0.0.1'\nevery = '1ms'").contains("gathered anew"));
    assert!(fault("[metrics.otlp]\nevery = '5s'").contains("write url = "));
}

#[test]
fn metrics_stay_on_the_host_unless_that_is_spelled_out() {
    let metrics = |text: &str| parse(text, Path::new("test.toml")).expect("sound").metrics;
    let nobody = metrics("[metrics]");
    assert_eq!((nobody.listen, nobody.push), (None, None));
    let asked = metrics("[metrics]\nlisten = '[::1]:9836'");
    assert_eq!((asked.listen.map(|address| address.port()), asked.max_cgroups), (Some(9836), 100));
    assert!(metrics("[metrics]\nlisten = '0.0.0.0:9836'\nbeyond_loopback = true").listen.is_some());
    assert!(fault("[metrics]\nlisten = '0.0.0.0:9836'").contains("other hosts could read"));
    assert!(fault("[metrics]\nlisten = 'localhost'").contains("no address with a port"));
    assert!(fault("[metrics]\nlisten = '[::1]:9836'\nmax_cgroups = 99999").contains("so many labels"));
}
