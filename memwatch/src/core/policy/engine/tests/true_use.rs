//! What cgroups truly hold: when it is read, and what follows from it.

use super::host::{Fake, MIB, SECOND, Sim, settings, warnings, who};
use crate::core::policy::explain::Query;
use crate::core::policy::{Amount, Audit, Cause, Command, Holding, Input, Reach, Signal, Warning};

/// A scope of a cgroup with a limit of 1000 MiB, whose four workers have 100 MiB of their own each.
fn indexed(true_use: bool) -> Sim {
    let mut settings = settings();
    settings.scopes[0].reach = Reach::Cgroup("/index".into());
    settings.scopes[0].true_use = true_use;
    settings.audit = Some(Audit {
        every_ns: 600 * SECOND,
        settle_ns: SECOND,
        min_missing: 64 * MIB,
        min_share: Amount::Share(1_000),
    });
    let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(4, 100 * MIB);
    for tgid in 10..15 {
        let mut who = sim.of(tgid).who.clone();
        (who.cgroup, who.cgroup_id) = (Some("/index".into()), Some(7));
        sim.feed(Input::Runs(Box::new(who)));
    }
    // Where they were before has gone.
    sim.feed(Input::Holding { cgroup: "/web".into(), holding: None });
    sim.run(1);
    sim
}

fn holding(used: u64) -> Input {
    let holding = Holding {
        used: used + 10 * MIB,
        used_low: used,
        used_high: used + 20 * MIB,
        charged: 500 * MIB,
        missing: used - 500 * MIB,
        limit: Some(1000 * MIB),
        took_ns: SECOND / 100,
        cpu_ns: SECOND / 1000,
    };
    Input::Holding { cgroup: "/index".into(), holding: Some(holding) }
}

fn asked(sim: &Sim) -> usize {
    let of_index = |number| sim.engine.cgroup(number).is_none_or(|path| path == "/index");
    sim.said
        .iter()
        .filter(|(_, command)| matches!(command, Command::Audit(number) if of_index(*number)))
        .count()
}

#[test]
fn what_a_cgroup_truly_holds_is_held_against_its_limit() {
    let mut sim = indexed(true);
    assert_eq!(asked(&sim), 1, "a scope is read at once");
    sim.feed(holding(690 * MIB));
    sim.run(1);
    assert_eq!(sim.sent(), [], "in doubt less counts, and 700 MiB is the bound");
    sim.feed(holding(950 * MIB));
    let before = asked(&sim);
    sim.run(1);
    assert!(matches!(sim.sent().as_slice(), [(_, Signal::KILL)]), "{:?}", sim.sent());
    let decision = sim.said.iter().find_map(|(_, command)| {
        if let Command::Decided(decision) = command { Some(*decision) } else { None }
    });
    let decision = decision.expect("a decision");
    assert_eq!(decision.cause, Cause::AboveUpper { used: 950 * MIB, upper: 900 * MIB });
    assert_eq!(sim.engine.truly_held(&decision).map(|held| held.charged), Some(500 * MIB));
    sim.run(3);
    assert_eq!(sim.sent().len(), 1, "nobody else goes before it is known what came back");
    assert!(asked(&sim) > before, "which is asked");
}

#[test]
fn its_charge_alone_would_not_have_reached_it() {
    let mut sim = indexed(false);
    sim.feed(holding(950 * MIB));
    sim.run(10);
    assert_eq!(sim.sent(), []);
    let told: Vec<_> = warnings(&sim);
    let [Warning::UnderCharged { cgroup, missing, limit, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!((sim.engine.cgroup(cgroup), missing, limit), (Some("/index"), 450 * MIB, Some(1000 * MIB)));
}

#[test]
fn a_figure_that_is_old_stands_for_nothing() {
    let mut sim = indexed(true);
    sim.feed(holding(690 * MIB));
    sim.run(70);
    sim.feed(Input::Holding { cgroup: "/index".into(), holding: None });
    sim.run(1);
    assert_eq!(sim.sent(), [], "the shares of its processes are 400 MiB");
    assert_eq!(sim.engine.explain(sim.now_ns, &Query::All).scopes[0].memory, Some(100_000 * MIB));
}

#[test]
fn new_cgroups_do_not_wait_for_as_long_as_known_ones_do() {
    let mut sim = indexed(false);
    let of_others = |sim: &Sim| {
        let is_other = |number| sim.engine.cgroup(number).is_some_and(|path| path.starts_with("/new"));
        let asked = sim.said.iter().filter_map(|(_, command)| {
            if let Command::Audit(number) = command {
                Some(*number).filter(|number| is_other(*number))
            } else {
                None
            }
        });
        asked.into_iter().next_back().and_then(|number| sim.engine.cgroup(number)).map(str::to_owned)
    };
    for tgid in 100..150 {
        let born = sim.now_ns;
        let mut who = who(tgid, 2, "/srv/other", born);
        (who.cgroup, who.cgroup_id) = (Some(format!("/new/{tgid}")), Some(u64::from(tgid)));
        sim.start(Fake { who, private: MIB, obeys: true });
    }
    // Each takes 20 ms to read.
    let holding = Holding { used: MIB, charged: MIB, cpu_ns: SECOND / 50, ..Holding::default() };
    let mut read = std::collections::BTreeSet::new();
    for _ in 0..120 {
        sim.run(1);
        if let Some(path) = of_others(&sim)
            && read.insert(path.clone())
        {
            sim.feed(Input::Holding { cgroup: path, holding: Some(holding) });
        }
    }
    assert_eq!(read.len(), 50, "{read:?}");
    let before = sim.said.len();
    sim.run(15);
    let again = sim.said[before..].iter().filter(|(_, command)| matches!(command, Command::Audit(_)));
    assert_eq!(again.count(), 0, "none again before its time");
}

#[test]
fn a_cgroup_made_anew_is_read_again() {
    let mut sim = indexed(false);
    sim.run(3);
    assert_eq!(asked(&sim), 1);
    sim.feed(holding(950 * MIB));
    sim.run(100);
    assert_eq!(asked(&sim), 1, "not again for ten minutes");
    let mut who = sim.of(12).who.clone();
    (who.cgroup, who.cgroup_id) = (Some("/index".into()), Some(8));
    sim.feed(Input::Runs(Box::new(who)));
    sim.run(5);
    assert_eq!(asked(&sim), 2);
    sim.feed(holding(950 * MIB));
    assert_eq!(warnings(&sim).len(), 2, "and told again");
}
