//! Pools of workers: named ones, and those that are found by themselves.

use super::{matching, size};
use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::{Read, Table};
use crate::config::refuse;
use crate::config::value::{Command, Count, Kind, Name, Nanoseconds, Size, Then};
use crate::core::policy::{Hooks, Match, Measure, Pool, Protect, Server, Signal};

const NAME: Key<Name> = Key::new("name", Unwritten::Absent("`pool-` and its number"), "Its name in reports.");
const KIND: Key<Kind> = Key::new(
    "kind",
    Unwritten::Absent("`match` and `signal` have to be written"),
    "The server: gives the executable and arguments to match, and the signal.",
);
const MATCH: Key<Inner> = Key::new(
    "match",
    Unwritten::Absent("what `kind` gives"),
    "Its workers; what is written here goes before what `kind` gives. The master, the parent of them that runs the same program, \
     is never one.",
);
const SIGNAL: Key<Signal> = Key::new(
    "signal",
    Unwritten::Absent("what `kind` gives"),
    "What asks a worker to leave at the end of its request.",
);
const NEEDS: Key<Size> = Key::new(
    "needs",
    Unwritten::Absent("not known"),
    "What a worker holds once it has started, before its first request: a limit that would kill it then is refused.",
);
const DEADLINE: Key<Nanoseconds> = Key::new(
    "deadline",
    Unwritten::Toml("\"30s\""),
    "How long a worker that was asked to leave has for that; then it is killed.",
);
const MEASURE: Key<Measure> = Key::new(
    "measure",
    Unwritten::Toml("\"uss\""),
    "What the limits hold against: `rss` counts shared pages in full, `uss` not at all, `pss` by their share.",
);
const SOFT: Key<Size> =
    Key::new("soft", Unwritten::Absent("no limit"), "Memory of a worker from which on it is asked to leave.");
const HARD: Key<Size> =
    Key::new("hard", Unwritten::Absent("no limit"), "Memory of a worker from which on it is killed.");
const TOTAL: Key<Size> = Key::new(
    "total",
    Unwritten::Absent("no limit"),
    "Memory of all workers from which on the largest is asked to leave.",
);
const AT_ONCE: Key<Count> =
    Key::new("at_once", Unwritten::Toml("1"), "How many may be on their way out at the same time.");
const STAGGER: Key<Nanoseconds> =
    Key::new("stagger", Unwritten::Toml("\"5s\""), "Time between two that are asked to leave.");
const MIN_ALIVE: Key<Count> = Key::new(
    "min_alive",
    Unwritten::Toml("1"),
    "How many are left alone by bounds and by the limits of the pool; rules on single processes hold regardless.",
);
const MIN_LIFETIME: Key<Nanoseconds> =
    Key::new("min_lifetime", Unwritten::Toml("\"30s\""), "A younger worker goes last.");
const SIZE: Key<Inner> = Key::new(
    "size",
    Unwritten::Absent("it is left as it is"),
    "How its number of workers follows what waits at its sockets.",
);
const ROUNDS: Key<Count> = Key::new(
    "rounds",
    Unwritten::Toml("5"),
    "How often in a row a victim may be started again at once before `then` is done.",
);
const THEN: Key<Then> = Key::new(
    "then",
    Unwritten::Toml("\"stop\""),
    "What is done then: `stop` acting on it and say so, act on the `master`, have systemd stop the `unit`, or kill the whole `cgroup`.",
);
const BEFORE: Key<Command> = Key::new(
    "before",
    Unwritten::Absent("none"),
    "Program run before the signal, for a heap dump or to drain.",
);
const AFTER: Key<Command> =
    Key::new("after", Unwritten::Absent("none"), "Program run after the worker has ended.");
const HOOK_DEADLINE: Key<Nanoseconds> = Key::new(
    "hook_deadline",
    Unwritten::Toml("\"5s\""),
    "How long each of the two has; it is killed then, and the act goes on.",
);

/// `[[pool]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[pool]]",
    doc: "A pool of workers below one master. The first that matches a process wins.",
    rows: &[
        NAME.row,
        KIND.row,
        MATCH.row,
        SIGNAL.row,
        NEEDS.row,
        DEADLINE.row,
        MEASURE.row,
        SOFT.row,
        HARD.row,
        TOTAL.row,
        AT_ONCE.row,
        STAGGER.row,
        MIN_ALIVE.row,
        MIN_LIFETIME.row,
        SIZE.row,
        ROUNDS.row,
        THEN.row,
        BEFORE.row,
        AFTER.row,
        HOOK_DEADLINE.row,
    ],
};

const ENABLED: Key<bool> = Key::new("enabled", Unwritten::Toml("true"), "Whether they are looked for.");

/// `[found_pools]`.
pub(in crate::config) const FOUND: Section = Section {
    heading: "[found_pools]",
    doc: "Settings of pools that no `[[pool]]` names: a known server's master and its children.",
    rows: &[
        ENABLED.row,
        DEADLINE.row,
        MEASURE.row,
        SOFT.row,
        HARD.row,
        TOTAL.row,
        AT_ONCE.row,
        STAGGER.row,
        MIN_ALIVE.row,
        MIN_LIFETIME.row,
        SIZE.row,
        ROUNDS.row,
        THEN.row,
        BEFORE.row,
        AFTER.row,
        HOOK_DEADLINE.row,
    ],
};

/// Reads the named pools.
pub(in crate::config) fn read(tables: &[Table<'_, '_>], protect: &Protect) -> Vec<Pool> {
    let named = |(number, table): (usize, &Table<'_, '_>)| {
        let name = table.find(&NAME).map_or_else(|| format!("pool-{number}"), |read| read.value.0);
        let kind = table.find(&KIND).map(|read| read.value.0);
        let needs = table.find(&NEEDS);
        let is_kind_broken = kind.is_none() && table.has(&KIND);
        let signal = signal(table, kind, is_kind_broken);
        let matching = matching(table, kind, is_kind_broken, protect);
        limits(table, name, matching, signal, needs.as_ref())
    };
    let pools: Vec<_> = (1..).zip(tables).map(named).collect();
    super::refuse_twins(tables, &NAME, pools.iter().map(|pool| pool.name.as_str()));
    pools
}

/// Reads the settings of pools that are found by themselves; their signal is their server's.
pub(in crate::config) fn found(table: &Table<'_, '_>) -> Option<Pool> {
    let pool = limits(table, "found".to_owned(), Match::default(), Signal::TERM, None);
    table.get(&ENABLED).value.then_some(pool)
}

/// What asks a worker to leave.
fn signal(table: &Table<'_, '_>, kind: Option<&Server>, is_kind_broken: bool) -> Signal {
    let written = table.find(&SIGNAL);
    if let Some(signal) = &written
        && signal.value == Signal::KILL
    {
        table.refuse(
            signal,
            "no worker can finish its request on it",
            "write hard to have large workers killed",
        );
    }
    let signal = written.map(|signal| signal.value).or(kind.and_then(|kind| kind.signal));
    if signal.is_none() && !table.has(&SIGNAL) && !is_kind_broken {
        let (problem, remedy) = match kind {
            Some(server) => (
                format!("{} has no signal that lets a worker finish: {}", server.name, server.note),
                "write signal to accept what it breaks off, or take the pool out",
            ),
            None => (
                "nothing says how a worker is asked to leave, and a wrong signal breaks off requests"
                    .to_owned(),
                "write kind, or signal as the server's manual names it",
            ),
        };
        table.refuse_key(&SIGNAL, problem, remedy);
    }
    signal.unwrap_or(Signal::TERM)
}

/// Which processes are its workers.
fn matching(table: &Table<'_, '_>, kind: Option<&Server>, is_kind_broken: bool, protect: &Protect) -> Match {
    let is_kind_written = kind.is_some() || is_kind_broken;
    let written = matching::read(table, &MATCH, is_kind_written);
    if written.as_ref().is_some_and(Match::is_all) {
        table.refuse_key(
            &MATCH,
            "every process of the host is no pool",
            "name the workers; [found_pools] finds the pools of known servers by itself",
        );
    }
    if !is_kind_written && !table.has(&MATCH) {
        table.refuse_all(
            "nothing says which processes are its workers",
            "write kind = \"gunicorn\" or match = { exe = \"uwsgi*\" }",
        );
    }
    let mut matching = written.unwrap_or_default();
    if let Some(server) = kind {
        let preset = server.matching.clone();
        if matching.exe.is_empty() {
            matching.exe = preset.exe;
        }
        if matching.args.is_empty() {
            matching.args = preset.args;
        }
    }
    let never = Server::all().iter().filter(|server| server.is_never);
    for server in never {
        if refuse::names_only(&matching.exe, |name| {
            server.matching.exe.iter().any(|exe| exe.matches(name.as_bytes()))
        }) {
            table.refuse_key(
                &MATCH,
                format!("{} is no pool: {}", server.name, server.note),
                "take the pool out",
            );
        }
    }
    refuse::guarded(table, &MATCH, &matching, protect);
    matching
}

/// Everything else.
fn limits(
    table: &Table<'_, '_>,
    name: String,
    matching: Match,
    signal: Signal,
    needs: Option<&Read<Size>>,
) -> Pool {
    let (soft, hard, total) = (table.find(&SOFT), table.find(&HARD), table.find(&TOTAL));
    let min_alive = table.get(&MIN_ALIVE);
    let pool = Pool {
        name,
        matching,
        signal,
        deadline_ns: positive(table, &DEADLINE),
        measure: table.find(&MEASURE).map_or(Measure::Private, |read| read.value),
        soft: soft.as_ref().map(|read| read.value.0),
        hard: hard.as_ref().map(|read| read.value.0),
        total: total.as_ref().map(|read| read.value.0),
        at_once: at_least_one(table, &AT_ONCE),
        stagger_ns: table.get(&STAGGER).value.0,
        min_alive: min_alive.value.0,
        min_lifetime_ns: table.get(&MIN_LIFETIME).value.0,
        rounds: at_least_one(table, &ROUNDS),
        then: table.get(&THEN).value.0,
        hooks: Hooks {
            before: table.get(&BEFORE).value.0,
            after: table.get(&AFTER).value.0,
            deadline_ns: positive(table, &HOOK_DEADLINE),
        },
        size: size::read(table, &SIZE, min_alive.value.0),
    };
    for limit in [&soft, &hard, &total].into_iter().flatten() {
        refuse::too_small(table, limit, needs);
    }
    if let (Some(soft), Some(hard)) = (&soft, &hard)
        && soft.value >= hard.value
    {
        table.refuse(
            soft,
            "the soft limit is not below the hard one",
            "write a smaller soft or a larger hard",
        );
    }
    if let (Some(total), Some(one)) = (&total, soft.as_ref().or(hard.as_ref()))
        && total.value <= one.value
    {
        table.refuse(total, "all workers together have less than one of them may", "write a larger total");
    }
    if let (Some(total), Some(needs)) = (&total, needs)
        && total.value.0 / u64::from(min_alive.value.0.max(1)) <= needs.value.0
    {
        table.refuse(
            total,
            "min_alive workers need more than this to start",
            "write a larger total or a smaller min_alive",
        );
    }
    if total.is_some() && min_alive.value.0 == 0 {
        table.refuse(
            &min_alive,
            "with a total the pool could be emptied, and serve nobody",
            "write at least 1",
        );
    }
    if !pool.hooks.before.is_empty() && pool.hooks.deadline_ns > pool.deadline_ns {
        table.refuse_key(
            &HOOK_DEADLINE,
            "a hook could delay the kill past its deadline",
            "write at most the deadline",
        );
    }
    pool
}

fn positive(table: &Table<'_, '_>, key: &Key<Nanoseconds>) -> u64 {
    let time = table.get(key);
    if time.value.0 == 0 && time.is_sound {
        table.refuse(&time, "there is no time to do it in", "write for example \"30s\"");
    }
    time.value.0
}

fn at_least_one(table: &Table<'_, '_>, key: &Key<Count>) -> u32 {
    let count = table.get(key);
    if count.value.0 == 0 && count.is_sound {
        table.refuse(&count, "nothing would ever be done", "write at least 1");
    }
    count.value.0
}
