//! The file as a whole.

use toml::de::DeTable;

use super::{
    audit, budget, containers, export, fd_table, growth, metrics, pool, pressure, process_limit, protect,
    scope, thrash,
};
use crate::config::Configuration;
use crate::config::key::{Each, Inner, Key, Section, Unwritten};
use crate::config::reader::{Reader, Table};
use crate::config::value::{Mode, Nanoseconds};
use crate::core::policy::{self, Reach, Settings};

const MODE: Key<Mode> = Key::new(
    "mode",
    Unwritten::Toml("\"observe\""),
    "Whether what is decided is done (`enforce`), or only told as what would have been done.",
);
const WHOLE_HOST: Key<bool> = Key::new(
    "whole_host",
    Unwritten::Toml("false"),
    "Whether `enforce` may reach over the whole host: where no scope is written, or one without `cgroup` and `tree`. It has to be spelled out.",
);
const RETURNED_WITHIN: Key<Nanoseconds> = Key::new(
    "returned_within",
    Unwritten::Toml("\"10s\""),
    "How long the next kill waits for the memory of the last one to come back.",
);
const OOM_GROUP: Key<bool> = Key::new(
    "oom_group",
    Unwritten::Toml("false"),
    "Whether a kill takes the whole cgroup of its victim where that has `memory.oom.group` set, as the kernel's would. One guarded process in it saves all.",
);
const SCOPE: Key<Each> =
    Key::new("scope", Unwritten::Absent("the whole host"), "Parts of the host whose memory is bounded.");
const POOL: Key<Each> = Key::new("pool", Unwritten::Absent("none"), "Pools of workers that are named.");
const FOUND_POOLS: Key<Inner> =
    Key::new("found_pools", Unwritten::Absent("defaults"), "Pools of workers that are found by themselves.");
const PROCESS_LIMIT: Key<Each> =
    Key::new("process_limit", Unwritten::Absent("none"), "Limits kept in the kernel.");
const FD_TABLE: Key<Each> = Key::new(
    "fd_table",
    Unwritten::Absent(
        "one rule for every process, `high` confidence: `report` in mode observe, `signal-touched` at 1 GiB in mode enforce",
    ),
    "What to do about fd tables; the first rule that matches wins.",
);
const PRESSURE: Key<Inner> = Key::new("pressure", Unwritten::Absent("defaults"), "Pressure.");
const THRASH: Key<Inner> = Key::new("thrash", Unwritten::Absent("defaults"), "Thrash.");
const AUDIT: Key<Inner> = Key::new(
    "audit",
    Unwritten::Absent("defaults"),
    "What cgroups truly hold, beside what they are charged for.",
);
const GROWTH: Key<Inner> = Key::new("growth", Unwritten::Absent("defaults"), "Growth towards a limit.");
const PROTECT: Key<Each> =
    Key::new("protect", Unwritten::Absent("none"), "Processes that are never touched.");
const BUDGET: Key<Inner> = Key::new("budget", Unwritten::Absent("defaults"), "How many kills in what time.");
const EXPORT: Key<Each> =
    Key::new("export", Unwritten::Absent("standard output, in the form of `--output`"), "Where events go.");
const METRICS: Key<Inner> = Key::new("metrics", Unwritten::Absent("none"), "Who gets metrics.");
const CONTAINERS: Key<Inner> = Key::new(
    "containers",
    Unwritten::Absent("its keys' defaults"),
    "Who is asked for the names of containers.",
);

/// The top level.
pub(in crate::config) const SECTION: Section = Section {
    heading: "",
    doc: "What stands before the first heading.",
    rows: &[
        MODE.row,
        WHOLE_HOST.row,
        RETURNED_WITHIN.row,
        OOM_GROUP.row,
        SCOPE.row,
        POOL.row,
        FOUND_POOLS.row,
        PROCESS_LIMIT.row,
        FD_TABLE.row,
        PRESSURE.row,
        THRASH.row,
        AUDIT.row,
        GROWTH.row,
        PROTECT.row,
        BUDGET.row,
        EXPORT.row,
        METRICS.row,
        CONTAINERS.row,
    ],
};

/// Reads the file. What it gives is of use only when the reader has no fault.
pub(in crate::config) fn read(reader: &Reader<'_>, document: &DeTable<'_>) -> Configuration {
    let file = Table::written(reader, &SECTION, String::new(), document, 0);
    let written_mode = file.get(&MODE);
    let mode = written_mode.value.0;
    let returned_within = file.get(&RETURNED_WITHIN);
    if returned_within.value.0 == 0 {
        file.refuse(
            &returned_within,
            "the next kill would not wait for the last one",
            "write for example \"10s\"",
        );
    }
    let protect = protect::read(&file.each(&PROTECT, &protect::SECTION));
    let is_spelled_out = file.get(&WHOLE_HOST).value;
    let scopes = scope::read(&file.each(&SCOPE, &scope::SECTION), reader);
    if mode == policy::Mode::Enforce
        && scopes.iter().any(|scope| scope.reach == Reach::Host)
        && !is_spelled_out
    {
        file.refuse(
            &written_mode,
            "this would be enforced on the whole host, as no scope narrows it",
            "write a [[scope]] with cgroup or tree, or spell it out with whole_host = true",
        );
    }
    let found = file.inner(&FOUND_POOLS, &pool::FOUND);
    let policy = Settings {
        mode,
        scopes,
        pools: pool::read(&file.each(&POOL, &pool::SECTION), &protect),
        found_pools: pool::found(&found),
        process_limits: process_limit::read(&file.each(&PROCESS_LIMIT, &process_limit::SECTION), &protect),
        fd_tables: fd_table::read(&file.each(&FD_TABLE, &fd_table::SECTION), &protect, mode),
        pressure: pressure::read(&file.inner(&PRESSURE, &pressure::SECTION)),
        thrash: thrash::read(&file.inner(&THRASH, &thrash::SECTION)),
        audit: audit::read(&file.inner(&AUDIT, &audit::SECTION)),
        growth: growth::read(&file.inner(&GROWTH, &growth::SECTION)),
        budget: budget::read(&file.inner(&BUDGET, &budget::SECTION)),
        returned_within_ns: returned_within.value.0,
        oom_group: file.get(&OOM_GROUP).value,
        protect,
    };
    Configuration {
        policy,
        exports: export::read(&file.each(&EXPORT, &export::SECTION)),
        metrics: metrics::read(&file.inner(&METRICS, &metrics::SECTION)),
        containers: containers::read(&file.inner(&CONTAINERS, &containers::SECTION)),
    }
}
