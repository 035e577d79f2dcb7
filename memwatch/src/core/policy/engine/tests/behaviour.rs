//! What the policies do, one by one.

use super::host::{Fake, MIB, SECOND, Sim, endings, matching, pool, settings, warnings, who};
use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Amount, Bounds, Budget, Cause, Command, Ending, FdTableRule, Host, Input, Mode, Pressure, ProcessLimit,
    Protect, Reach, Scope, Settings, Signal, Table, TableAction, TableState, Then, Warning,
};

const HUP: Signal = Signal(1);

#[test]
fn below_the_lower_bound_nothing_happens() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 80 * MIB);
    sim.run(5);
    assert_eq!(sim.sent(), []);
}

#[test]
fn between_the_bounds_the_largest_workers_are_asked_to_leave() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 60 * MIB);
    sim.of(13).private = 200 * MIB;
    sim.of(15).private = 100 * MIB;
    // (761 - 700) / 200 squared, of 8 workers: one.
    sim.other = 1000 * MIB * 76 / 100 - sim.used();
    sim.run(5);
    assert_eq!(sim.sent(), [(13, HUP)]);
    assert_eq!(endings(&sim), [Ending::Returned]);
    assert!(sim.used() < 700 * MIB);
}

#[test]
fn at_the_upper_bound_one_after_the_other_is_killed_until_use_is_below() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 100 * MIB);
    sim.other = 199 * MIB;
    sim.run(1);
    let sent = sim.sent();
    let killed: Vec<_> = sent.iter().filter(|(_, signal)| *signal == Signal::KILL).collect();
    assert_eq!(killed, [&(11, Signal::KILL), &(12, Signal::KILL)], "no more than was needed");
}

#[test]
fn a_signal_goes_out_before_anything_is_asked() {
    let mut settings = settings();
    settings.scopes[0].any_process = true;
    // Nobody was looked at closely when the bound is passed.
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(8, 100 * MIB);
    sim.other = 199 * MIB;
    sim.tenth();
    let place = |is_it: fn(&Command) -> bool| sim.said.iter().position(|(_, command)| is_it(command));
    let first_send = place(|command| matches!(command, Command::Send { .. })).expect("a signal");
    let first_question = place(|command| matches!(command, Command::Measure(_))).expect("a question");
    assert!(first_send < first_question, "{:?}", sim.said);
    assert_eq!(sim.said[first_send].0, sim.said[first_question].0, "both come of one look");
}

#[test]
fn only_bounds_on_the_host_are_left_of_the_host() {
    let mut settings = settings();
    let host = |used: u64| Host { total: 1000 * MIB, available: (1000 - used) * MIB, ..Host::default() };
    let left =
        |settings: &Settings, used| Sim::new(settings.clone(), 1000 * MIB).engine.left_of_host(&host(used));
    assert_eq!(left(&settings, 600), Some(100 * MIB));
    assert_eq!(left(&settings, 700), Some(200 * MIB), "the upper bound");
    assert_eq!(left(&settings, 900), None);
    settings.scopes[0].reach = Reach::Cgroup("/web".into());
    assert_eq!(left(&settings, 600), None, "what the cgroup has is not known by looking at the host");
}

#[test]
fn the_memory_of_a_pool_is_told_with_its_peak_and_growth() {
    let mut sim = Sim::new(settings(), 10_000 * MIB).with_pool(4, 100 * MIB);
    sim.run(1);
    sim.of(12).private = 300 * MIB;
    sim.run(1);
    for _ in 0..60 {
        sim.of(11).private += MIB;
        sim.of(12).private = 100 * MIB;
        sim.run(1);
    }
    let gauges = sim.engine.gauges(sim.now_ns);
    let pool = gauges.pools.first().expect("a pool");
    assert_eq!((pool.workers, pool.memory, pool.peak), (4, 460 * MIB, 300 * MIB));
    let growth = pool.growth.expect("it was seen for a minute");
    assert!((growth - MIB as i64).abs() < MIB as i64 / 10, "{growth}");
    for tgid in 10..15 {
        let key = sim.of(tgid).who.key;
        sim.end(key);
    }
    sim.run(6);
    assert!(sim.engine.gauges(sim.now_ns).pools.is_empty());
}

#[test]
fn the_next_kill_waits_for_the_memory_of_the_last() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 100 * MIB);
    sim.other = 250 * MIB;
    // Killed, but its memory does not come back: another one takes it.
    sim.run(0);
    let before = sim.used();
    sim.now_ns += SECOND;
    sim.feed(Input::Host(crate::core::policy::Host {
        total: sim.total,
        available: sim.total.saturating_sub(before),
        ..Default::default()
    }));
    let first = sim.sent();
    assert_eq!(first.len(), 1, "{first:?}");
    for _ in 0..5 {
        sim.now_ns += SECOND / 10;
        sim.feed(Input::Host(crate::core::policy::Host {
            total: sim.total,
            available: sim.total.saturating_sub(before),
            ..Default::default()
        }));
    }
    assert_eq!(sim.sent(), first, "nothing came back, and two seconds have not passed");
    sim.now_ns += 2 * SECOND;
    sim.feed(Input::Tick);
    assert_eq!(endings(&sim).first(), Some(&Ending::NotReturned));
    assert_eq!(sim.sent().len(), 2);
}

#[test]
fn who_does_not_leave_is_killed_after_the_deadline() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(4, 100 * MIB);
    sim.of(12).obeys = false;
    sim.of(12).private = 300 * MIB;
    sim.other = 150 * MIB;
    sim.run(10);
    assert_eq!(sim.sent(), [(12, HUP), (12, Signal::KILL)]);
}

#[test]
fn who_was_asked_is_killed_at_once_when_use_passes_the_upper_bound() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(4, 100 * MIB);
    sim.of(12).obeys = false;
    sim.of(12).private = 300 * MIB;
    sim.other = 150 * MIB;
    sim.run(1);
    sim.other = 350 * MIB;
    sim.run(1);
    assert_eq!(sim.sent(), [(12, HUP), (12, Signal::KILL)]);
}

#[test]
fn that_nobody_is_left_is_told_once_for_as_long_as_it_goes_on() {
    let mut settings = settings();
    settings.pools.clear();
    let mut sim = Sim::new(settings, 1000 * MIB);
    let told = |sim: &Sim| {
        warnings(sim).iter().filter(|warning| matches!(warning, Warning::NobodyLeft { .. })).count()
    };
    for round in 0..300 {
        // Use falls below the bound now and then, and others come and go.
        sim.other = if round % 7 == 0 { 600 * MIB } else { 950 * MIB };
        sim.start(Fake { who: who(30, 2, "/bin/other", sim.now_ns), private: MIB, obeys: true });
        sim.run(1);
        let key = sim.of(30).who.key;
        sim.end(key);
    }
    assert_eq!(told(&sim), 1);
    sim.other = 600 * MIB;
    sim.run(61);
    sim.other = 950 * MIB;
    sim.run(1);
    assert_eq!(told(&sim), 2, "a minute later it is another one");
}

#[test]
fn a_pool_keeps_its_least_number() {
    let mut settings = settings();
    settings.pools[0].min_alive = 3;
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(4, 100 * MIB);
    sim.other = 900 * MIB;
    sim.run(5);
    assert_eq!(sim.sent().len(), 1);
    assert!(warnings(&sim).iter().any(|warning| matches!(warning, Warning::NobodyLeft { .. })));
}

#[test]
fn the_budget_ends_and_it_is_said_once() {
    let mut settings = settings();
    settings.budget = Budget { kills: 2, window_ns: 60 * SECOND, cool_down_ns: 30 * SECOND };
    settings.pools[0].min_alive = 0;
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(8, 10 * MIB);
    sim.other = 900 * MIB;
    sim.run(20);
    assert_eq!(sim.sent().len(), 2);
    let spent = warnings(&sim).into_iter().filter(|warning| matches!(warning, Warning::BudgetSpent { .. }));
    assert_eq!(spent.count(), 1);
}

#[test]
fn nothing_is_sent_twice_while_observing() {
    let mut settings = settings();
    settings.mode = Mode::Observe;
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(2, 100 * MIB);
    sim.other = 520 * MIB;
    sim.run(20);
    assert_eq!(sim.sent().len(), 1, "one worker would be asked, and rests for a minute");
    assert_eq!(endings(&sim), [Ending::Observed]);
    assert!(sim.lives(11) && sim.lives(12));
}

#[test]
fn a_worker_above_its_soft_limit_is_asked_and_above_its_hard_one_killed() {
    let mut settings = settings();
    settings.pools[0].soft = Some(150 * MIB);
    settings.pools[0].hard = Some(300 * MIB);
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(4, 100 * MIB);
    sim.of(12).private = 200 * MIB;
    sim.of(13).private = 400 * MIB;
    sim.run(5);
    assert_eq!(sim.sent(), [(13, Signal::KILL), (12, HUP)]);
}

#[test]
fn a_pool_recycles_one_at_a_time_with_time_between() {
    let mut settings = settings();
    settings.pools[0].soft = Some(50 * MIB);
    settings.pools[0].at_once = 1;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(5, 100 * MIB);
    for tgid in 11..16 {
        sim.of(tgid).obeys = false;
    }
    sim.run(3);
    assert_eq!(sim.sent().len(), 1, "the first has not left");
}

#[test]
fn a_pool_that_starts_its_victims_again_is_stopped_over() {
    let mut settings = settings();
    settings.pools[0].hard = Some(50 * MIB);
    settings.pools[0].min_alive = 0;
    settings.pools[0].rounds = 3;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(0, 0);
    for tgid in 20..40 {
        let born = sim.now_ns;
        sim.start(Fake { who: who(tgid, 10, "/srv/worker", born), private: 100 * MIB, obeys: true });
        sim.run(1);
    }
    assert_eq!(sim.sent().len(), 3);
    assert!(matches!(warnings(&sim)[..], [Warning::Stopped { rounds: 4, .. }]), "{:?}", warnings(&sim));
}

#[test]
fn a_master_may_be_chosen_when_its_victims_come_back() {
    let mut settings = settings();
    settings.pools[0].hard = Some(50 * MIB);
    settings.pools[0].min_alive = 0;
    settings.pools[0].rounds = 2;
    settings.pools[0].then = Then::Master;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(0, 0);
    for tgid in 20..23 {
        let born = sim.now_ns;
        sim.start(Fake { who: who(tgid, 10, "/srv/worker", born), private: 100 * MIB, obeys: true });
        sim.run(1);
    }
    let kill = Signal::KILL;
    assert_eq!(
        sim.sent(),
        [(20, kill), (21, kill), (10, Signal::TERM), (22, kill)],
        "nobody starts it again now"
    );
}

#[test]
fn the_master_is_no_worker_and_neither_is_a_workers_child() {
    let mut settings = settings();
    settings.pools[0].hard = Some(50 * MIB);
    settings.pools[0].min_alive = 0;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(1, 10 * MIB);
    sim.of(10).private = 400 * MIB;
    let born = sim.now_ns;
    sim.start(Fake { who: who(50, 11, "/srv/worker", born), private: 400 * MIB, obeys: true });
    sim.run(3);
    assert_eq!(sim.sent(), []);
}

#[test]
fn a_scope_of_its_own_is_measured_by_its_own_processes() {
    let mut settings = settings();
    settings.scopes[0] = Scope {
        name: "web".into(),
        reach: Reach::Cgroup("/web".into()),
        memory: Some(1000 * MIB),
        bounds: Some(Bounds {
            lower: Amount::Share(5000),
            upper: Amount::Share(8000),
            exponent: 2.0,
            steps: Vec::new(),
        }),
        any_process: false,
        true_use: false,
    };
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(6, 100 * MIB);
    let mut foreign = who(70, 2, "/srv/worker", 5);
    foreign.cgroup = Some("/other".into());
    sim.start(Fake { who: foreign, private: 5000 * MIB, obeys: true });
    sim.of(14).private = 150 * MIB;
    sim.run(3);
    assert_eq!(sim.sent(), [(14, HUP), (11, HUP)]);
    assert!(sim.lives(70));
}

fn table(tgid: u32, start_ns: u64, touched: u64) -> Input {
    Input::Table(Table {
        key: ProcessKey { tgid, start_ns },
        limit: 1 << 30,
        bytes: 8 << 30,
        touched,
        state: if touched > 0 { TableState::Touched } else { TableState::Mapped },
        confidence: 2,
    })
}

fn table_rule(action: TableAction) -> FdTableRule {
    FdTableRule {
        name: "tables".into(),
        matching: matching("/srv/*"),
        min_bytes: 1 << 30,
        confidence: 1,
        action,
        signal: Signal::TERM,
        deadline_ns: 5 * SECOND,
        rounds: 3,
        then: Then::Stop,
    }
}

#[test]
fn a_table_is_acted_on_when_touched_and_not_before() {
    let mut settings = settings();
    settings.fd_tables = vec![table_rule(TableAction::Touched(64 * MIB))];
    let mut sim = Sim::new(settings, 100_000 * MIB);
    let key = who(10, 2, "/srv/router", 77).key;
    sim.start(Fake { who: who(10, 2, "/srv/router", 77), private: MIB, obeys: false });
    sim.feed(table(10, key.start_ns, 0));
    sim.feed(table(10, key.start_ns, 63 * MIB));
    assert_eq!(sim.sent(), []);
    sim.feed(table(10, key.start_ns, 64 * MIB));
    assert_eq!(sim.sent(), [(10, Signal::TERM)]);
    // It answers with a close sweep of 2^30 descriptors.
    sim.feed(Input::Sweeps(key));
    assert_eq!(sim.sent(), [(10, Signal::TERM), (10, Signal::KILL)]);
}

#[test]
fn a_table_may_only_be_reported() {
    let mut settings = settings();
    settings.fd_tables = vec![table_rule(TableAction::Report)];
    let mut sim = Sim::new(settings, 100_000 * MIB);
    sim.start(Fake { who: who(10, 2, "/srv/router", 77), private: MIB, obeys: true });
    sim.feed(table(10, 77, 4 << 30));
    assert_eq!(sim.sent(), []);
    assert!(matches!(warnings(&sim)[..], [Warning::FdTable { .. }]));
}

#[test]
fn a_limit_goes_down_to_the_kernel_and_its_act_comes_back_as_a_decision() {
    let mut settings = settings();
    settings.process_limits = vec![ProcessLimit {
        name: "hog".into(),
        matching: matching("/srv/hog"),
        bytes: 100 * MIB,
        signal: Signal::KILL,
    }];
    let mut sim = Sim::new(settings, 100_000 * MIB);
    let hog = who(10, 2, "/srv/hog", 77);
    sim.start(Fake { who: hog.clone(), private: MIB, obeys: true });
    let limit = sim
        .said
        .iter()
        .find_map(|(_, command)| if let Command::Limit(limit) = command { Some(*limit) } else { None });
    let limit = limit.expect("a limit for the kernel side");
    assert_eq!((limit.key, limit.bytes, limit.signal), (hog.key, 100 * MIB, Signal::KILL));
    sim.feed(Input::Acted(crate::core::policy::Acted {
        key: hog.key,
        rule: limit.rule,
        bytes: 101 * MIB,
        bound: 100 * MIB,
        done: true,
    }));
    sim.end(hog.key);
    sim.run(1);
    assert_eq!(endings(&sim), [Ending::Returned]);
    assert_eq!(sim.sent(), [], "the kernel side has done it");
}

#[test]
fn pressure_alone_is_no_reason() {
    let mut settings = settings();
    settings.scopes[0].bounds = None;
    settings.pressure =
        Some(Pressure { full: 2000, lasting_ns: SECOND, available_below: Amount::Share(1000) });
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(2, 100 * MIB);
    let press = |sim: &mut Sim, available: u64| {
        for _ in 0..15 {
            sim.now_ns += SECOND / 10;
            sim.feed(Input::Host(crate::core::policy::Host {
                total: 1000 * MIB,
                available,
                full_pressure: Some(5000),
                ..Default::default()
            }));
        }
    };
    press(&mut sim, 500 * MIB);
    assert_eq!(sim.sent(), []);
    press(&mut sim, 50 * MIB);
    assert_eq!(sim.sent(), [(11, HUP)]);
}

#[test]
fn rss_alone_does_not_kill_in_a_scope_that_is_summed() {
    // Ten workers share 90 MiB with their master: RSS sums to ten times as much as there is.
    let mut settings = settings();
    settings.scopes[0].reach = Reach::Cgroup("/web".into());
    settings.scopes[0].memory = Some(500 * MIB);
    settings.pools = vec![pool("/srv/worker")];
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(10, 100 * MIB);
    for tgid in 11..21 {
        sim.of(tgid).private = 10 * MIB;
        let key = sim.of(tgid).who.key;
        sim.feed(Input::Figures {
            key,
            figures: crate::core::policy::Figures { resident: Some(100 * MIB), ..Default::default() },
        });
    }
    sim.feed(Input::Tick);
    sim.feed(Input::Tick);
    assert_eq!(sim.sent(), []);
}

#[test]
fn the_cause_carries_its_numbers() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(4, 100 * MIB);
    sim.other = 350 * MIB;
    sim.run(1);
    let decided = sim.said.iter().find_map(|(_, command)| {
        if let Command::Decided(decision) = command { Some(*decision) } else { None }
    });
    let decision = decided.expect("a decision");
    assert_eq!(decision.rule, "host_bounds");
    assert_eq!(decision.candidates, 4);
    assert!(matches!(decision.cause, Cause::AboveLower { wanted: 1, .. }), "{:?}", decision.cause);
}

#[test]
fn whom_the_actuator_refuses_nobody_else_goes_for() {
    // A hog that left the tree, by the actuator's word, and its small neighbours.
    let mut settings = settings();
    settings.scopes[0].reach = Reach::Cgroup("/web".into());
    settings.scopes[0].memory = Some(500 * MIB);
    settings.scopes[0].any_process = true;
    settings.pools.clear();
    let mut sim = Sim::new(settings, 100_000 * MIB);
    for tgid in 20..24 {
        let born = sim.now_ns - 100 * SECOND;
        sim.start(Fake { who: who(tgid, 2, "/srv/small", born), private: 10 * MIB, obeys: true });
    }
    let born = sim.now_ns - 100 * SECOND;
    sim.start(Fake { who: who(30, 2, "/srv/hog", born), private: 600 * MIB, obeys: true });
    sim.refused.insert(30);
    sim.run(30);
    assert_eq!(sim.sent(), [(30, Signal::KILL)], "it was tried once, and nobody else was");
}

#[test]
fn a_described_pool_asks_who_has_no_handler_last_and_kills_it_then() {
    let mut settings = settings();
    settings.pools[0].soft = Some(150 * MIB);
    settings.pools[0].deadline_ns = SECOND;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(3, 100 * MIB);
    sim.of(12).private = 200 * MIB;
    sim.of(12).obeys = false;
    sim.deaf.insert(12);
    sim.run(5);
    assert_eq!(sim.sent(), [(12, HUP), (12, Signal::KILL)]);
}

#[test]
fn a_master_that_a_pool_needs_is_not_chosen() {
    for (workers, is_chosen) in [(1, false), (2, true)] {
        let mut settings = settings();
        settings.fd_tables =
            vec![FdTableRule { then: Then::Master, ..table_rule(TableAction::Touched(64 * MIB)) }];
        let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(workers, MIB);
        // A worker starts programs that all fill a table.
        for tgid in 20..24 {
            let born = sim.now_ns;
            sim.start(Fake { who: who(tgid, 11, "/srv/router", born), private: MIB, obeys: true });
            sim.feed(table(tgid, born, 64 * MIB));
            sim.run(1);
        }
        assert_eq!(sim.sent().contains(&(11, Signal::TERM)), is_chosen, "of {workers}: {:?}", sim.sent());
        let is_told = warnings(&sim).iter().any(|warning| matches!(warning, Warning::Stopped { .. }));
        assert_eq!(is_told, !is_chosen);
    }
}

#[test]
fn a_master_outside_of_any_pool_is_stopped_over_too() {
    let mut settings = settings();
    settings.process_limits = vec![ProcessLimit {
        name: "hog".into(),
        matching: matching("/srv/hog"),
        bytes: 50 * MIB,
        signal: Signal::KILL,
    }];
    let mut sim = Sim::new(settings, 100_000 * MIB);
    let born = sim.now_ns - 100 * SECOND;
    sim.start(Fake { who: who(10, 2, "/srv/starter", born), private: MIB, obeys: true });
    for tgid in 20..40 {
        let born = sim.now_ns;
        sim.start(Fake { who: who(tgid, 10, "/srv/hog", born), private: 100 * MIB, obeys: true });
        sim.run(1);
    }
    assert_eq!(sim.sent().len(), 5);
    assert!(warnings(&sim).iter().any(|warning| matches!(warning, Warning::Stopped { .. })));
}

#[test]
fn a_kill_takes_the_cgroup_where_the_kernel_s_would_and_it_is_asked_for() {
    for (asked_for, left) in [(true, 0), (false, 3)] {
        let mut settings = settings();
        settings.pools[0].hard = Some(150 * MIB);
        settings.oom_group = asked_for;
        let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(3, 100 * MIB);
        sim.of(12).private = 200 * MIB;
        for fake in sim.processes.values_mut() {
            fake.who.cgroup = Some("/pool".into());
        }
        let all: Vec<_> = sim.processes.values().map(|fake| fake.who.key.tgid).collect();
        sim.as_one.extend(all);
        sim.run(5);
        assert_eq!(sim.processes.len(), left, "{asked_for}: {:?}", sim.said);
    }
}

#[test]
fn a_guarded_process_saves_the_cgroup_it_shares() {
    let spared = |sim: &Sim| {
        warnings(sim)
            .iter()
            .any(|warning| matches!(warning, Warning::CgroupSpared { by: Some(by), .. } if by.tgid == 40))
    };
    let protected = Protect { matching: vec![matching("/srv/backup")] };
    let mut by_group = settings();
    by_group.pools[0].hard = Some(150 * MIB);
    by_group.oom_group = true;
    by_group.protect = protected.clone();
    let mut sim = Sim::new(by_group, 100_000 * MIB).with_pool(3, 100 * MIB);
    sim.start(Fake { who: who(40, 2, "/srv/backup", 7), private: MIB, obeys: true });
    sim.of(12).private = 200 * MIB;
    sim.as_one.extend([10, 11, 12, 13, 40]);
    sim.run(5);
    assert!(sim.lives(40) && sim.lives(11) && !sim.lives(12), "{:?}", sim.said);
    assert_eq!(sim.sent(), [(12, Signal::KILL)], "the victim alone");
    assert!(spared(&sim));

    let mut by_respawn = settings();
    by_respawn.pools[0].hard = Some(150 * MIB);
    by_respawn.pools[0].rounds = 2;
    by_respawn.pools[0].then = Then::Cgroup;
    by_respawn.protect = protected;
    let mut sim = Sim::new(by_respawn, 100_000 * MIB).with_pool(2, 100 * MIB);
    sim.start(Fake { who: who(40, 2, "/srv/backup", 7), private: MIB, obeys: true });
    for tgid in 20..30 {
        let born = sim.now_ns;
        sim.start(Fake { who: who(tgid, 10, "/srv/worker", born), private: 200 * MIB, obeys: true });
        sim.run(3);
    }
    assert!(sim.lives(40) && sim.lives(11), "{:?}", sim.said);
    assert_eq!(sim.sent().len(), 2);
    assert!(spared(&sim) && warnings(&sim).iter().any(|warning| matches!(warning, Warning::Stopped { .. })));
}
