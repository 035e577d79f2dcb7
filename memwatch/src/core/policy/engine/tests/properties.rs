//! What holds whatever happens.

use proptest::prelude::*;

use super::host::{SECOND, Sim};
use super::story::{any_settings, play, step};
use crate::core::fact::ProcessKey;
use crate::core::policy::{Command, Gravity, Mode, Reach, Settings, Signal};

/// Whether nature or the settings guard whoever started under a key.
fn is_guarded(sim: &Sim, settings: &Settings, key: ProcessKey) -> bool {
    let is_protected = !settings.protect.matching.is_empty();
    let by_program = |exe: &str| exe.ends_with("sshd") || (is_protected && exe == "/srv/backup");
    key.tgid <= 1
        || key.tgid == 99
        || key.tgid == 98
        || sim.started.get(&key).is_some_and(|exe| exe.as_deref().is_none_or(by_program))
}

/// Whom a command does something to, here or in the kernel.
fn touched(command: &Command) -> Option<ProcessKey> {
    match command {
        Command::Send { key, .. }
        | Command::Tell { key, .. }
        | Command::KillCgroup { key, .. }
        | Command::StopUnit { key, .. }
        | Command::RunHook { key, .. }
        | Command::Rule { key, .. } => Some(*key),
        Command::Limit(limit) => Some(limit.key),
        // What is taken back does nothing to anybody.
        Command::Unlimit(_)
        | Command::Unrule(_)
        | Command::Measure(_)
        | Command::Audit(_)
        | Command::LookWithin(_)
        | Command::Decided(_)
        | Command::Closed(_)
        | Command::Warn(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_guarded_process_is_never_touched(settings in any_settings(), steps in prop::collection::vec(step(), 1..40)) {
        let sim = play(&settings, &steps);
        for (_, command) in &sim.said {
            let is_spared = touched(command).is_none_or(|key| !is_guarded(&sim, &settings, key));
            prop_assert!(is_spared, "{command:?}");
        }
        for key in &sim.taken {
            prop_assert!(!is_guarded(&sim, &settings, *key), "{key:?} went with its cgroup or unit");
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
        // Counted when a decision about one of its workers was made; rules on single processes hold whatever a pool needs.
        for (alive, gravity, rule) in &sim.alive_at_decision {
            prop_assert!(
                matches!(gravity, Gravity::StopUnit | Gravity::KillCgroup)
                    || ["fd_table", "process_limit"].contains(rule)
                    || *alive > settings.pools[0].min_alive as usize,
                "{alive} were left by {rule}"
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
        sim.tenth();
        // A reading of a cgroup that was asked for is waited for as long.
        sim.now_ns += 60 * SECOND;
        for _ in 0..300 {
            sim.tenth();
        }
        prop_assert_eq!(sim.engine.processes(), 0);
        prop_assert_eq!(sim.engine.open(), 0);
        prop_assert_eq!(sim.engine.masters.len(), 0);
        // A scope's cgroup and the root of its tree are remembered as long as it names them.
        let scopes = |is_it: fn(&Reach) -> bool| settings.scopes.iter().filter(|scope| is_it(&scope.reach)).count();
        let [ids, queues, cgroups, strains, roots] = sim.engine.world.kept();
        prop_assert_eq!((ids, queues), (0, 0));
        prop_assert!(cgroups <= scopes(|reach| matches!(reach, Reach::Cgroup(_))), "{} cgroups", cgroups);
        prop_assert!(strains <= settings.scopes.len(), "{} strains", strains);
        prop_assert!(roots <= scopes(|reach| matches!(reach, Reach::Tree(_))), "{} roots", roots);
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
        prop_assert!(sim.taken.is_empty());
    }
}
