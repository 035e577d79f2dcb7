//! All parts together, on a file.

use std::time::{Duration, Instant};

use super::*;
use crate::export::event::Severity;
use crate::export::route::{Destination, Form, Rotation};
use crate::sys;

/// A line as long as that of a decision with a few candidates.
fn event() -> Event {
    let mut object = b"{\"event.name\":\"memwatch.decision\",\"memwatch.decision.reason\":\"".to_vec();
    object.resize(1_000, b'x');
    object.extend_from_slice(b"\"}\n");
    Event { name: "memwatch.decision", severity: Severity::Notice, object, sentence: None }
}

/// Hands events over at this pace; gives the exporter's account, and the processor time of both sides in seconds.
fn pace(events_a_second: u32, seconds: u32, queue: usize) -> (Account, f64) {
    let path = std::env::temp_dir().join(format!("memwatch-pace-{}", std::process::id()));
    let rotation = Rotation { max_bytes: 64 << 20, max_age_ns: None, keep: 0 };
    let to = Destination::File { path: path.clone(), rotation, form: Form::Json };
    let route = Route { queue, ..Route::new("file".to_owned(), to) };
    let mut exporters = Exporters::start(vec![route]).expect("an exporter");
    let lane = Arc::clone(&exporters.running[0].lane);
    let before_ns = sys::cpu_ns();
    let start = Instant::now();
    for tick in 1..=seconds * 1000 {
        (0..events_a_second / 1000).for_each(|_| exporters.offer(event()));
        std::thread::sleep(
            (start + Duration::from_millis(tick.into())).saturating_duration_since(Instant::now()),
        );
    }
    exporters.finish();
    let took_ns = sys::cpu_ns() - before_ns;
    std::fs::remove_file(path).expect("the file");
    (lane.account(), took_ns as f64 / 1e9)
}

#[test]
fn what_is_handed_over_is_delivered() {
    let (account, _) = pace(1_000, 1, 1024);
    assert_eq!((account.produced, account.delivered), (1_000, 1_000), "{account}");
}

#[test]
#[ignore = "prints what a pace costs: a figure for the journal, not a verdict"]
fn cost_of_a_pace() {
    let (account, took) = pace(50_000, 5, 16_384);
    println!(
        "50000 events/s of 1 KB for 5 s to a file: {account}; {:.0} % of a processor",
        took / 5.0 * 100.0
    );
}
