//! docs/events.md, made from the table of fields.

use std::fmt::Write;

use super::{Field, Lines, Name, VERSION, fields};
use crate::export::lost_kinds::{self, LostKind};

/// Text in front of the tables.
const INTRODUCTION: &str = "\
# Events

<!-- Made from memwatch/src/export/schema by `cargo xtask docs`; a test refuses a version that differs. -->

`memwatch trace --output json` and `memwatch scan --output json` write one flat JSON object a line. Keys follow the
OpenTelemetry semantic conventions where one exists; the others begin with `memwatch.`. Readers should pass over keys they do not know: a new key does not
raise the schema version.

- What is not known is left out, never written as 0 or `null`.
- Sizes are bytes, durations nanoseconds. Addresses are strings in hexadecimal, as they do not fit the numbers of every
  JSON reader.
- A limit that is unlimited has no number: `<key>_unlimited` is `true` instead.
- Names are bytes that a process chose. A byte that is not part of valid UTF-8 is written as the four characters `\\xNN`
  (in the JSON text: `\\\\xNN`), and a backslash in front of an `x` as `\\x5c`; so replacing each `\\xNN` by its byte gives the
  name back. Control characters and those that reorder or hide text leave as JSON's `\\uNNNN`, so that a raw line is safe
  on a terminal.
- Memory and limits that are asked for by 32-bit system calls (a 32-bit program's, and `int 0x80` in any other) make no `memwatch.mmap`,
  `munmap`, `mremap`, `brk` or `rlimit_*` line, and are in none of the sums of such calls. Page faults, RSS, exec, fork, exit and OOM kills
  are told of everybody.
";

/// The page.
#[must_use]
pub fn events_md() -> String {
    let mut page = String::from(INTRODUCTION);
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\nThis is version {VERSION} of the schema.");
    section(&mut page, "Every line", "", |lines| matches!(lines, Lines::Every));
    section(
        &mut page,
        "The process",
        "In every line but `memwatch.lost`; `thread.*` not in `memwatch.fd_table` and `memwatch.exposure`, which speak of a \
         whole process.",
        |lines| matches!(lines, Lines::Process | Lines::Thread),
    );
    for name in Name::all() {
        section(
            &mut page,
            &format!("`{}`", name.as_str()),
            name.doc(),
            |lines| matches!(lines, Lines::Only(only) if only == name),
        );
    }
    losses(&mut page);
    page
}

/// What `memwatch.lost.kind` may say.
fn losses(page: &mut String) {
    page.push_str(
        "\n### Kinds of losses\n\n| `memwatch.lost.kind` | what is missing | what helps |\n|---|---|---|\n",
    );
    for LostKind { name, meaning, remedy } in lost_kinds::ALL {
        let _ = writeln!(page, "| `{name}` | {meaning} | {remedy} |");
    }
}

fn section(page: &mut String, title: &str, text: &str, holds: impl Fn(Lines) -> bool) {
    let _ = write!(page, "\n## {title}\n\n");
    if !text.is_empty() {
        let _ = write!(page, "{text}\n\n");
    }
    page.push_str("| key | type | unit | meaning |\n|---|---|---|---|\n");
    for Field { key, lead: _, ty, unit, lines: _, doc } in
        fields::ALL.iter().filter(|field| holds(field.lines))
    {
        let _ = writeln!(page, "| `{key}` | {} | {unit} | {doc} |", ty.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_events_are_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md");
        let page = events_md();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("a writable docs/");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page, "docs/events.md differs from the schema: run `cargo xtask docs`");
    }
}
