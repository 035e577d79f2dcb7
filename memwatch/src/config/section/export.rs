//! Where events go.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::otlp;
use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{
    Address, Count, Form as _, Kinds, LineForm, MinSeverity, Name, Nanoseconds, Patterns, Place, Size, To,
};
use crate::core::pattern::Pattern;
use crate::export::route::{Destination, Form, Rate, Rotation, Route};

const NAME: Key<Name> =
    Key::new("name", Unwritten::Absent("`export-` and its number"), "Its name in reports and metrics.");
const TO: Key<To> = Key::new(
    "to",
    Unwritten::Required,
    "What takes the events: `stdout`; a `file`; `unix`, whoever listens at a Unix stream socket; `journald`, a field for each key; `syslog`, a server that takes RFC 5424 over TCP, a message a line; `otlp`, a collector of OpenTelemetry or another receiver of its protocol, a log record each.",
);
const PATH: Key<Place> = Key::new(
    "path",
    Unwritten::Absent("`/run/systemd/journal/socket`; of `file` and `unix` it is needed"),
    "Path of the file or socket. The file is made where it does not exist, for its owner and group to read; links are not followed.",
);
const ADDRESS: Key<Address> = Key::new(
    "address",
    Unwritten::Absent("of `syslog` it is needed"),
    "Address and port of the `syslog` server.",
);
const MAX_SIZE: Key<Size> = Key::new(
    "max_size",
    Unwritten::Absent("`\"64MiB\"`"),
    "Of a `file`: before it gets larger it is renamed to `PATH.1`, that to `PATH.2`, and so on.",
);
const MAX_AGE: Key<Nanoseconds> = Key::new(
    "max_age",
    Unwritten::Absent("no bound"),
    "Of a `file`: how old it gets before the same. One that another program has moved away, such as logrotate, is left to it and made anew; SIGHUP does that at once.",
);
const KEEP: Key<Count> =
    Key::new("keep", Unwritten::Absent("`5`"), "Of a `file`: how many are kept beside it.");
const FORM: Key<LineForm> = Key::new(
    "form",
    Unwritten::Absent("`json`; of `stdout` what `--output` says"),
    "Whether a line is an object (`json`, docs/decisions.md) or a sentence (`text`).",
);
const KINDS: Key<Kinds> = Key::new(
    "kinds",
    Unwritten::Absent("all"),
    "Kinds of events that go there: `decision`, `closing`, `warning`, `true_use`. `*` stands for any text, `?` for one character.",
);
const MIN_SEVERITY: Key<MinSeverity> = Key::new(
    "min_severity",
    Unwritten::Toml("\"info\""),
    "Events that matter less do not go there: `info`, `notice`, `warning`, `error` (docs/decisions.md).",
);
const QUEUE: Key<Count> = Key::new(
    "queue",
    Unwritten::Toml("1024"),
    "Events that wait while it takes none; then the oldest are shed, and counted.",
);
const ARGUMENTS: Key<bool> = Key::new(
    "arguments",
    Unwritten::Toml("false"),
    "Whether events carry the arguments of processes (`process.command_args`), which may hold secrets.",
);
const REDACT: Key<Patterns> = Key::new(
    "redact",
    Unwritten::Absent("none"),
    "Keys of objects that are left out, for example `\"process.executable.*\"`.",
);
const AT_MOST: Key<Count> = Key::new(
    "at_most",
    Unwritten::Absent("no bound"),
    "Events of one kind that go there in the time `per`; the others are held back, and counted.",
);
const PER: Key<Nanoseconds> = Key::new("per", Unwritten::Toml("\"1min\""), "The time of `at_most`.");

/// `[[export]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[export]]",
    doc: "Where events go. Each has a queue and a thread of its own, so that none holds up another, or what the policy does: one that \
          cannot deliver tries again after 100 ms, and after twice that each time, up to 30 s. What it does not get is counted, and told \
          to it by a `memwatch.lost` line. Once one is written, only those that are written are told.",
    rows: &[
        NAME.row,
        TO.row,
        PATH.row,
        ADDRESS.row,
        otlp::URL.row,
        otlp::PROTOCOL.row,
        MAX_SIZE.row,
        MAX_AGE.row,
        KEEP.row,
        FORM.row,
        KINDS.row,
        MIN_SEVERITY.row,
        QUEUE.row,
        ARGUMENTS.row,
        REDACT.row,
        AT_MOST.row,
        PER.row,
    ],
};

/// The longest queue: what it holds stays in memory.
const LONGEST: u32 = 1 << 16;

/// Where journald takes entries.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// A file is no smaller, …
const LEAST_SIZE: u64 = 64 << 10;
/// … no younger …
const LEAST_AGE_NS: u64 = 60_000_000_000;
/// … and has no more beside it.
const MOST_KEPT: u32 = 1000;

/// Reads the exporters.
pub(in crate::config) fn read(tables: &[Table<'_, '_>]) -> Vec<Route> {
    let routes: Vec<_> = (1..).zip(tables).map(|(number, table): (usize, _)| route(number, table)).collect();
    super::refuse_twins(tables, &NAME, routes.iter().map(|route| route.name.as_str()));
    routes
}

fn route(number: usize, table: &Table<'_, '_>) -> Route {
    let name = table.find(&NAME).map_or_else(|| format!("export-{number}"), |read| read.value.0);
    let queue = table.get(&QUEUE);
    if !(1..=LONGEST).contains(&queue.value.0) {
        table.refuse(&queue, "a queue of this length is none, or too long", format!("write 1 to {LONGEST}"));
    }
    let route = Route::new(name, destination(table));
    Route {
        kinds: table.find(&KINDS).map(|read| read.value.0).unwrap_or_default(),
        min_severity: table.get(&MIN_SEVERITY).value.0,
        queue: queue.value.0 as usize,
        has_arguments: table.get(&ARGUMENTS).value,
        redact: redact(table, &route.to),
        at_most: rate(table),
        ..route
    }
}

fn destination(table: &Table<'_, '_>) -> Destination {
    let to = table.find(&TO).map(|read| read.value).unwrap_or_default();
    let form = table.find(&FORM).map(|read| read.value.0);
    only(table, &PATH, to, &[To::File, To::Unix, To::Journald]);
    only(table, &ADDRESS, to, &[To::Syslog]);
    only(table, &otlp::URL, to, &[To::Otlp]);
    only(table, &otlp::PROTOCOL, to, &[To::Otlp]);
    only(table, &FORM, to, &[To::StandardOutput, To::File, To::Unix, To::Syslog]);
    only(table, &MAX_SIZE, to, &[To::File]);
    only(table, &MAX_AGE, to, &[To::File]);
    only(table, &KEEP, to, &[To::File]);
    match to {
        To::StandardOutput => Destination::StandardOutput(form),
        To::File => Destination::File {
            path: path(table),
            rotation: rotation(table),
            form: form.unwrap_or(Form::Json),
        },
        To::Journald => Destination::Journald {
            path: table.find(&PATH).map_or_else(|| JOURNAL.into(), |read| read.value.0),
        },
        To::Syslog => Destination::Syslog { address: address(table), form: form.unwrap_or(Form::Json) },
        To::Otlp => otlp::endpoint(table).map_or(Destination::StandardOutput(None), Destination::Otlp),
        To::Unix => Destination::Unix { path: path(table), form: form.unwrap_or(Form::Json) },
    }
}

/// Refuses a key that says nothing of this destination.
fn only<T>(table: &Table<'_, '_>, key: &Key<T>, to: To, takers: &[To]) {
    if table.has(key) && !takers.contains(&to) {
        table.refuse_key(key, "what takes the events has no such thing", "take it out");
    }
}

fn path(table: &Table<'_, '_>) -> PathBuf {
    if !table.has(&PATH) {
        table.refuse_key(&PATH, "this key is needed", format!("write path = {}", Place::EXAMPLE));
    }
    table.find(&PATH).map(|read| read.value.0).unwrap_or_default()
}

fn address(table: &Table<'_, '_>) -> SocketAddr {
    if !table.has(&ADDRESS) {
        let remedy = format!("write address = {}", Address::EXAMPLE);
        table.refuse_key(&ADDRESS, "this key is needed", remedy);
    }
    table.find(&ADDRESS).map_or_else(|| ([0; 4], 0).into(), |read| read.value.0)
}

fn rotation(table: &Table<'_, '_>) -> Rotation {
    let (max_size, max_age, keep) = (table.find(&MAX_SIZE), table.find(&MAX_AGE), table.find(&KEEP));
    if let Some(size) = max_size.as_ref().filter(|size| size.value.0 < LEAST_SIZE) {
        table.refuse(size, "a few lines would fill it", "write at least \"64KiB\"");
    }
    if let Some(age) = max_age.as_ref().filter(|age| age.value.0 < LEAST_AGE_NS) {
        table.refuse(age, "it would be moved away again and again", "write at least \"1min\"");
    }
    if let Some(keep) = keep.as_ref().filter(|keep| keep.value.0 > MOST_KEPT) {
        table.refuse(keep, "each of so many would be renamed", format!("write at most {MOST_KEPT}"));
    }
    Rotation {
        max_bytes: max_size.map_or(64 << 20, |size| size.value.0),
        max_age_ns: max_age.map(|age| age.value.0),
        keep: keep.map_or(5, |keep| keep.value.0),
    }
}

fn redact(table: &Table<'_, '_>, to: &Destination) -> Vec<Pattern> {
    let Some(redact) = table.find(&REDACT) else { return Vec::new() };
    if to.form() == Form::Text {
        table.refuse(&redact, "a sentence has no keys that could be left out", "write form = \"json\"");
    }
    redact.value.0
}

fn rate(table: &Table<'_, '_>) -> Option<Rate> {
    let (at_most, per) = (table.find(&AT_MOST), table.get(&PER));
    if per.value.0 == 0 && per.is_sound {
        table.refuse(&per, "nothing happens in no time", "write for example \"1min\"");
    }
    let at_most = at_most?;
    if at_most.value.0 == 0 {
        table.refuse(&at_most, "nothing would ever go there", "write at least 1, or take the table out");
    }
    Some(Rate { events: at_most.value.0.into(), per_ns: per.value.0 })
}
