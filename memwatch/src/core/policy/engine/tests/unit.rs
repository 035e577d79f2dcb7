//! Units that are stopped for what their masters start again and again.

use super::host::{Fake, MIB, Sim, matching, settings, warnings, who};
use crate::core::policy::{Command, Gravity, Protect, Settings, Signal, Then, Warning};

const UNIT: &str = "app.service";

/// A master whose workers are all too large, in a unit.
fn play(settings: Settings, obeys: bool, unit: Option<&str>) -> Sim {
    let mut sim = Sim::new(settings, 100_000 * MIB);
    let first = |tgid, parent, exe: &str, born_ns| {
        let mut who = who(tgid, parent, exe, born_ns);
        who.cgroup = Some("/system.slice/app.service/inner".into());
        who.unit = unit.map(Into::into);
        who
    };
    let master = first(10, 2, "/srv/worker", 7);
    let beside = first(40, 2, "/srv/backup", 8);
    sim.start(Fake { who: master, private: MIB, obeys: true });
    sim.start(Fake { who: beside, private: MIB, obeys: true });
    sim.as_one.extend(1..100);
    for tgid in 20..24 {
        let worker = first(tgid, 10, "/srv/worker", sim.now_ns);
        sim.start(Fake { who: worker, private: 200 * MIB, obeys });
        sim.run(3);
    }
    sim.run(30);
    sim
}

fn rule() -> Settings {
    let mut settings = settings();
    settings.pools[0].hard = Some(150 * MIB);
    settings.pools[0].min_alive = 0;
    settings.pools[0].rounds = 2;
    settings.pools[0].then = Then::Unit;
    settings
}

fn gravities(sim: &Sim) -> Vec<Gravity> {
    let decided = sim.said.iter().filter_map(|(_, command)| {
        if let Command::Decided(decision) = command { Some(decision.gravity) } else { None }
    });
    decided.collect()
}

fn is_stopped_over(sim: &Sim) -> bool {
    warnings(sim).iter().any(|warning| matches!(warning, Warning::Stopped { .. }))
}

#[test]
fn the_unit_is_stopped_for_its_victims() {
    let sim = play(rule(), true, Some(UNIT));
    assert_eq!(gravities(&sim)[..3], [Gravity::Kill, Gravity::Kill, Gravity::StopUnit]);
    assert!(!sim.lives(10) && !sim.lives(40), "all of the unit have gone: {:?}", sim.said);
    assert!(!is_stopped_over(&sim));
}

#[test]
fn a_unit_that_does_not_stop_in_time_is_killed_as_its_cgroup() {
    let sim = play(rule(), false, Some(UNIT));
    assert!(gravities(&sim).contains(&Gravity::StopUnit));
    let is_killed = sim.said.iter().any(|(_, command)| matches!(command, Command::KillCgroup { .. }));
    assert!(is_killed && !sim.lives(10), "{:?}", sim.said);
}

#[test]
fn nothing_is_stopped_where_one_is_protected_or_there_is_no_unit() {
    let protected = Settings { protect: Protect { matching: vec![matching("/srv/backup")] }, ..rule() };
    for (settings, unit) in [(protected, Some(UNIT)), (rule(), None), (rule(), Some("app.slice"))] {
        let sim = play(settings, true, unit);
        assert!(!gravities(&sim).contains(&Gravity::StopUnit));
        assert_eq!(sim.sent().iter().filter(|(_, signal)| *signal == Signal::KILL).count(), 2);
        assert!(sim.lives(10) && sim.lives(40) && is_stopped_over(&sim), "{unit:?}: {:?}", sim.said);
    }
}
