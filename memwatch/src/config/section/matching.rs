//! Which processes a rule is about.

use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Cgroup, Patterns, Uids};
use crate::core::policy::Match;

const EXE: Key<Patterns> = Key::new(
    "exe",
    Unwritten::Absent("any"),
    "Path of the executable, or its file name: `\"/usr/bin/uwsgi*\"`, `\"uwsgi*\"`.",
);
const ARGS: Key<Patterns> = Key::new(
    "args",
    Unwritten::Absent("any"),
    "An argument, the program's own name included. Not enough alone: anybody may choose them.",
);
const COMM: Key<Patterns> = Key::new(
    "comm",
    Unwritten::Absent("any"),
    "The process's name. Not enough alone: anybody may choose one.",
);
const PARENT: Key<Patterns> =
    Key::new("parent", Unwritten::Absent("any"), "Executable of the parent, as `exe`.");
const CGROUP: Key<Cgroup> = Key::new("cgroup", Unwritten::Absent("any"), "Cgroup: it and those below it.");
const UNIT: Key<Patterns> = Key::new("unit", Unwritten::Absent("any"), "systemd unit.");
const CONTAINER: Key<Patterns> = Key::new("container", Unwritten::Absent("any"), "Container id.");
const UID: Key<Uids> = Key::new("uid", Unwritten::Absent("any"), "Real user id.");

/// The value of `match`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "match = { … }",
    doc: "Which processes. Each key that is written must hold, by any of its patterns, in which `*` stands for any text and \
          `?` for one character. `match = \"all\"` means every process.",
    rows: &[EXE.row, ARGS.row, COMM.row, PARENT.row, CGROUP.row, UNIT.row, CONTAINER.row, UID.row],
};

/// The `match` of a rule; `None`: it is not written, or a fault. `is_proven`: the executable is known from elsewhere.
pub(in crate::config) fn read(rule: &Table<'_, '_>, key: &Key<Inner>, is_proven: bool) -> Option<Match> {
    if rule.word(key) == Some("all") {
        return Some(Match::default());
    }
    if !rule.has(key) {
        if key.row.unwritten == Unwritten::Required {
            rule.refuse_key(
                key,
                "this key is needed",
                "write for example match = { exe = \"uwsgi*\" }; match = \"all\" means every process",
            );
        }
        return None;
    }
    let table = rule.inner(key, &SECTION);
    let patterns = |key: &Key<Patterns>| table.find(key).map(|read| read.value.0).unwrap_or_default();
    let matching = Match {
        exe: patterns(&EXE),
        args: patterns(&ARGS),
        comm: patterns(&COMM),
        parent_exe: patterns(&PARENT),
        cgroup: table.find(&CGROUP).map(|read| read.value.0).unwrap_or_default(),
        unit: patterns(&UNIT),
        container: patterns(&CONTAINER),
        uid: table.find(&UID).map(|read| read.value.0).unwrap_or_default(),
    };
    if table.is_empty() {
        rule.refuse_key(key, "an empty match is every process", "write match = \"all\" to mean that");
    }
    if matching.is_all() {
        return None;
    }
    let is_proof = table.has(&EXE)
        || table.has(&PARENT)
        || table.has(&CGROUP)
        || table.has(&UNIT)
        || table.has(&CONTAINER)
        || table.has(&UID);
    if !is_proof && !is_proven {
        rule.refuse_key(
            key,
            "names and arguments are chosen by the process itself, and prove nothing",
            "add exe, parent, cgroup, unit, container or uid",
        );
    }
    Some(matching)
}
