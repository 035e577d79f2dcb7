//! What the kernel side is told to do by itself, and when it is not to do so any more.

use super::host::{Fake, MIB, SECOND, Sim, matching, settings, who};
use crate::core::policy::{
    Command, FdTableRule, Input, Outbox, ProcessLimit, Settings, Signal, TableAction, Then, Who,
};

/// What the kernel side would do about a process if it had heard these commands: the signal of its limit and the number of its
/// rule.
fn orders(sim: &Sim, tgid: u32) -> (Option<Signal>, Option<usize>) {
    sim.said.iter().fold((None, None), |(limit, ruled), (_, command)| match command {
        Command::Limit(new) if new.key.tgid == tgid => (Some(new.signal), ruled),
        Command::Unlimit(key) if key.tgid == tgid => (None, ruled),
        Command::Rule { key, rule } if key.tgid == tgid => (limit, Some(*rule)),
        Command::Unrule(key) if key.tgid == tgid => (limit, None),
        _ => (limit, ruled),
    })
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
    settings
}

const ARMED: (Option<Signal>, Option<usize>) = (Some(Signal::KILL), Some(0));
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
