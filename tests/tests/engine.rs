//! What a decision costs on a crowded host.

use memwatch_tests::counting::Counting;
use memwatch_tests::crowded::{Crowded, Use};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_decision_over_10_000_processes_allocates_nothing() {
    let mut crowded = Crowded::new(10_000).unwrap();
    for used in [Use::AboveUpper, Use::BetweenBounds] {
        let took = crowded.decide(used, 5).unwrap();
        assert_eq!((took.allocations, took.ns.len()), (0, 5), "{used:?}");
    }
}

#[test]
fn the_allocator_counts() {
    let before = memwatch_tests::counting::allocations();
    let taken = Vec::<u8>::with_capacity(100);
    assert_eq!((memwatch_tests::counting::allocations() - before, taken.capacity()), (1, 100));
}
