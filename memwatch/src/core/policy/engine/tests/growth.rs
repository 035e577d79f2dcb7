//! What is foretold, and strain.

use super::host::{MIB, SECOND, Sim, settings, warnings};
use crate::core::policy::world::PoolId;
use crate::core::policy::{Grows, Growth, Input, Reach, Strain, Thrash, Warning};

#[test]
fn growth_is_told_before_the_bound_is_reached_and_the_forecast_is_checked() {
    let mut settings = settings();
    settings.growth =
        Some(Growth { warn_within_ns: 20 * SECOND, recycle_within_ns: 0, window_ns: 10 * SECOND });
    settings.pools[0].min_alive = 100;
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(1, 100 * MIB);
    for _ in 0..90 {
        sim.other += 10 * MIB;
        sim.run(1);
    }
    let all = warnings(&sim);
    let growing = all.iter().find_map(|warning| {
        if let Warning::Growing { reached_in_ns, .. } = warning { Some(*reached_in_ns) } else { None }
    });
    let near = growing.expect("a warning");
    assert!((15 * SECOND..=20 * SECOND).contains(&near), "{near}");
    let error = all.iter().find_map(|warning| {
        if let Warning::Forecast { foretold_ns, reached_ns: Some(reached) } = warning {
            Some(foretold_ns.abs_diff(*reached))
        } else {
            None
        }
    });
    assert!(error.expect("a check") < 3 * SECOND, "{error:?}");
}

#[test]
fn a_pool_that_grows_towards_its_total_is_told_and_recycled_before_it_gets_there() {
    for (recycle_within_ns, left) in [(0, 3), (8 * SECOND, 2)] {
        let mut settings = settings();
        settings.growth =
            Some(Growth { warn_within_ns: 20 * SECOND, recycle_within_ns, window_ns: 10 * SECOND });
        settings.pools[0].total = Some(600 * MIB);
        let mut sim = Sim::new(settings, 100_000 * MIB).with_pool(3, 100 * MIB);
        for _ in 0..28 {
            if sim.lives(12) {
                sim.of(12).private += 10 * MIB;
            }
            sim.run(1);
        }
        let growing = warnings(&sim).into_iter().find_map(|warning| {
            if let Warning::Growing { grows: Grows::Pool { entry, master }, limit, reached_in_ns, .. } =
                warning
            {
                Some((entry, master.tgid, limit, reached_in_ns / SECOND))
            } else {
                None
            }
        });
        assert!(matches!(growing, Some((Some(0), 10, limit, 15..=20)) if limit == 600 * MIB), "{growing:?}");
        assert_eq!(sim.engine.world.workers(PoolId { entry: Some(0), master: 10 }).count(), left);
        let rules: Vec<_> = sim.alive_at_decision.iter().map(|(_, _, rule)| *rule).collect();
        assert_eq!(rules, vec!["pool_growth"; 3 - left], "not by its total");
    }
}

#[test]
fn use_that_lies_at_the_bound_is_told_once_a_window() {
    let mut settings = settings();
    settings.scopes[0].any_process = false;
    settings.growth =
        Some(Growth { warn_within_ns: 600 * SECOND, recycle_within_ns: 0, window_ns: 20 * SECOND });
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(1, MIB);
    let mut count = 0;
    for tenth in 0..1_000_u64 {
        sim.other = 850 * MIB + tenth % 100 * MIB / 2 + tenth / 20 * MIB / 2;
        sim.tenth();
        count = warnings(&sim).iter().filter(|it| matches!(it, Warning::Growing { .. })).count();
    }
    assert!((1..=6).contains(&count), "{count} in 100 s");
}

#[test]
fn thrash_of_a_scope_is_told_once_and_nothing_is_done() {
    let mut settings = settings();
    settings.scopes[0].reach = Reach::Cgroup("/index".into());
    settings.scopes[0].memory = Some(1000 * MIB);
    settings.thrash = Some(Thrash { refaults: 1_000, stalled: 500, window_ns: 4 * SECOND });
    let mut sim = Sim::new(settings, 10_000 * MIB).with_pool(4, MIB);
    for second in 0..20 {
        for (cgroup, refaults) in [("/index", 5_000), ("/other", 50_000)] {
            let stalled_ns = Some(second * SECOND / 5);
            let strain = Strain { refaults: second * refaults, stalled_ns, ..Strain::default() };
            sim.feed(Input::Strain { cgroup: Some(cgroup.into()), strain });
        }
        sim.run(1);
    }
    let told = Warning::Thrashing {
        scope: 0,
        refaults: 5_000,
        major_faults: 0,
        reclaimed: None,
        stalled: Some(2_000),
    };
    assert_eq!(warnings(&sim), [told]);
    assert!(sim.alive_at_decision.is_empty(), "nobody is chosen");
}
