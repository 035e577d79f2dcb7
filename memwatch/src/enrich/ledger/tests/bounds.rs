//! What the ledger holds does not grow without end.

use super::fake::{FakeProc, exec, exit, fork, header};
use crate::core::fact::ProcessKey;

#[test]
fn a_burst_of_short_lives_leaves_no_living_and_a_bounded_number_of_dead() {
    let proc = FakeProc::new("burst");
    let mut ledger = proc.ledger();
    proc.start(2, 5_000_000_001, 1, "sh");
    // Hostile arguments: as many allocations as 512 bytes can make.
    let args = b"x\0".repeat(256);
    for n in 0..20_000_u32 {
        let (tgid, start_ns) = (1_000 + n % 3_000, 6_000_000_001 + u64::from(n));
        ledger.attribute(fork(header(2, 5_000_000_001, "sh"), tgid, start_ns));
        ledger.attribute(exec(header(tgid, start_ns, "x"), "/bin/x", &args, args.len()));
        ledger.attribute(exit(header(tgid, start_ns, "x")));
    }
    assert_eq!(ledger.live.len(), 1);
    let (dead, bytes) = ledger.dead.size();
    assert!(dead <= 16_384 && bytes <= 8 << 20, "{dead} dead in {bytes} bytes");
    assert_eq!(ledger.losses().dead_forgotten, 20_000 - dead as u64);
    assert_eq!(ledger.losses().attribution_failed, 0);
}

#[test]
fn lost_exits_are_noticed_when_the_number_of_the_living_doubles() {
    let proc = FakeProc::new("lost");
    let mut ledger = proc.ledger();
    proc.start(2, 5_000_000_001, 1, "sh");
    for n in 0..40_000_u32 {
        ledger.attribute(fork(header(2, 5_000_000_001, "sh"), 100 + n, 6_000_000_001));
    }
    assert!(ledger.live.len() <= super::super::RECONCILE_MIN, "{}", ledger.live.len());
    assert!(ledger.losses().exits_inferred > 20_000);
}

#[test]
fn a_circle_of_parents_ends() {
    let proc = FakeProc::new("circle");
    let mut ledger = proc.ledger();
    proc.start(10, 5_000_000_000, 12, "a");
    proc.start(11, 5_000_000_000, 10, "b");
    proc.start(12, 5_000_000_000, 11, "c");
    proc.start(13, 4_000_000_000, 12, "older than the holder of its parent's pid");
    ledger.seed().unwrap();
    let tgids = |keys: Vec<ProcessKey>| keys.into_iter().map(|key| key.tgid).collect::<Vec<_>>();
    assert_eq!(tgids(ledger.descendants(10)), [10, 11, 12]);
    assert!(ledger.descendants(99).is_empty());
}
