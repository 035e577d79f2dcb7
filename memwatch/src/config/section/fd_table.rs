//! What to do about fd tables.

use memwatch_ebpf::abi::knobs::RULES_MAX;

use super::matching;
use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::{Read, Table};
use crate::config::refuse;
use crate::config::value::{Confidence, Count, Name, Nanoseconds, Size, Then, WhatToDo};
use crate::core::policy::{FdTableRule, Match, Mode, Protect, Signal, TableAction};

const NAME: Key<Name> =
    Key::new("name", Unwritten::Absent("`fd_table-` and its number"), "Its name in reports.");
const MATCH: Key<Inner> = Key::new(
    "match",
    Unwritten::Absent("every process, when `action` is `report`"),
    "Whom it concerns. `signal-mapped` and `refuse` need `exe`: they act before any harm is done.",
);
const ACTION: Key<WhatToDo> = Key::new(
    "action",
    Unwritten::Toml("\"report\""),
    "What is done: `report` it; `signal-touched` once `touched` of it are resident; `signal-mapped` before its first page is \
     touched; `refuse` the mapping with ENOMEM, where the kernel can.",
);
const MIN_BYTES: Key<Size> = Key::new(
    "min_bytes",
    Unwritten::Toml("\"64MiB\""),
    "Size of all tables of the process from which on it holds. Before a page is touched, where `signal-mapped` and `refuse` act, \
     it is that of a single table.",
);
const CONFIDENCE: Key<Confidence> = Key::new(
    "confidence",
    Unwritten::Absent("`medium` to report, `high` to act"),
    "How sure the detector has to be at least. Where `signal-mapped` and `refuse` act there is the table's length alone to go by, \
     and what [detection.md](detection.md#what-a-rule-in-the-kernel-goes-by) says.",
);
const TOUCHED: Key<Size> = Key::new(
    "touched",
    Unwritten::Absent("1 GiB"),
    "Resident bytes of the tables from which on `signal-touched` acts. A table that is never touched is left alone.",
);
const SIGNAL: Key<Signal> =
    Key::new("signal", Unwritten::Absent("`SIGKILL` for `signal-mapped`, else `SIGTERM`"), "What is sent.");
const DEADLINE: Key<Nanoseconds> =
    Key::new("deadline", Unwritten::Toml("\"10s\""), "How long it has to leave; then it is killed.");
const ROUNDS: Key<Count> = Key::new(
    "rounds",
    Unwritten::Toml("3"),
    "How many victims one master may start again before `then` is done.",
);
const THEN: Key<Then> = Key::new(
    "then",
    Unwritten::Toml("\"stop\""),
    "What is done then: `stop` acting on it and say so, act on the `master`, have systemd stop the `unit`, or kill the whole `cgroup`.",
);

/// `[[fd_table]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[fd_table]]",
    doc: "What to do about a table with one slot for every possible file descriptor. The first that matches wins.",
    rows: &[
        NAME.row,
        MATCH.row,
        ACTION.row,
        MIN_BYTES.row,
        CONFIDENCE.row,
        TOUCHED.row,
        SIGNAL.row,
        DEADLINE.row,
        ROUNDS.row,
        THEN.row,
    ],
};

/// Touched bytes from which on is acted when none are written.
const TOUCHED_UNWRITTEN: u64 = 1 << 30;

/// Reads the rules; without any there is one for every process.
pub(in crate::config) fn read(tables: &[Table<'_, '_>], protect: &Protect, mode: Mode) -> Vec<FdTableRule> {
    if tables.is_empty() {
        return vec![unwritten(mode)];
    }
    let rules: Vec<_> = (1..).zip(tables).map(|(number, table)| rule(table, number, protect)).collect();
    let strikes = |rule: &FdTableRule| matches!(rule.action, TableAction::Mapped | TableAction::Refuse);
    let most = RULES_MAX as usize;
    if let Some((first_too_many, _)) = tables.iter().zip(&rules).filter(|(_, rule)| strikes(rule)).nth(most) {
        first_too_many.refuse_all(
            format!("more than {most} rules that act before a page is touched"),
            "join some: exe takes an array",
        );
    }
    super::refuse_twins(tables, &NAME, rules.iter().map(|rule| rule.name.as_str()));
    rules
}

/// The rule of a file that has none.
fn unwritten(mode: Mode) -> FdTableRule {
    FdTableRule {
        name: "fd_table".to_owned(),
        matching: Match::default(),
        min_bytes: 64 << 20,
        confidence: if mode == Mode::Enforce { 2 } else { 1 },
        action: if mode == Mode::Enforce {
            TableAction::Touched(TOUCHED_UNWRITTEN)
        } else {
            TableAction::Report
        },
        signal: Signal::TERM,
        deadline_ns: 10_000_000_000,
        rounds: 3,
        then: crate::core::policy::Then::Stop,
    }
}

fn rule(table: &Table<'_, '_>, number: usize, protect: &Protect) -> FdTableRule {
    let what = table.get(&ACTION);
    let min_bytes = table.get(&MIN_BYTES);
    let touched = table.find(&TOUCHED);
    let matching = matching::read(table, &MATCH, false);
    refuse_reach(table, &what, matching.as_ref());
    let matching = matching.unwrap_or_default();
    refuse::guarded(table, &MATCH, &matching, protect);
    if min_bytes.value.0 < 1 << 20 && min_bytes.is_sound {
        table.refuse(
            &min_bytes,
            "tables of this size are everywhere and cost nothing",
            "write at least \"1MiB\"",
        );
    }
    if let Some(touched) = &touched {
        if what.value != WhatToDo::SignalTouched && what.is_sound {
            table.refuse(
                touched,
                "only signal-touched looks at it",
                "leave it out, or write action = \"signal-touched\"",
            );
        } else if touched.value.0 == 0 {
            table.refuse(
                touched,
                "nothing is touched yet",
                "write action = \"signal-mapped\" to act before the first touch",
            );
        }
    }
    let signal = table.find(&SIGNAL).map(|read| read.value);
    let deadline = table.get(&DEADLINE);
    let rounds = table.get(&ROUNDS);
    if rounds.value.0 == 0 && rounds.is_sound {
        table.refuse(&rounds, "nothing would ever be done", "write at least 1, or action = \"report\"");
    }
    FdTableRule {
        name: table.find(&NAME).map_or_else(|| format!("fd_table-{number}"), |read| read.value.0),
        matching,
        min_bytes: min_bytes.value.0,
        confidence: table
            .find(&CONFIDENCE)
            .map_or(if what.value == WhatToDo::Report { 1 } else { 2 }, |read| read.value.0),
        action: match what.value {
            WhatToDo::Report => TableAction::Report,
            WhatToDo::SignalTouched => {
                TableAction::Touched(touched.map_or(TOUCHED_UNWRITTEN, |touched| touched.value.0))
            }
            WhatToDo::SignalMapped => TableAction::Mapped,
            WhatToDo::Refuse => TableAction::Refuse,
        },
        signal: signal.unwrap_or(if what.value == WhatToDo::SignalMapped {
            Signal::KILL
        } else {
            Signal::TERM
        }),
        deadline_ns: deadline.value.0,
        rounds: rounds.value.0,
        then: table.get(&THEN).value.0,
    }
}

/// Acting needs to say on whom; acting before any harm is done, on which programs.
fn refuse_reach(table: &Table<'_, '_>, what: &Read<WhatToDo>, matching: Option<&Match>) {
    let needs_program = matches!(what.value, WhatToDo::SignalMapped | WhatToDo::Refuse);
    if needs_program && matching.is_none_or(|matching| matching.exe.is_empty()) {
        table.refuse_key(
            &MATCH,
            "this action strikes before a page is touched, and is for programs that are named",
            "write match = { exe = \"…\" }, or action = \"signal-touched\"",
        );
    } else if what.value != WhatToDo::Report && !table.has(&MATCH) {
        table.refuse_key(
            &MATCH,
            "a rule that acts has to say on whom",
            "write for example match = { exe = \"uwsgi*\" }; match = \"all\" means every process",
        );
    }
}
