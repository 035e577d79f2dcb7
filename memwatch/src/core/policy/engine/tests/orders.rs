//! What the kernel side is told to do by itself, and when it is not to do so any more.

use super::host::{Fake, MIB, SECOND, Sim, endings, matching, settings, who};
use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Acted, Budget, Command, Ending, FdTableRule, Gravity, Input, Outbox, ProcessLimit, Settings, Signal,
    Table, TableAction, TableState, Then, Warning, Who,
};

/// What the kernel side would do about a process if it had heard these commands: the signal of its limit and the number of its
/// rule.
fn orders(sim: &Sim, tgid: u32) -> (Option<Signal>, Option<usize>) {
    let (mut limit, mut ruled) = (None, None);
    for (_, command) in &sim.said {
        if let Command::Limit(new) = command
            && new.key.tgid == tgid
        {
            limit = Some(new.signal);
        } else if let Command::Rule { key, rule } = command
            && key.tgid == tgid
        {
            ruled = Some(*rule);
        } else if matches!(command, Command::Unlimit(key) if key.tgid == tgid) {
            limit = None;
        } else if matches!(command, Command::Unrule(key) if key.tgid == tgid) {
            ruled = None;
        }
    }
    (limit, ruled)
}

fn ordered() -> Settings {
    let mut settings = settings();
    settings.process_limits = vec![ProcessLimit {
        name: "hog".into(),
        matching: matching("/srv/worker"),
        bytes: 100 * MIB,
        signal: Signal::KILL,
    }];
    settings.fd_tables = vec![FdTableRule {
        name: "tables".into(),
        matching: matching("/srv/worker"),
        min_bytes: 1 << 30,
        confidence: 1,
        action: TableAction::Mapped,
        signal: Signal::KILL,
        deadline_ns: 5 * SECOND,
        rounds: 3,
        then: Then::Stop,
    }];
    settings.pools[0].rounds = 3;
    settings
}

const ARMED: (Option<Signal>, Option<usize>) = (Some(Signal::KILL), Some(0));
const DISARMED: (Option<Signal>, Option<usize>) = (Some(Signal(0)), None);

fn start(sim: &mut Sim, tgid: u32) -> Who {
    let who = who(tgid, 10, "/srv/worker", sim.now_ns);
    sim.start(Fake { who: who.clone(), private: MIB, obeys: true });
    who
}

/// The kernel side acts on a process, which ends.
fn acted(sim: &mut Sim, key: ProcessKey) {
    let limit = sim.said.iter().rev().find_map(|(_, command)| {
        if let Command::Limit(limit) = command { (limit.key == key).then_some(limit.rule) } else { None }
    });
    let rule = limit.expect("a limit");
    sim.feed(Input::Acted(Acted { key, rule, bytes: 101 * MIB, bound: 100 * MIB, done: true }));
    sim.end(key);
}

fn warned(sim: &Sim, is_it: impl Fn(&Warning) -> bool) -> usize {
    sim.said.iter().filter(|(_, command)| matches!(command, Command::Warn(warning) if is_it(warning))).count()
}

#[test]
fn another_program_has_no_orders_of_the_one_before() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(1, MIB);
    assert_eq!(orders(&sim, 11), ARMED);
    let mut other = sim.of(11).who.clone();
    other.exe = Some("/usr/bin/psql".into());
    sim.feed(Input::Runs(Box::new(other.clone())));
    assert_eq!(orders(&sim, 11), (None, None));
    let said = sim.said.len();
    other.exe = Some("/srv/worker".into());
    sim.feed(Input::Runs(Box::new(other)));
    assert_eq!(orders(&sim, 11), ARMED);
    assert_eq!(sim.said.len() - said, 2, "nothing has to be taken back");
}

#[test]
fn what_a_fork_handed_down_is_taken_back_from_who_is_not_concerned() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(1, MIB);
    let child = Who { exe: Some("/usr/bin/other".into()), ..who(30, 11, "/usr/bin/other", sim.now_ns) };
    sim.start(Fake { who: child, private: MIB, obeys: true });
    assert!(sim.said.iter().any(|(_, command)| matches!(command, Command::Unrule(key) if key.tgid == 30)));
}

#[test]
fn new_settings_order_anew_what_they_ask_for_and_nothing_else() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(1, MIB);
    let mut out = Outbox::default();
    sim.engine.change(settings(), &mut out);
    let is_order = |command: &Command| matches!(command, Command::Limit(_) | Command::Rule { .. });
    assert!(!out.commands.iter().any(is_order), "{:?}", out.commands);
    sim.engine.change(ordered(), &mut out);
    assert_eq!(out.commands.iter().filter(|command| is_order(command)).count(), 4, "of the master too");
}

#[test]
fn whom_the_actuator_refuses_the_kernel_side_leaves_alone_as_well() {
    let mut settings = ordered();
    settings.pools[0].hard = Some(50 * MIB);
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(2, MIB);
    sim.refused.insert(12);
    sim.of(12).private = 60 * MIB;
    sim.run(1);
    assert_eq!(orders(&sim, 12), (None, None));
    assert_eq!(orders(&sim, 11), ARMED);
}

#[test]
fn who_starts_again_what_the_kernel_side_kills_is_stopped_over() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(0, 0);
    let bystander = who(40, 2, "/srv/worker", 5);
    sim.start(Fake { who: bystander, private: MIB, obeys: true });
    for tgid in 20..23 {
        let worker = start(&mut sim, tgid);
        assert_eq!(orders(&sim, tgid), ARMED);
        acted(&mut sim, worker.key);
        sim.run(1);
    }
    assert_eq!(warned(&sim, |warning| matches!(warning, Warning::Stopped { rounds: 3, .. })), 1);
    start(&mut sim, 23);
    assert_eq!(orders(&sim, 23), DISARMED);
    assert_eq!(orders(&sim, 10).1, None, "a fork would hand the rule down");
    assert_eq!(orders(&sim, 40), ARMED, "another's child");
    // Neither is it killed by the second line.
    sim.of(23).private = 200 * MIB;
    sim.run(5);
    assert_eq!(sim.sent(), []);
}

/// The kernel side tells of a table before it tells that it acted on it.
#[test]
fn a_table_that_the_kernel_side_acted_on_is_decided_on_once() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(0, 0);
    let bytes = 8 << 30;
    for tgid in 20..23 {
        assert_eq!(warned(&sim, |_| true), 0, "before {tgid}");
        let key = start(&mut sim, tgid).key;
        let (limit, state) = (1 << 30, TableState::Signalled);
        sim.feed(Input::Table(Table { key, limit, bytes, touched: 0, state, confidence: 2 }));
        sim.feed(Input::Acted(Acted { key, rule: 0, bytes, bound: 1 << 30, done: true }));
        sim.end(key);
        sim.run(1);
    }
    assert_eq!(sim.sent(), []);
    assert_eq!(endings(&sim), [Ending::Returned; 3]);
    assert_eq!(warned(&sim, |warning| matches!(warning, Warning::Stopped { rounds: 3, .. })), 1);
}

#[test]
fn victims_of_the_kernel_side_that_lived_long_are_no_row() {
    let mut sim = Sim::new(ordered(), 100_000 * MIB).with_pool(0, 0);
    for tgid in 20..30 {
        let worker = start(&mut sim, tgid);
        sim.run(60);
        acted(&mut sim, worker.key);
    }
    assert_eq!(warned(&sim, |warning| matches!(warning, Warning::Stopped { .. })), 0);
}

#[test]
fn what_the_kernel_side_kills_is_of_the_budget() {
    let mut settings = ordered();
    settings.pools[0].rounds = 100;
    settings.budget = Budget { kills: 2, window_ns: 60 * SECOND, cool_down_ns: 30 * SECOND };
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(4, MIB);
    for tgid in [11, 12] {
        let key = sim.of(tgid).who.key;
        acted(&mut sim, key);
    }
    assert_eq!(warned(&sim, |warning| matches!(warning, Warning::BudgetSpent { kills: 2, .. })), 1);
    assert_eq!((orders(&sim, 13), orders(&sim, 14)), (DISARMED, DISARMED));
    start(&mut sim, 20);
    assert_eq!(orders(&sim, 20), DISARMED);
    sim.run(31);
    assert_eq!((orders(&sim, 13), orders(&sim, 20)), (ARMED, ARMED), "the cool-down is over");
}

#[test]
fn two_acts_on_one_process_are_one_kill() {
    let mut settings = ordered();
    settings.budget.kills = 3;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(4, MIB);
    let key = sim.of(11).who.key;
    for _ in 0..5 {
        sim.feed(Input::Acted(Acted { key, rule: 0, bytes: 8 << 30, bound: 1 << 30, done: true }));
    }
    assert_eq!(warned(&sim, |_| true), 0);
}

#[test]
fn a_cgroup_goes_only_if_the_budget_has_a_kill_for_it() {
    for (kills, is_killed) in [(3, false), (4, true)] {
        let mut settings = ordered();
        settings.pools[0].then = Then::Cgroup;
        settings.budget = Budget { kills, window_ns: 60 * SECOND, cool_down_ns: 30 * SECOND };
        let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(0, 0);
        for tgid in 20..23 {
            let worker = start(&mut sim, tgid);
            acted(&mut sim, worker.key);
            sim.run(1);
        }
        let decided = sim.said.iter().filter(|(_, command)| {
            matches!(command, Command::Decided(decision) if decision.gravity == Gravity::KillCgroup)
        });
        assert_eq!(decided.count() == 1, is_killed, "of {kills} kills");
        assert_eq!(sim.lives(10), !is_killed);
    }
}

#[test]
fn who_was_refused_a_mapping_is_left_alone() {
    let mut settings = ordered();
    settings.fd_tables[0].action = TableAction::Refuse;
    settings.fd_tables[0].signal = Signal::TERM;
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(2, MIB);
    let key = sim.of(11).who.key;
    sim.feed(Input::Acted(Acted { key, rule: 0, bytes: 8 << 30, bound: 1 << 30, done: true }));
    sim.run(30);
    assert_eq!(sim.sent(), []);
    let ending = sim.said.iter().find_map(|(_, command)| {
        if let Command::Closed(closing) = command { Some((closing.ending, closing.was_killed)) } else { None }
    });
    assert_eq!(ending, Some((Ending::Refused, false)));
}
