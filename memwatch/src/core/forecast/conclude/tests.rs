use super::*;
use crate::core::fact::ProcessKey;
use crate::core::forecast::Check;
use crate::core::policy::{Figures, Host, Input};

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

fn who(tgid: u32, parent: u32, exe: &str, argument: &str) -> Who {
    Who {
        parent: Some(parent),
        exe: Some(exe.into()),
        args: vec![argument.into()],
        cgroup: Some("/app".into()),
        ..Who::unknown(key(tgid))
    }
}

fn key(tgid: u32) -> ProcessKey {
    ProcessKey { tgid, start_ns: 1 }
}

fn figures(private: u64, shared: u64) -> Figures {
    Figures {
        resident: Some((private + shared) * MIB),
        private: Some(private * MIB),
        proportional: Some((private + shared / 2) * MIB),
        ..Figures::default()
    }
}

/// A pool of two workers, which have so much private memory at each second, from the tenth on; a tenth of it is the master's.
fn inputs(private: impl Fn(u64, u32) -> u64, seconds: u64) -> Vec<(u64, Input)> {
    let mut inputs = vec![(SECOND, Input::Runs(Box::new(who(10, 1, "/usr/bin/uwsgi", "uwsgi"))))];
    for tgid in [11, 12] {
        inputs.push((SECOND, Input::Runs(Box::new(who(tgid, 10, "/usr/bin/uwsgi", "uwsgi")))));
    }
    for second in 10..10 + seconds {
        let now = |input| (second * SECOND, input);
        inputs.push(now(Input::Figures { key: key(10), figures: figures(10, 0) }));
        let mut used = 1010;
        for tgid in [11, 12] {
            let private = private(second - 10, tgid);
            used += private;
            inputs.push(now(Input::Figures { key: key(tgid), figures: figures(private, 40) }));
        }
        let host = Host { total: 4000 * MIB, available: (4000 - used) * MIB, ..Host::default() };
        inputs.push(now(Input::Host(host)));
    }
    inputs
}

fn history(inputs: &[(u64, Input)]) -> History {
    let mut history = History::new(None);
    for (time_ns, input) in inputs {
        history.take(*time_ns, input);
    }
    history
}

#[test]
fn the_worst_case_is_every_worker_as_large_as_the_largest_ever() {
    let inputs = inputs(|second, tgid| if tgid == 11 && second == 5 { 300 } else { 50 }, 20);
    let found = forecast(&history(&inputs), Assumed::default());
    let [pool] = found.pools.as_slice() else { panic!("{found:?}") };
    assert_eq!((pool.workers, pool.least, pool.growth), (2, 50 * MIB, 250 * MIB));
    assert_eq!(pool.past.largest, Some(key(11)));
    // The master and, once, what the workers share.
    assert_eq!(pool.common, 50 * MIB);
    assert_eq!(pool.worst, (50 + 2 * 300) * MIB);
    // 90 % of 4000, without the 960 that others take and the 50 in common.
    assert_eq!(pool.others, (1110 - 150) * MIB);
    assert_eq!(pool.for_workers, (3600 - 960 - 50) * MIB);
    assert_eq!(pool.bears, Some((2590 - 100) / 250));
    assert!(pool.fits());
}

#[test]
fn what_bounds_a_pool_is_what_leaves_it_least() {
    let mut history = history(&inputs(|second, _| 50 + second, 20));
    history.take_cgroup(30 * SECOND, key(10), "/app", 400 * MIB, 200 * MIB);
    history.take_cgroup(30 * SECOND, key(99), "/apple", 10 * MIB, MIB);
    let found = forecast(&history, Assumed::default());
    assert_eq!(found.pools[0].room.of, RoomOf::Cgroup("/app".into()));
    let given = Assumed { memory: Some(200 * MIB), ..Assumed::default() };
    let pool = forecast(&history, given).pools.remove(0);
    assert_eq!((pool.room.of.clone(), pool.others), (RoomOf::Given, 0));
    // 180 - 50 in common: one of at most 69, which gains 10 in ten seconds.
    assert_eq!((pool.advice.fit, pool.advice.workers, pool.fits()), (1, 1, false));
    assert_eq!(pool.advice.recycle_at, (130 - 10) * MIB);
    assert_eq!(pool.advice.recycle_at_rss, (120 + 40) * MIB);
}

#[test]
fn requests_are_reckoned_with_only_where_they_are_told() {
    let history = history(&inputs(|second, _| 50 + second, 21));
    assert_eq!(forecast(&history, Assumed::default()).pools[0].advice.requests, None);
    let told = Assumed { requests: Some(20), memory: Some(400 * MIB), ..Assumed::default() };
    let pool = forecast(&history, told).pools.remove(0);
    assert_eq!(pool.per_request, Some(2 * MIB));
    assert_eq!(pool.advice.requests, Some((pool.advice.recycle_at - 50 * MIB) / (2 * MIB)));
}

#[test]
fn growth_of_those_that_ended_is_not_forgotten() {
    let mut inputs = inputs(|second, tgid| if tgid == 11 { 50 + 10 * second } else { 50 }, 20);
    inputs.push((31 * SECOND, Input::Ended(key(11))));
    inputs.push((31 * SECOND, Input::Runs(Box::new(who(13, 10, "/usr/bin/uwsgi", "uwsgi")))));
    let pool = forecast(&history(&inputs), Assumed::default()).pools.remove(0);
    assert_eq!((pool.workers, pool.living, pool.ended), (2, 2, 1));
    assert_eq!(pool.past.highest, 240 * MIB);
}

#[test]
fn a_child_of_a_worker_and_another_program_are_no_workers() {
    let mut inputs = inputs(|_, _| 50, 12);
    inputs.push((30 * SECOND, Input::Runs(Box::new(who(13, 11, "/usr/bin/uwsgi", "uwsgi")))));
    inputs.push((30 * SECOND, Input::Runs(Box::new(who(14, 10, "/usr/bin/uwsgi", "uwsgi")))));
    inputs.push((30 * SECOND, Input::Runs(Box::new(who(14, 10, "/bin/convert", "convert")))));
    assert_eq!(forecast(&history(&inputs), Assumed::default()).pools[0].living, 2);
}

#[test]
fn a_check_compares_with_what_came() {
    let inputs = inputs(|second, _| 50 + 5 * second, 101);
    let mut check = Check::new(SECOND, inputs.last().expect("inputs").0, None, Assumed::default());
    for (time_ns, input) in &inputs {
        check.take(*time_ns, input);
    }
    let (checked, last) = check.finish();
    assert_eq!(checked.iter().map(|it| it.percent).collect::<Vec<_>>(), [25, 50, 75]);
    for it in &checked {
        let host = it.host.expect("the host");
        assert!(host.holds(), "{host:?}");
        assert_eq!(it.pools[0].highest, (50 + 2 * 550) * MIB);
        assert!(it.pools[0].error_percent() < 0.0, "a worst case can be exceeded by what still grows");
    }
    assert_eq!(last.pools[0].worst, (50 + 2 * 550) * MIB);
}
