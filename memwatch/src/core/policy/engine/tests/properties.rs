//! What holds whatever happens.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::host::{Fake, MIB, SECOND, Sim, settings, who};
use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Amount, Audit, Budget, Command, Gravity, Holding, Input, Mode, Reach, Settings, Signal, Then,
};

/// One thing that happens on the host.
#[derive(Clone, Debug)]
enum Step {
    Start { tgid: u32, parent: u32, exe: usize, mib: u64, obeys: bool },
    End { tgid: u32 },
    Grow { tgid: u32, mib: u64 },
    Other { mib: u64 },
    Holds { mib: Option<u64> },
    Time { tenths: u64 },
}

const EXES: [&str; 5] = ["/srv/worker", "/srv/worker", "/usr/sbin/sshd", "/usr/bin/other", ""];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (2..30_u32, 1..30_u32, 0..EXES.len(), 0..300_u64, any::<bool>())
            .prop_map(|(tgid, parent, exe, mib, obeys)| Step::Start { tgid, parent, exe, mib, obeys }),
        (1..30_u32).prop_map(|tgid| Step::End { tgid }),
        (1..30_u32, 0..400_u64).prop_map(|(tgid, mib)| Step::Grow { tgid, mib }),
        (0..900_u64).prop_map(|mib| Step::Other { mib }),
        prop::option::of(0..1200_u64).prop_map(|mib| Step::Holds { mib }),
        (1..8_u64).prop_map(|tenths| Step::Time { tenths }),
    ]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (0..4_u32, 1..5_u32, any::<bool>(), 0..3_u8, 1..4_u32, 50..400_u64, any::<bool>()).prop_map(
        |(min_alive, kills, any_process, then, rounds, hard, true_use)| {
            let mut settings = settings();
            if true_use {
                settings.scopes[0].reach = Reach::Cgroup("/web".into());
                settings.scopes[0].true_use = true;
                let (min_missing, min_share) = (64 * MIB, Amount::Share(1_000));
                settings.audit = Some(Audit { every_ns: SECOND, settle_ns: SECOND, min_missing, min_share });
            }
            settings.scopes[0].any_process = any_process;
            settings.budget = Budget { kills, window_ns: 20 * SECOND, cool_down_ns: 10 * SECOND };
            let pool = &mut settings.pools[0];
            pool.min_alive = min_alive;
            pool.soft = Some(hard / 2 * MIB);
            pool.hard = Some(hard * MIB);
            pool.rounds = rounds;
            pool.then = [Then::Stop, Then::Master, Then::Stop][usize::from(then)];
            settings
        },
    )
}

fn play(settings: &Settings, steps: &[Step]) -> Sim {
    let mut sim = Sim::new(settings.clone(), 1000 * MIB);
    let mut init = who(1, 0, "/sbin/init", 1);
    init.cgroup = Some("/".into());
    sim.start(Fake { who: init, private: 10 * MIB, obeys: true });
    sim.start(Fake { who: who(99, 98, "/usr/bin/memwatch", 2), private: 10 * MIB, obeys: true });
    sim.start(Fake { who: who(98, 1, "/usr/bin/supervisor", 2), private: 10 * MIB, obeys: true });
    for step in steps {
        match *step {
            Step::Start { tgid, parent, exe, mib, obeys } => {
                if let Some(key) = sim.processes.keys().find(|key| key.tgid == tgid).copied() {
                    sim.end(key);
                }
                let mut who = who(tgid, parent, EXES[exe], sim.now_ns);
                if EXES[exe].is_empty() {
                    who.exe = None;
                }
                sim.start(Fake { who, private: mib * MIB, obeys });
            }
            Step::End { tgid } => {
                if let Some(key) = sim.processes.keys().find(|key| key.tgid == tgid).copied() {
                    sim.end(key);
                }
            }
            Step::Grow { tgid, mib } => {
                if let Some(fake) = sim.processes.values_mut().find(|fake| fake.who.key.tgid == tgid) {
                    fake.private = mib * MIB;
                }
            }
            Step::Other { mib } => sim.other = mib * MIB,
            Step::Holds { mib } => {
                let holding = mib.map(|mib| Holding {
                    used: mib * MIB,
                    used_low: mib * MIB,
                    used_high: mib * MIB,
                    limit: Some(1000 * MIB),
                    ..Holding::default()
                });
                // An act may follow: whoever starts under the same id later starts at another time.
                sim.now_ns += SECOND / 100;
                sim.feed(Input::Holding { cgroup: "/web".into(), holding });
            }
            Step::Time { tenths } => {
                for _ in 0..tenths {
                    sim.tenth();
                }
            }
        }
    }
    sim
}

/// Who is guarded by what was started under a key.
fn is_guarded(sim_who: &BTreeMap<ProcessKey, Option<String>>, key: ProcessKey) -> bool {
    key.tgid <= 1
        || key.tgid == 99
        || key.tgid == 98
        || sim_who.get(&key).is_some_and(|exe| exe.as_deref().is_none_or(|exe| exe.ends_with("sshd")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_guarded_process_is_never_signalled(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let sim = play(&settings, &steps);
        for (_, command) in &sim.said {
            if let Command::Send { key, .. } | Command::KillCgroup { key, .. } = command {
                prop_assert!(!is_guarded(&sim.started, *key), "{command:?}");
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_commands(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let (one, two) = (play(&settings, &steps), play(&settings, &steps));
        prop_assert_eq!(one.said, two.said);
    }

    #[test]
    fn the_budget_is_never_exceeded(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let sim = play(&settings, &steps);
        let kills: Vec<u64> = sim.said.iter().filter_map(|(time, command)| if let Command::Send { signal: Signal::KILL, .. } | Command::KillCgroup { .. } = command { Some(*time) } else { None }).collect();
        for (place, first) in kills.iter().enumerate() {
            let window = kills[place..].iter().take_while(|time| **time - first < settings.budget.window_ns);
            prop_assert!(window.count() <= settings.budget.kills as usize, "{kills:?}");
        }
    }

    #[test]
    fn a_pool_is_never_left_with_too_few(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let sim = play(&settings, &steps);
        // Counted when a decision about one of its workers was made.
        for (alive, gravity) in &sim.alive_at_decision {
            prop_assert!(
                *gravity == Gravity::KillCgroup || *alive > settings.pools[0].min_alive as usize,
                "{alive} were left"
            );
        }
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let mut sim = play(&settings, &steps);
        let all: Vec<_> = sim.processes.keys().copied().collect();
        for key in all {
            sim.end(key);
        }
        sim.other = 0;
        for _ in 0..200 {
            sim.tenth();
        }
        prop_assert_eq!(sim.engine.processes(), 0);
        prop_assert_eq!(sim.engine.open(), 0);
    }

    #[test]
    fn observing_changes_nothing(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let settings = Settings { mode: Mode::Observe, ..settings };
        let sim = play(&settings, &steps);
        let is_handed_down = sim.said.iter().any(|(_, command)| matches!(command, Command::Rule { .. }));
        prop_assert!(!is_handed_down, "a rule went down to the kernel");
        let limits = sim.said.iter().filter_map(|(_, command)| if let Command::Limit(limit) = command { Some(limit.signal) } else { None });
        let mut limits = limits;
        prop_assert!(limits.all(|signal| signal == Signal(0)));
    }
}
