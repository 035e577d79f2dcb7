//! What may happen on a host, in any order, under any settings.

use proptest::prelude::*;

use super::host::{Fake, MIB, SECOND, Sim, matching, settings, who};
use crate::core::pattern::Pattern;
use crate::core::policy::engine::LIMIT_RULES;
use crate::core::policy::{
    Acted, Amount, Audit, Budget, FdTableRule, Figures, Growth, Holding, Hooks, Input, ProcessLimit, Protect,
    Queue, Reach, Settings, Signal, Sizing, Strain, Table, TableAction, TableState, Then, Thrash, Way,
};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Start {
        tgid: u32,
        parent: u32,
        exe: usize,
        cgroup: usize,
        mib: u64,
        obeys: bool,
    },
    End {
        tgid: u32,
    },
    Grow {
        tgid: u32,
        mib: u64,
    },
    Other {
        mib: u64,
    },
    Holds {
        mib: Option<u64>,
    },
    /// An fd table is touched.
    Touches {
        tgid: u32,
        mib: u64,
    },
    /// The kernel side has acted.
    Acted {
        tgid: u32,
        by_limit: bool,
    },
    /// Connections wait at the sockets of the pool with this master, and so many of its workers for one.
    Waits {
        master: u32,
        waiting: u64,
        idle: u64,
    },
    /// Pages are read in again.
    Thrashes {
        refaults: u64,
    },
    Time {
        tenths: u64,
    },
}

const EXES: [&str; 8] = [
    "/srv/worker",
    "/srv/worker",
    "/usr/bin/python3.11",
    "/usr/bin/python3.11",
    "/usr/sbin/sshd",
    "/usr/bin/other",
    "/srv/backup",
    "",
];
const CGROUPS: [&str; 5] = ["/web", "/web", "/web/a", "/batch", "/web/app.service"];

pub(super) fn step() -> impl Strategy<Value = Step> {
    let tgids = 1..30_u32;
    prop_oneof![
        4 => (2..30_u32, tgids.clone(), 0..EXES.len(), 0..CGROUPS.len(), 0..300_u64, any::<bool>()).prop_map(
            |(tgid, parent, exe, cgroup, mib, obeys)| Step::Start { tgid, parent, exe, cgroup, mib, obeys }
        ),
        1 => tgids.clone().prop_map(|tgid| Step::End { tgid }),
        2 => (tgids.clone(), 0..400_u64).prop_map(|(tgid, mib)| Step::Grow { tgid, mib }),
        1 => (0..900_u64).prop_map(|mib| Step::Other { mib }),
        1 => prop::option::of(0..1200_u64).prop_map(|mib| Step::Holds { mib }),
        1 => (tgids.clone(), 0..300_u64).prop_map(|(tgid, mib)| Step::Touches { tgid, mib }),
        1 => (tgids.clone(), any::<bool>()).prop_map(|(tgid, by_limit)| Step::Acted { tgid, by_limit }),
        2 => (tgids, 0..9_u64, 0..4_u64)
            .prop_map(|(master, waiting, idle)| Step::Waits { master, waiting, idle }),
        1 => (0..9_000_u64).prop_map(|refaults| Step::Thrashes { refaults }),
        3 => (1..8_u64).prop_map(|tenths| Step::Time { tenths }),
    ]
}

pub(super) fn any_settings() -> impl Strategy<Value = Settings> {
    let pool = (0..4_u32, 0..4_usize, 1..4_u32, 50..400_u64, any::<bool>(), any::<bool>());
    let others = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..3_usize);
    let host = (1..5_u32, any::<bool>(), 0..3_u8);
    (pool, others, host).prop_map(|(pool_settings, others, (kills, any_process, reach))| {
        let (min_alive, then, rounds, hard, has_hooks, is_sized) = pool_settings;
        let (protects, oom_group, has_limit, is_audited, table) = others;
        let mut settings = settings();
        let scope = &mut settings.scopes[0];
        scope.reach = [Reach::Host, Reach::Cgroup("/web".into()), Reach::Tree(5)][usize::from(reach)].clone();
        scope.true_use = matches!(scope.reach, Reach::Cgroup(_)) && is_audited;
        scope.any_process = any_process;
        if is_audited {
            let (min_missing, min_share) = (64 * MIB, Amount::Share(1_000));
            settings.audit = Some(Audit { every_ns: SECOND, settle_ns: SECOND, min_missing, min_share });
        }
        settings.budget = Budget { kills, window_ns: 20 * SECOND, cool_down_ns: 10 * SECOND };
        settings.oom_group = oom_group;
        if protects {
            settings.protect = Protect { matching: vec![matching("/srv/backup")] };
        }
        if has_limit {
            let (name, bytes) = ("any".to_owned(), 250 * MIB);
            let matching = matching("/srv/*");
            settings.process_limits = vec![ProcessLimit { name, matching, bytes, signal: Signal::KILL }];
        }
        let then = [Then::Stop, Then::Master, Then::Unit, Then::Cgroup][then];
        settings.fd_tables = vec![FdTableRule {
            name: "tables".into(),
            matching: matching("/srv/*"),
            min_bytes: 16 * MIB,
            confidence: 1,
            action: [TableAction::Touched(MIB), TableAction::Mapped, TableAction::Report][table],
            signal: Signal::KILL,
            deadline_ns: SECOND,
            rounds,
            then,
        }];
        (settings.thrash, settings.growth) = (
            Some(Thrash { refaults: 500, stalled: 1_000, window_ns: SECOND }),
            Some(Growth {
                warn_within_ns: 60 * SECOND,
                recycle_within_ns: 10 * SECOND,
                window_ns: 4 * SECOND,
            }),
        );
        let pool = &mut settings.pools[0];
        pool.matching.exe.push(Pattern::parse("python*").expect("a pattern"));
        (pool.min_alive, pool.rounds, pool.then) = (min_alive, rounds, then);
        (pool.soft, pool.hard, pool.total) = (Some(hard / 2 * MIB), Some(hard * MIB), Some(3 * hard * MIB));
        if has_hooks {
            let command = || vec!["/usr/bin/drain".to_owned()];
            pool.hooks = Hooks { before: command(), after: command(), deadline_ns: SECOND };
        }
        pool.size = is_sized.then_some(Sizing {
            max_workers: 5,
            idle_min: 1,
            idle_for_ns: SECOND,
            waiting: 1,
            waiting_for_ns: SECOND / 5,
            spare: 0,
            turn_ns: SECOND,
        });
        settings
    })
}

pub(super) fn play(settings: &Settings, steps: &[Step]) -> Sim {
    let mut sim = Sim::new(settings.clone(), 1000 * MIB);
    // Half of them are in a cgroup that the kernel's own killer takes as one.
    sim.as_one.extend((1..30).filter(|tgid| tgid % 2 == 0));
    let mut first = |tgid, parent, exe| {
        let mut who = who(tgid, parent, exe, 1);
        who.cgroup = Some("/".into());
        sim.start(Fake { who, private: 10 * MIB, obeys: true });
    };
    first(1, 0, "/sbin/init");
    first(99, 98, "/usr/bin/memwatch");
    first(98, 1, "/usr/bin/supervisor");
    for step in steps {
        take(&mut sim, step);
    }
    sim
}

fn take(sim: &mut Sim, step: &Step) {
    // An act may follow: whoever starts under the same id later starts at another time.
    sim.now_ns += SECOND / 100;
    let holder = |sim: &Sim, tgid: u32| sim.processes.keys().find(|key| key.tgid == tgid).copied();
    match *step {
        Step::Start { tgid, parent, exe, cgroup, mib, obeys } => {
            if let Some(key) = holder(sim, tgid) {
                sim.end(key);
            }
            let mut who = who(tgid, parent, EXES[exe], sim.now_ns);
            who.cgroup = Some(CGROUPS[cgroup].into());
            who.unit = CGROUPS[cgroup].ends_with(".service").then(|| "app.service".into());
            match EXES[exe] {
                "" => who.exe = None,
                "/usr/bin/python3.11" => who.args = vec!["gunicorn: worker [app]".into()],
                _ => {}
            }
            sim.start(Fake { who, private: mib * MIB, obeys });
        }
        Step::End { tgid } => {
            if let Some(key) = holder(sim, tgid) {
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
            sim.feed(Input::Holding { cgroup: "/web".into(), holding });
        }
        Step::Touches { tgid, mib } => {
            let Some(key) = holder(sim, tgid) else { return };
            let (limit, bytes, touched) = (1 << 30, 400 * MIB, mib * MIB);
            let table = Table { key, limit, bytes, touched, state: TableState::Touched, confidence: 2 };
            sim.feed(Input::Table(table));
        }
        Step::Acted { tgid, by_limit } => {
            let Some(key) = holder(sim, tgid) else { return };
            let rule = if by_limit { LIMIT_RULES } else { 0 };
            let done = sim.engine.settings().mode == crate::core::policy::Mode::Enforce;
            sim.feed(Input::Acted(Acted { key, rule, bytes: 300 * MIB, bound: 250 * MIB, done }));
            if done {
                sim.end(key);
            }
        }
        Step::Waits { master, waiting, idle } => waits(sim, master, waiting, idle),
        Step::Thrashes { refaults } => {
            let strain = Strain { refaults, major_faults: refaults, ..Strain::default() };
            for cgroup in [None, Some("/web".to_owned()), Some("/batch".to_owned())] {
                sim.feed(Input::Strain { cgroup, strain });
            }
        }
        Step::Time { tenths } => {
            for _ in 0..tenths {
                sim.tenth();
            }
        }
    }
}

fn waits(sim: &mut Sim, master: u32, waiting: u64, idle: u64) {
    let Some(key) = sim.processes.keys().find(|key| key.tgid == master).copied() else { return };
    // It has handlers for SIGHUP, SIGTERM, SIGTTIN and SIGTTOU.
    let caught = Some(1 | 1 << 14 | 1 << 20 | 1 << 21);
    let figures = Figures { resident: Some(MIB), private: Some(MIB), caught, ..Figures::default() };
    sim.feed(Input::Figures { key, figures });
    let of_pool = sim.processes.values().filter(|fake| fake.who.parent == Some(master));
    let workers: Vec<_> = of_pool.map(|fake| fake.who.key).collect();
    for (key, place) in workers.into_iter().zip(0..) {
        let figures = Figures { idle: Some(place < idle), ..Figures::default() };
        sim.feed(Input::Figures { key, figures });
    }
    let (dropped, overflows) = (Some(0), Some(0));
    let (sockets, unix, bound, way) = (1, 0, 128, Way::Open);
    sim.feed(Input::Queue(Queue {
        master: key,
        sockets,
        unix,
        is_per_worker: master.is_multiple_of(2),
        waiting,
        most: waiting,
        bound,
        dropped,
        overflows,
        way,
    }));
}
