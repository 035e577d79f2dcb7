//! Where events go.

use crate::config::key::{Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Count, Kinds, LineForm, MinSeverity, Name, Nanoseconds, Patterns, To};
use crate::core::pattern::Pattern;
use crate::export::route::{Destination, Form, Rate, Route};

const NAME: Key<Name> =
    Key::new("name", Unwritten::Absent("`export-` and its number"), "Its name in reports and metrics.");
const TO: Key<To> = Key::new("to", Unwritten::Required, "What takes the events: `stdout`, standard output.");
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
    let form = table.find(&FORM).map(|read| read.value.0);
    match table.find(&TO).map(|read| read.value).unwrap_or_default() {
        To::StandardOutput => Destination::StandardOutput(form),
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
