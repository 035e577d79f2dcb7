//! Events and metrics by OpenTelemetry's protocol, to a receiver that takes, refuses, stalls, or is not there.

mod pushed;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::daemon::NEEDS;
use super::exporters::{Account, Told};
use crate::case::Case;
use crate::child::PATIENCE;
use crate::need::Need;
use crate::receiver::{Mood, Protocol, REASON, Receiver, number, text};
use crate::tracer::eventually;

pub(super) const CASES: &[Case] = &[
    Case::new("otlp::records_arrive_over_grpc", NEEDS, || delivered(Protocol::Grpc)),
    Case::new("otlp::records_arrive_over_http", NEEDS, || delivered(Protocol::Http)),
    Case::new("otlp::a_receiver_that_comes_back_goes_on_over_grpc", NEEDS, || returned(Protocol::Grpc)),
    Case::new("otlp::a_receiver_that_comes_back_goes_on_over_http", NEEDS, || returned(Protocol::Http)),
    Case::new("otlp::what_is_refused_is_counted_over_grpc", NEEDS, || refused(Protocol::Grpc)),
    Case::new("otlp::what_is_refused_is_counted_over_http", NEEDS, || refused(Protocol::Http)),
    Case::new("otlp::a_busy_receiver_is_left_alone", NEEDS, busy),
    Case::new("otlp::a_receiver_that_stalls_holds_nobody_up", NEEDS, stalled),
    Case::new("otlp::garbage_is_no_answer", NEEDS, garbage),
    Case::new("otlp::metrics_are_sent_over_grpc", NEEDS, || pushed::all(Protocol::Grpc)),
    Case::new("otlp::metrics_are_sent_over_http", NEEDS, || pushed::all(Protocol::Http)),
    Case::new("otlp::victoria_metrics_takes_them", DATABASE_NEEDS, pushed::to_victoria_metrics),
];

const DATABASE_NEEDS: &[Need] = &[Need::Root, Need::Tracing, Need::InitialPids, Need::VictoriaMetrics];

const MIB: u64 = 1 << 20;

/// An exporter of this name.
fn export(name: &str, protocol: Protocol, address: SocketAddr, more: &str) -> String {
    let protocol = protocol.word();
    format!(
        "[[export]]\nname = \"{name}\"\nto = \"otlp\"\nurl = \"http://{address}\"\nprotocol = \"{protocol}\"\n{more}"
    )
}

/// Whether a record is an event, and not a report of what is missing.
fn is_event(record: &LogRecord) -> bool {
    record.event_name != "memwatch.lost"
}

/// Different events that a receiver took.
fn events(receiver: &Receiver) -> u64 {
    let records = receiver.records();
    let events = records.iter().filter(|record| is_event(record));
    events
        .map(|record| format!("{} {:?}", record.event_name, record.attributes))
        .collect::<BTreeSet<_>>()
        .len() as u64
}

fn has(receiver: &Receiver, name: &str) -> bool {
    receiver.records().iter().any(|record| record.event_name == name)
}

fn delivered(protocol: Protocol) -> anyhow::Result<()> {
    let receiver = Receiver::new(protocol, Mood::Take)?;
    // What is in the environment is told as well.
    let script = "export OTEL_RESOURCE_ATTRIBUTES=k8s.node.name=node-1";
    let exports = export("otlp", protocol, receiver.address, "");
    let told = Told::within(&exports, Stdio::null(), Some(script))?;
    eventually(PATIENCE, "an end is received", || has(&receiver, "memwatch.closing"))?;
    let (account, _) = told.end("otlp")?;
    let records = receiver.records();
    ensure!(
        account.shed == 0 && account.delivered == records.len() as u64,
        "{account:?}, {} records",
        records.len()
    );
    ensure!(events(&receiver) == account.delivered, "an event came twice: {records:?}");

    let record =
        records.iter().find(|record| record.event_name == "memwatch.decision").context("a decision")?;
    let at = |ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns);
    let (time, observed) = (at(record.time_unix_nano), at(record.observed_time_unix_nano));
    let age = SystemTime::now().duration_since(time).context("an event of the future")?;
    ensure!(age < PATIENCE && observed >= time, "{record:?}");
    ensure!(record.severity_number == 10 && record.severity_text == "notice", "{record:?}");
    let body = record.body.as_ref().and_then(|body| body.value.as_ref());
    ensure!(
        matches!(body, Some(Value::StringValue(words)) if words.contains("asking memwatch-trigge (")),
        "{record:?}"
    );
    ensure!(text(&record.attributes, "memwatch.decision.rule") == "host_bounds", "{record:?}");
    ensure!(number(&record.attributes, "process.pid").is_some_and(|pid| pid > 1), "{record:?}");
    ensure!(number(&record.attributes, "memwatch.schema_version") == Some(1), "{record:?}");
    for key in ["event.name", "timestamp", "memwatch.severity", "process.command_args"] {
        ensure!(record.attributes.iter().all(|attribute| attribute.key != key), "{key} in {record:?}");
    }

    let state = receiver.state();
    let logs =
        state.taken.logs.first().and_then(|request| request.resource_logs.first()).context("a resource")?;
    let resource = logs.resource.as_ref().context("a resource")?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").context("read the host's name")?;
    for (key, value) in [
        ("service.name", "memwatch"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("os.type", "linux"),
        ("host.name", host.trim_end()),
        ("k8s.node.name", "node-1"),
    ] {
        ensure!(text(&resource.attributes, key) == value, "{key} is not {value}: {resource:?}");
    }
    let scope = logs.scope_logs.first().and_then(|of| of.scope.as_ref()).context("a scope")?;
    ensure!(scope.name == "memwatch" && !scope.version.is_empty(), "{scope:?}");
    Ok(())
}

/// Nobody listens, then somebody does, goes, and comes back.
fn returned(protocol: Protocol) -> anyhow::Result<()> {
    let mut receiver = Receiver::new(protocol, Mood::Take)?;
    receiver.stop();
    let mut told = Told::new(&export("otlp", protocol, receiver.address, "queue = 8\n"), Stdio::null())?;
    told.daemon.wait_for_error_line("exporter otlp cannot deliver", PATIENCE)?;
    told.see_workers_leave(6)?;
    receiver.start_again(protocol)?;
    told.daemon.wait_for_error_line("exporter otlp delivers again", PATIENCE)?;
    eventually(PATIENCE, "the receiver is told what it lacks", || has(&receiver, "memwatch.lost"))?;
    receiver.stop();
    told.daemon.wait_for_another_error_line("exporter otlp cannot deliver", PATIENCE)?;
    told.see_workers_leave(1)?;
    receiver.start_again(protocol)?;
    told.daemon.wait_for_another_error_line("exporter otlp delivers again", PATIENCE)?;
    let (account, _) = told.end("otlp")?;
    ensure!(account.shed > 0 && account.refused == 0 && account.held_back == 0, "{account:?}");
    // What was taken by a receiver that was cut off before its answer was there is sent once more.
    ensure!(events(&receiver) == account.delivered, "{account:?}, {} events", events(&receiver));
    let records = receiver.records();
    let lost = records.iter().rfind(|record| !is_event(record)).context("a report")?;
    let total = number(&lost.attributes, "memwatch.lost.total").context("a total")?;
    ensure!(text(&lost.attributes, "memwatch.lost.kind") == "export_shed", "{lost:?}");
    ensure!((1..=account.shed).contains(&total.try_into()?), "{account:?}, {lost:?}");
    Ok(())
}

/// One record of each request is refused, then all, then none.
fn refused(protocol: Protocol) -> anyhow::Result<()> {
    let receiver = Receiver::new(protocol, Mood::TakePart)?;
    let mut told = Told::new(&export("otlp", protocol, receiver.address, ""), Stdio::null())?;
    told.daemon.wait_for_error_line("the peer of exporter otlp refused", PATIENCE)?;
    told.daemon.wait_for_error_line(REASON, PATIENCE)?;
    eventually(PATIENCE, "more is taken in part", || receiver.state().asked > 2)?;
    receiver.set_mood(Mood::Refuse);
    told.daemon.wait_for_error_line("exporter otlp cannot deliver", PATIENCE)?;
    // A request that only reports what is missing may be the first that is refused.
    eventually(PATIENCE, "an event is refused", || receiver.state().refused.records().any(is_event))?;
    receiver.set_mood(Mood::Take);
    told.daemon.wait_for_error_line("exporter otlp delivers again", PATIENCE)?;
    let reported = |record: &LogRecord| text(&record.attributes, "memwatch.lost.kind") == "export_refused";
    eventually(PATIENCE, "the receiver is told", || receiver.records().iter().any(reported))?;
    let (account, _) = told.end("otlp")?;
    let taken = events(&receiver);
    // Of what was taken in part one each was not.
    ensure!(account.refused == account.shed && account.delivered < taken, "{account:?}, {taken} events");
    ensure!(
        account.delivered + account.refused > taken,
        "nothing was refused whole: {account:?}, {taken} events"
    );
    Ok(())
}

/// Asked for a second of peace, it is given that.
fn busy() -> anyhow::Result<()> {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::new(protocol, Mood::Busy)?;
        let mut told = Told::new(&export("otlp", protocol, receiver.address, ""), Stdio::null())?;
        told.daemon.wait_for_error_line("exporter otlp cannot deliver", PATIENCE)?;
        let (before, start) = (receiver.state().asked, Instant::now());
        told.see_workers_leave(1)?;
        eventually(PATIENCE, "it is asked again", || receiver.state().asked > before + 2)?;
        let (asked, took) = (receiver.state().asked - before, start.elapsed());
        ensure!(asked <= took.as_secs() + 2, "asked {asked} times in {took:?}");
        receiver.set_mood(Mood::Take);
        told.daemon.wait_for_error_line("exporter otlp delivers again", PATIENCE)?;
        let (account, _) = told.end("otlp")?;
        ensure!(account.shed == 0 && events(&receiver) == account.delivered, "{account:?}");
    }
    Ok(())
}

/// The policy goes on, and the end is not waited for.
fn stalled() -> anyhow::Result<()> {
    let grpc = Receiver::new(Protocol::Grpc, Mood::Stall)?;
    let http = Receiver::new(Protocol::Http, Mood::Stall)?;
    let exports = [
        export("grpc", Protocol::Grpc, grpc.address, "queue = 4\n"),
        export("http", Protocol::Http, http.address, "queue = 4\n"),
    ];
    let mut told = Told::new(&exports.concat(), Stdio::null())?;
    told.see_workers_leave(4)?;
    told.daemon.wait_for_error_line("had no room for", PATIENCE)?;
    let start = Instant::now();
    told.daemon.signal(libc::SIGTERM)?;
    ensure!(told.daemon.wait(PATIENCE)?.success(), "the daemon failed");
    let took = start.elapsed();
    let errors = told.daemon.errors();
    for (name, receiver) in [("grpc", &grpc), ("http", &http)] {
        let account = Account::read(&errors, name)?;
        ensure!(account.delivered == 0 && account.shed == account.produced, "{account:?}");
        ensure!(receiver.state().asked > 0, "{name} was never asked");
    }
    ensure!(!errors.contains("is left in a write"), "{errors}");
    ensure!(took < Duration::from_secs(20), "the daemon took {took:?} to end");
    Ok(())
}

/// Somebody who speaks of something else, to whoever comes.
fn babbler() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a port")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            // Who does not want to hear it is cut off.
            let _ = peer.write_all(b"220 mail.example ready for something else\r\n\r\n");
            let _ = peer.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = peer.read(&mut [0; 4096]);
        }
    });
    Ok(address)
}

/// A web server that finds everything fine.
fn optimist() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a port")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            let _ = peer.set_read_timeout(Some(Duration::from_millis(200)));
            while peer.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>");
        }
    });
    Ok(address)
}

fn garbage() -> anyhow::Result<()> {
    let exports = [
        export("grpc", Protocol::Grpc, babbler()?, ""),
        export("http", Protocol::Http, babbler()?, ""),
        export("web", Protocol::Http, optimist()?, ""),
    ];
    let names = ["grpc", "http", "web"];
    let mut told = Told::new(&exports.concat(), Stdio::null())?;
    for name in names {
        told.daemon.wait_for_error_line(&format!("exporter {name} cannot deliver"), PATIENCE)?;
    }
    told.see_workers_leave(3)?;
    told.daemon.signal(libc::SIGTERM)?;
    ensure!(told.daemon.wait(PATIENCE)?.success(), "the daemon failed");
    let errors = told.daemon.errors();
    for name in names {
        let account = Account::read(&errors, name)?;
        ensure!(account.delivered == 0 && account.shed == account.produced, "{name}: {account:?}");
        let complaints = errors.matches(&format!("exporter {name} cannot deliver")).count();
        ensure!(complaints == 1, "{name} complains {complaints} times: {errors}");
    }
    Ok(())
}
