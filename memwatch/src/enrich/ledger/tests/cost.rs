//! What the ledger costs. Run with `cargo test --release -p memwatch --lib -- --ignored --nocapture cost`.

use std::path::Path;
use std::time::Instant;

use super::fake::{FakeProc, exit, fork, header, mmap};
use crate::enrich::ledger::Ledger;
use crate::enrich::proc::ProcFs;

#[test]
#[ignore = "measures, and asserts nothing"]
fn cost_of_events() {
    const TURNS: u32 = 5_000_000;
    let proc = FakeProc::new("cost");
    let mut ledger = proc.ledger();
    proc.start(2, 5_000_000_001, 1, "sh");
    ledger.attribute(mmap(header(2, 5_000_000_001, "sh")));
    for n in 0..1_000 {
        ledger.attribute(fork(header(2, 5_000_000_001, "sh"), 100 + n, 6_000_000_001));
    }
    let started = Instant::now();
    for n in 0..TURNS {
        std::hint::black_box(ledger.attribute(mmap(header(100 + n % 1_000, 6_000_000_001, "sh"))));
    }
    println!("known process: {:?} per event", started.elapsed() / TURNS);

    let started = Instant::now();
    for n in 0..TURNS / 10 {
        let (tgid, start_ns) = (5_000 + n % 1_000, 7_000_000_001 + u64::from(n));
        ledger.attribute(fork(header(2, 5_000_000_001, "sh"), tgid, start_ns));
        ledger.attribute(exit(header(tgid, start_ns, "sh")));
    }
    println!("fork and exit: {:?} per pair", started.elapsed() / (TURNS / 10));
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn cost_of_seeding() {
    let mut ledger = Ledger::new(ProcFs::open(Path::new("/proc")).unwrap()).unwrap();
    let started = Instant::now();
    ledger.seed().unwrap();
    let (took, count) = (started.elapsed(), ledger.live.len());
    println!("seeding: {count} processes in {took:?}, {:?} each", took / u32::try_from(count).unwrap());
}
