use std::convert::Infallible;

use memwatch_ebpf::abi::event::{Kind, SWEEP_PROGRESS, SWEEP_START};
use memwatch_ebpf::abi::state::SWEEP_GAP_NS;
use zerocopy::FromZeros as _;

use super::*;
use crate::export::samples;

/// First close of the sweep.
const FIRST_NS: u64 = 4_000_000_000;

fn record(phase: u32, first_ns: u64, count: u64) -> Fact {
    let mut fact = samples::fact(Kind::CloseSweep);
    fact.event.body = Body::CloseSweep(CloseSweep { first_ns, count, phase, ..CloseSweep::default() });
    fact
}

/// State of the process that the records are of.
fn state(first_ns: u64, last_ns: u64, count: u64) -> Process {
    let mut state = Process::new_zeroed();
    state.start_ns = record(SWEEP_START, first_ns, count).event.header.start_ns;
    (state.sweep.first_ns, state.sweep.last_ns, state.sweep.count) = (first_ns, last_ns, count);
    (state.sweep.first, state.sweep.number) = (3, 15_000);
    state.learned[0].limit = 20_000;
    state
}

/// The ends that a look gives, and how many processes it asked for.
fn look(sweeps: &mut CloseSweeps, now_ns: u64, is_last: bool, state: Option<Process>) -> (Vec<Fact>, u32) {
    let mut asked = 0;
    let ends = sweeps.ended(now_ns, is_last, |_| {
        asked += 1;
        Ok::<_, Infallible>(state)
    });
    (ends.unwrap_or_else(|never| match never {}), asked)
}

fn body(fact: &Fact) -> CloseSweep {
    let Body::CloseSweep(body) = fact.event.body else { panic!("another body: {fact:?}") };
    body
}

#[test]
fn the_end_of_a_sweep_is_told_once() {
    let mut sweeps = CloseSweeps::default();
    assert_eq!(look(&mut sweeps, FIRST_NS, false, None).1, 0, "nobody is looked at who does not sweep");
    assert!(sweeps.take(&mut record(SWEEP_START, FIRST_NS, 1024)));
    assert!(sweeps.take(&mut record(SWEEP_PROGRESS, FIRST_NS, 8192)));
    let last_ns = FIRST_NS + 10;
    let swept = state(FIRST_NS, last_ns, 14_998);
    let (ends, asked) = look(&mut sweeps, last_ns + SWEEP_GAP_NS, false, Some(swept));
    assert!(ends.is_empty() && asked == 1, "it may go on");
    let now_ns = last_ns + SWEEP_GAP_NS + 1;
    let (ends, _) = look(&mut sweeps, now_ns, false, Some(swept));
    let end =
        CloseSweep { first_ns: FIRST_NS, last_ns, count: 14_998, limit: 20_000, phase: SWEEP_END, _pad: 0 };
    assert_eq!(ends.iter().map(body).collect::<Vec<_>>(), [end]);
    assert_eq!(ends[0].event.header.time_ns, now_ns);
    let (ends, asked) = look(&mut sweeps, now_ns, true, Some(swept));
    assert!(ends.is_empty() && asked == 0, "{ends:?}");
    assert!(!sweeps.take(&mut record(SWEEP_END, FIRST_NS, 14_998)), "the kernel side's own comes late");
    assert!(sweeps.take(&mut record(SWEEP_START, now_ns, 1024)), "another sweep");
}

#[test]
fn what_still_goes_on_ends_with_the_trace() {
    let mut sweeps = CloseSweeps::default();
    sweeps.take(&mut record(SWEEP_START, FIRST_NS, 1024));
    let (ends, _) = look(&mut sweeps, FIRST_NS + 20, true, Some(state(FIRST_NS, FIRST_NS + 20, 1500)));
    assert_eq!(ends.iter().map(|end| body(end).count).collect::<Vec<_>>(), [1500]);
}

#[test]
fn a_sweep_that_went_on_after_all_is_told_to_its_end() {
    let mut sweeps = CloseSweeps::default();
    sweeps.take(&mut record(SWEEP_START, FIRST_NS, 1024));
    look(&mut sweeps, FIRST_NS + 2 * SWEEP_GAP_NS, false, Some(state(FIRST_NS, FIRST_NS, 1500)));
    assert!(!sweeps.take(&mut record(SWEEP_PROGRESS, FIRST_NS, 1500)), "a record that was read late");
    assert!(sweeps.take(&mut record(SWEEP_END, FIRST_NS, 1501)));
}

#[test]
fn a_sweep_that_the_kernel_side_ended_is_not_looked_for_again() {
    let mut sweeps = CloseSweeps::default();
    for forgets in [SWEEP_START, SWEEP_END] {
        assert!(sweeps.take(&mut record(forgets, FIRST_NS, 2000)));
    }
    assert_eq!(look(&mut sweeps, u64::MAX, true, None).1, 0);
    for kind in [Kind::Exec, Kind::Exit] {
        sweeps.take(&mut record(SWEEP_START, FIRST_NS, 1024));
        assert!(sweeps.take(&mut samples::fact(kind)));
        assert_eq!(look(&mut sweeps, u64::MAX, true, None).1, 0, "{kind:?}");
    }
    // Its end is on its way, or was lost: nobody asks for ever.
    sweeps.take(&mut record(SWEEP_START, FIRST_NS, 1024));
    let another = state(FIRST_NS + 1, FIRST_NS + 1, 1);
    let asked: Vec<u32> = (0..4).map(|_| look(&mut sweeps, u64::MAX, false, Some(another)).1).collect();
    assert_eq!(asked, [1, 1, 0, 0]);
}

#[test]
fn the_end_is_told_of_who_swept() {
    let mut sweeps = CloseSweeps::default();
    let first = record(SWEEP_START, FIRST_NS, 1024);
    sweeps.take(&mut first.clone());
    // As an exec leaves it behind: another name, user and executable, told by the first thread.
    let mut end = record(SWEEP_END, FIRST_NS, 2000);
    let header = &mut end.event.header;
    (header.comm, header.uid, header.tid, header.time_ns) =
        (samples::name(b"sleep"), 0, header.tgid, 6_000_000_000);
    end.process = Arc::new(Identity { comm: b"sleep".to_vec(), ..samples::identity() });
    assert!(sweeps.take(&mut end));
    assert_eq!(end.event.header, Header { time_ns: 6_000_000_000, ..first.event.header });
    assert_eq!(*end.process, *first.process);
}

#[test]
fn what_is_remembered_has_a_bound() {
    let mut sweeps = CloseSweeps::default();
    let begin = |sweeps: &mut CloseSweeps, tgid| {
        let mut fact = record(SWEEP_START, FIRST_NS, 1024);
        fact.event.header.tgid = tgid;
        assert!(sweeps.take(&mut fact));
    };
    (1..=1200).for_each(|tgid| begin(&mut sweeps, tgid));
    let swept = state(FIRST_NS, FIRST_NS, 1024);
    assert_eq!(look(&mut sweeps, FIRST_NS, false, Some(swept)).1, 1024);
    assert_eq!(look(&mut sweeps, FIRST_NS, true, Some(swept)).0.len(), 1024);
    begin(&mut sweeps, 5000);
    assert_eq!(look(&mut sweeps, FIRST_NS, false, Some(swept)).1, 1, "those whose end is told give way");
}
