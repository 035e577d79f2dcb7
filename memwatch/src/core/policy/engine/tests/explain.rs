//! What the engine says when it is asked who would go.

use super::host::{Fake, MIB, SECOND, Sim, settings, who};
use crate::core::policy::Standing;
use crate::core::policy::explain::{Demand, Explanation, Obstacle, Query};

fn ask(sim: &Sim, query: &Query) -> Explanation {
    sim.engine.explain(sim.now_ns, query)
}

/// Process ids that would go now, over all scopes.
fn going(explanation: &Explanation) -> Vec<u32> {
    let all = explanation.scopes.iter().flat_map(|scope| &scope.candidates);
    all.filter(|candidate| candidate.goes).map(|candidate| candidate.who.key.tgid).collect()
}

#[test]
fn who_would_go_is_who_goes() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 60 * MIB);
    sim.of(13).private = 200 * MIB;
    sim.run(1);
    assert_eq!(sim.sent(), []);
    let quiet = ask(&sim, &Query::All);
    assert_eq!((quiet.scopes[0].demand, going(&quiet)), (Demand::Nothing, vec![]));
    assert_eq!(quiet.scopes[0].candidates[0].who.key.tgid, 13, "the largest is first");
    // The figures are in, the host is not looked at yet.
    sim.other = 1000 * MIB * 76 / 100 - sim.used();
    let before = sim.said.len();
    let host = crate::core::policy::Host {
        total: sim.total,
        available: sim.total - sim.used(),
        ..Default::default()
    };
    sim.engine.world.host = Some(host);
    let asked = ask(&sim, &Query::All);
    assert_eq!((asked.scopes[0].demand, going(&asked)), (Demand::Recycle(1), vec![13]));
    assert_eq!(sim.said.len(), before, "asking does nothing");
    sim.run(1);
    assert_eq!(sim.sent().first().map(|(tgid, _)| *tgid), Some(13), "and so it comes");
}

#[test]
fn why_somebody_does_not_go() {
    let mut settings = settings();
    settings.pools[0].min_alive = 3;
    settings.pools[0].min_lifetime_ns = 60 * SECOND;
    let mut sim = Sim::new(settings, 1000 * MIB).with_pool(3, 60 * MIB);
    sim.start(Fake { who: who(20, 2, "/usr/sbin/sshd", 5), private: MIB, obeys: true });
    sim.start(Fake { who: who(21, 2, "/bin/other", 5), private: MIB, obeys: true });
    sim.run(1);
    let why = |sim: &Sim, tgid| {
        let answer = ask(sim, &Query::Process(tgid));
        let ranked = answer.scopes.iter().flat_map(|scope| &scope.candidates);
        let ranked = ranked.map(|candidate| candidate.obstacle);
        let refused = answer.refused.iter().map(|refused| Some(refused.obstacle));
        ranked.chain(refused).collect::<Vec<_>>()
    };
    assert_eq!(why(&sim, 11), [Some(Obstacle::Needed { alive: 3, leaving: 0, min_alive: 3 })]);
    assert_eq!(why(&sim, 10), [Some(Obstacle::Master)]);
    assert!(matches!(why(&sim, 20)[..], [Some(Obstacle::Guarded { program: Some("the way in"), .. })]));
    assert_eq!(why(&sim, 21), [Some(Obstacle::NoWorker)]);
    assert_eq!(why(&sim, 999), []);
    sim.start(Fake { who: who(14, 10, "/srv/worker", sim.now_ns), private: MIB, obeys: true });
    assert!(matches!(why(&sim, 14)[..], [Some(Obstacle::Young { min_lifetime_ns: 60_000_000_000, .. })]));
    assert_eq!(why(&sim, 11), [None]);
}

#[test]
fn what_is_under_way_is_told() {
    let mut sim = Sim::new(settings(), 1000 * MIB).with_pool(8, 100 * MIB);
    sim.of(12).obeys = false;
    sim.of(12).private = 110 * MIB;
    sim.run(2);
    let answer = ask(&sim, &Query::Pool("pool".into()));
    assert_eq!(answer.under_way.iter().map(|case| case.key.tgid).collect::<Vec<_>>(), [12]);
    assert_eq!((answer.pools[0].workers, answer.pools[0].leaving), (sim.processes.len() - 1, 1));
    let handled = answer.scopes[0].candidates.iter().find(|candidate| candidate.who.key.tgid == 12);
    assert_eq!(handled.map(|candidate| candidate.standing), Some(Standing::Handled));
    assert_eq!(answer.budget.kills, 0);
    assert!(ask(&sim, &Query::Pool("no".into())).scopes.is_empty());
}

#[test]
fn ten_thousand_are_explained_while_nobody_waits() {
    let sim = Sim::new(settings(), 1_000_000 * MIB).with_pool(10_000, 60 * MIB);
    let started = std::time::Instant::now();
    let answer = ask(&sim, &Query::All);
    let took = started.elapsed();
    // Two have the ids of memwatch and of what started it.
    assert_eq!(answer.scopes[0].candidates.len(), 9_998);
    // 120 ms without optimization on a busy machine: what is quadratic in them takes minutes.
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
