//! Pools whose size follows the load.

use super::host::{Fake, MIB, SECOND, Sim, endings, pool, settings, who};
use crate::core::fact::ProcessKey;
use crate::core::pattern::Pattern;
use crate::core::policy::explain::{Query, Stays};
use crate::core::policy::{
    Cause, Command, Ending, Figures, Input, Mode, Order, Queue, Resize, Settings, Signal, Sizing, Turn, Way,
};

const TTIN: Order = Order::Signal(Signal(21));
const TTOU: Order = Order::Signal(Signal(22));

fn sized() -> Settings {
    let mut settings = settings();
    let mut pool = pool("python*");
    pool.matching.args = vec![Pattern::parse("gunicorn*").expect("a pattern")];
    pool.min_alive = 2;
    pool.size = Some(Sizing {
        max_workers: 6,
        idle_min: 2,
        idle_for_ns: 5 * SECOND,
        waiting: 1,
        waiting_for_ns: SECOND,
        spare: 0,
        turn_ns: 10 * SECOND,
    });
    settings.pools = vec![pool];
    settings
}

/// A gunicorn of so many workers on a host of 1000 MiB.
fn site(settings: Settings, workers: u32) -> Sim {
    let mut sim = Sim::new(settings, 1000 * MIB);
    let born = sim.now_ns - 900 * SECOND;
    for tgid in 10..=10 + workers {
        let (parent, born) = (if tgid == 10 { 2 } else { 10 }, born + u64::from(tgid) * SECOND);
        let mut who = who(tgid, parent, "/usr/bin/python3.11", born);
        who.args = vec!["gunicorn: worker [app]".into()];
        sim.start(Fake { who, private: 50 * MIB, obeys: true });
    }
    sim
}

fn master(sim: &Sim) -> ProcessKey {
    sim.processes.keys().find(|key| key.tgid == 10).copied().expect("a master")
}

fn workers(sim: &Sim) -> Vec<ProcessKey> {
    sim.processes.values().filter(|fake| fake.who.parent == Some(10)).map(|fake| fake.who.key).collect()
}

fn queue(sim: &Sim, waiting: u64) -> Queue {
    Queue {
        master: master(sim),
        sockets: 1,
        unix: 0,
        is_per_worker: false,
        waiting,
        most: waiting,
        bound: 128,
        dropped: Some(0),
        overflows: Some(0),
        way: Way::Open,
    }
}

/// Seconds in which so many workers wait for a client and so many connections for a worker.
fn seconds(sim: &mut Sim, count: u64, idle: usize, waiting: u64) {
    // The master has handlers for SIGTTIN and SIGTTOU.
    let caught = Some(1 << 20 | 1 << 21);
    for _ in 0..count {
        let figures = Figures { resident: Some(MIB), private: Some(MIB), caught, ..Figures::default() };
        let key = master(sim);
        sim.feed(Input::Figures { key, figures });
        let looked_at = queue(sim, waiting);
        sim.feed(Input::Queue(looked_at));
        for (place, key) in workers(sim).into_iter().enumerate() {
            let figures = Figures { idle: Some(place < idle), ..Figures::default() };
            sim.feed(Input::Figures { key, figures });
        }
        sim.run(1);
    }
}

fn told(sim: &Sim) -> Vec<Order> {
    let told = sim.said.iter().filter_map(|(_, command)| {
        if let Command::Tell { order, key, .. } = command { (key.tgid == 10).then_some(*order) } else { None }
    });
    told.collect()
}

fn stays(sim: &Sim) -> Option<Stays> {
    let answer = sim.engine.explain(sim.now_ns, &Query::Pool("pool".into()));
    answer.pools[0].queue.expect("a queue").stays
}

#[test]
fn idle_workers_go_one_by_one_down_to_the_least() {
    let mut sim = site(sized(), 6);
    seconds(&mut sim, 60, 6, 0);
    assert_eq!(told(&sim), [TTOU; 4]);
    assert_eq!(endings(&sim), [Ending::Resized; 4]);
    assert_eq!(workers(&sim).len(), 2);
}

#[test]
fn a_long_queue_adds_workers_up_to_the_most() {
    let mut sim = site(sized(), 2);
    seconds(&mut sim, 60, 0, 9);
    assert_eq!(told(&sim), [TTIN; 4]);
    let decided = sim.said.iter().find_map(|(_, command)| {
        if let Command::Decided(decision) = command { Some(decision.cause) } else { None }
    });
    let Some(Cause::Queue(Turn { step, workers, idle, waiting, bound, peak, worst, room, .. })) = decided
    else {
        panic!("{decided:?}");
    };
    assert_eq!((step, workers, idle, waiting, bound), (Resize::Grow, 2, 0, 9, 128));
    // Three workers of 50 MiB, of which 100 are held; 700 less what is used are free.
    assert_eq!((peak, worst), (Some(50 * MIB), Some(50 * MIB)));
    assert!(room > Some(500 * MIB), "{room:?}");
}

#[test]
fn nothing_grows_that_memory_could_not_bear_or_between_the_bounds() {
    let mut sim = site(sized(), 2);
    sim.other = 540 * MIB;
    // One of them has held 100 MiB: three such workers would pass the lower bound.
    let key = workers(&sim)[0];
    let figures = Figures {
        resident: Some(50 * MIB),
        private: Some(50 * MIB),
        peak: Some(100 * MIB),
        ..Figures::default()
    };
    sim.feed(Input::Figures { key, figures });
    seconds(&mut sim, 20, 0, 9);
    assert_eq!(told(&sim), []);
    let mut sim = site(sized(), 2);
    sim.other = 650 * MIB;
    seconds(&mut sim, 20, 0, 9);
    assert_eq!(told(&sim), []);
}

#[test]
fn above_the_lower_bound_one_idle_worker_is_enough_to_shrink() {
    let mut settings = sized();
    settings.scopes[0].bounds.as_mut().expect("bounds").steps =
        vec![crate::core::policy::Step { at: crate::core::policy::Amount::Share(9999), count: 1 }];
    let mut sim = site(settings, 4);
    sim.other = 550 * MIB;
    seconds(&mut sim, 8, 1, 0);
    assert_eq!(told(&sim), [TTOU]);
}

#[test]
fn observing_tells_what_would_be_and_what_that_spares() {
    let mut sim = site(Settings { mode: Mode::Observe, ..sized() }, 6);
    seconds(&mut sim, 100, 6, 0);
    assert_eq!(told(&sim).len(), 4, "down to the least, and no further");
    assert_eq!(endings(&sim), [Ending::Observed; 4]);
    assert_eq!(workers(&sim).len(), 6);
    let answer = sim.engine.explain(sim.now_ns, &Query::Pool("pool".into()));
    let state = answer.pools[0].queue.expect("a queue");
    assert_eq!((state.first, state.spared), (6, 4));
    assert!((100 * MIB..=200 * MIB).contains(&state.mean_saved), "{}", state.mean_saved);
    // Who would be gone would be missed by five clients, of whom one may wait.
    seconds(&mut sim, 30, 1, 0);
    assert_eq!(told(&sim)[4..], [TTIN, TTIN][..]);
}

#[test]
fn a_master_that_ignores_its_orders_is_left_alone() {
    let mut sim = site(sized(), 6);
    sim.of(10).obeys = false;
    seconds(&mut sim, 60, 6, 0);
    assert_eq!(told(&sim), [TTOU]);
    assert_eq!(endings(&sim), [Ending::Ignored]);
    assert!(matches!(stays(&sim), Some(Stays::Rests { .. })));
}

#[test]
fn a_master_without_a_handler_is_not_told_as_the_signal_would_stop_it() {
    let mut sim = site(sized(), 6);
    for _ in 0..60 {
        let looked_at = queue(&sim, 0);
        sim.feed(Input::Queue(looked_at));
        for key in workers(&sim) {
            sim.feed(Input::Figures { key, figures: Figures { idle: Some(true), ..Figures::default() } });
        }
        sim.run(1);
    }
    assert_eq!(told(&sim), []);
    assert_eq!(stays(&sim), Some(Stays::Deaf(Signal(21))));
}

#[test]
fn a_fifo_that_cannot_be_used_makes_orders_that_are_only_told() {
    for (way, orders) in
        [(Way::Open, 4), (Way::OwnAlgorithm, 0), (Way::Fixed, 0), (Way::NoFifo, 0), (Way::ForeignFifo, 0)]
    {
        let mut settings = sized();
        settings.pools[0].matching = super::host::matching("uwsgi*");
        let mut sim = Sim::new(settings, 1000 * MIB);
        let born = sim.now_ns - 900 * SECOND;
        for tgid in 10..17 {
            let who =
                who(tgid, if tgid == 10 { 2 } else { 10 }, "/usr/bin/uwsgi-core", born + u64::from(tgid));
            sim.start(Fake { who, private: 50 * MIB, obeys: true });
        }
        for _ in 0..60 {
            let looked_at = Queue { way, ..queue(&sim, 0) };
            sim.feed(Input::Queue(looked_at));
            for key in workers(&sim) {
                sim.feed(Input::Figures { key, figures: Figures { idle: Some(true), ..Figures::default() } });
            }
            sim.run(1);
        }
        assert_eq!(told(&sim), vec![Order::Fifo(b'-'); orders], "{way:?}");
        assert_eq!(endings(&sim).len(), 4, "{way:?}: what would be done is told");
        assert_eq!(stays(&sim), (way != Way::Open).then_some(Stays::Closed(way)));
    }
}

#[test]
fn a_master_that_starts_anew_begins_anew() {
    let mut sim = site(sized(), 6);
    seconds(&mut sim, 4, 6, 0);
    let (old, born) = (master(&sim), sim.now_ns);
    sim.end(old);
    let mut again = who(10, 2, "/usr/bin/python3.11", born);
    again.args = vec!["gunicorn: master [app]".into()];
    sim.start(Fake { who: again, private: MIB, obeys: true });
    let stale = Queue { master: old, ..queue(&sim, 90) };
    sim.feed(Input::Queue(stale));
    assert!(sim.engine.explain(sim.now_ns, &Query::All).pools.iter().all(|pool| pool.queue.is_none()));
    seconds(&mut sim, 4, 6, 0);
    assert_eq!(told(&sim), [], "four seconds and four are not five");
    seconds(&mut sim, 4, 6, 0);
    assert_eq!(told(&sim), [TTOU]);
}

/// Has a worker pass the soft limit while so many others are idle; gives who was signalled, and what the master was told.
fn recycled(sim: &mut Sim, tgid: u32, idle: usize) -> (Vec<u32>, Vec<Order>) {
    seconds(sim, 2, idle, 0);
    sim.of(tgid).private = 120 * MIB;
    seconds(sim, 2, idle, 0);
    (sim.sent().iter().map(|(tgid, _)| *tgid).collect(), told(sim))
}

fn limited() -> Settings {
    let mut settings = sized();
    settings.pools[0].soft = Some(100 * MIB);
    settings
}

#[test]
fn whom_its_master_would_choose_goes_by_it_and_is_not_replaced_while_others_are_idle() {
    let mut sim = site(limited(), 6);
    assert_eq!(recycled(&mut sim, 11, 6), (vec![], vec![TTOU]), "before five seconds have passed");
    assert!(!sim.lives(11));
    assert_eq!(endings(&sim), [Ending::Returned]);
    let decided = sim.said.iter().find_map(|(_, command)| {
        if let Command::Decided(decision) = command { Some(*decision) } else { None }
    });
    let decided = decided.expect("a decision");
    assert!(
        decided.is_unreplaced() && decided.key.tgid == 11 && decided.rule == "worker_pool",
        "{decided:?}"
    );
    seconds(&mut sim, 3, 5, 0);
    assert_eq!(told(&sim), [TTOU], "what led to it has to last anew for the next step");
}

#[test]
fn another_worker_is_asked_itself_as_its_master_would_end_a_second_one() {
    let mut sim = site(limited(), 6);
    assert_eq!(recycled(&mut sim, 13, 6), (vec![13], vec![]));
    // Nobody is idle: the oldest is needed, and replaced.
    let mut sim = site(limited(), 6);
    assert_eq!(recycled(&mut sim, 11, 1), (vec![11], vec![]));
    // Two that started within a tick: which of them the master takes for the older cannot be told.
    let mut sim = site(limited(), 4);
    let mut twin = sim.of(11).who.clone();
    twin.key = ProcessKey { tgid: 30, start_ns: twin.key.start_ns + 1 };
    sim.start(Fake { who: twin, private: 50 * MIB, obeys: true });
    assert_eq!(recycled(&mut sim, 11, 5), (vec![11], vec![]));
}

#[test]
fn who_does_not_go_by_its_master_is_asked_itself_and_killed_at_last() {
    let mut sim = site(limited(), 6);
    sim.of(10).obeys = false;
    sim.of(11).obeys = false;
    assert_eq!(recycled(&mut sim, 11, 6), (vec![], vec![TTOU]));
    seconds(&mut sim, 12, 6, 0);
    assert_eq!(sim.sent(), [(11, Signal(1)), (11, Signal::KILL)]);
    assert_eq!(told(&sim), [TTOU], "the master is left alone");
    assert!(matches!(stays(&sim), Some(Stays::Rests { .. })));
}

#[test]
fn observing_counts_who_would_go_unreplaced() {
    let mut sim = site(Settings { mode: Mode::Observe, ..limited() }, 6);
    assert_eq!(recycled(&mut sim, 11, 6), (vec![], vec![TTOU]));
    let answer = sim.engine.explain(sim.now_ns, &Query::Pool("pool".into()));
    assert_eq!(answer.pools[0].queue.expect("a queue").spared, 1);
}

#[test]
fn the_end_of_a_recycled_worker_is_not_what_the_master_was_told() {
    let mut sim = site(limited(), 6);
    sim.of(10).obeys = false;
    seconds(&mut sim, 7, 6, 0);
    assert_eq!(told(&sim), [TTOU]);
    sim.of(13).private = 120 * MIB;
    seconds(&mut sim, 20, 6, 0);
    assert!(!sim.lives(13));
    assert_eq!(endings(&sim), [Ending::Returned, Ending::Ignored]);
}

#[test]
fn nobody_goes_while_a_connection_waits_for_one_worker_alone() {
    let per_worker = |most| {
        let mut settings = sized();
        settings.pools[0].size.as_mut().expect("sized").waiting = 4;
        let mut sim = site(settings, 6);
        for _ in 0..10 {
            seconds(&mut sim, 1, 6, most);
            let looked_at = Queue { is_per_worker: true, ..queue(&sim, most) };
            sim.feed(Input::Queue(looked_at));
            sim.tenth();
        }
        told(&sim)
    };
    assert_eq!(per_worker(1), []);
    assert!(per_worker(0).contains(&TTOU));
}

#[test]
fn the_idle_go_first_and_of_them_the_oldest() {
    let mut sim = site(sized(), 6);
    sim.of(14).private = 80 * MIB;
    seconds(&mut sim, 7, 4, 0);
    assert_eq!(sim.ranked[0], [11, 12, 13, 14, 15, 16], "15 and 16 are busy, and 14 holds the most");
}

#[test]
fn a_guarded_master_is_not_told() {
    let mut settings = sized();
    settings.protect.matching = vec![super::host::matching("python*")];
    let mut sim = site(settings, 6);
    seconds(&mut sim, 60, 6, 0);
    assert_eq!(told(&sim), []);
}
