//! docs/configuration.md, made from the keys and the table of servers.

use std::fmt::Write;

use super::key::{Row, Section, Unwritten};
use super::section;
use crate::core::policy::Server;

/// Text in front of the tables.
const INTRODUCTION: &str = "\
# Configuration

<!-- Made from memwatch/src/config and memwatch/data/servers.toml by `cargo xtask docs`; a test refuses a version that differs. -->

`memwatch check FILE` validates a file of TOML and says in words what it comes to. An empty file is a policy: it observes the whole
host. Whatever is wrong is told at once, each fault with its key, value, line and remedy; unknown keys are faults.
`config/memwatch.toml` is a sample with every key; beside it are samples for known incidents.

- A size has its unit: `\"512MiB\"`, `\"2GiB\"`, `\"1.5GB\"`. A bare number is refused.
- A share is a percentage of the scope's memory, with up to two decimals: `\"85%\"`, `\"92.5%\"`.
- A duration has its unit: `\"500ms\"`, `\"30s\"`, `\"5min\"`, `\"1h 30m\"`.
- A signal is a name: `\"SIGTERM\"`.
- A rule on every process has to say so: `match = \"all\"`.
";

/// The page.
#[must_use]
pub fn configuration_md() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in section::ALL {
        table(&mut page, section);
    }
    servers(&mut page);
    page
}

// Writing to a String cannot fail.
fn table(page: &mut String, section: &Section) {
    let heading = if section.heading.is_empty() { "The file" } else { &format!("`{}`", section.heading) };
    let _ = write!(page, "\n## {heading}\n\n{}\n\n", section.doc);
    page.push_str("| key | value | when it is not written | meaning |\n|---|---|---|---|\n");
    for Row { name, form, unwritten, doc } in section.rows {
        let unwritten = match unwritten {
            Unwritten::Required => "it is needed".to_owned(),
            Unwritten::Absent(words) => (*words).to_owned(),
            Unwritten::Toml(value) => format!("`{value}`"),
        };
        let _ = writeln!(page, "| `{name}` | {form} | {unwritten} | {doc} |");
    }
}

fn servers(page: &mut String) {
    page.push_str(
        "\n## Kinds of servers\n\nWhat `kind` of a `[[pool]]` gives. A pool that nobody named is recycled only where that is sure to \
         break nothing off.\n\n| kind | server | signal to a worker | found by itself | to know | source |\n|---|---|---|---|---|---|\n",
    );
    for server in Server::all() {
        let signal = match server.signal {
            Some(signal) => format!("`{signal}`"),
            None if server.is_never => "never a pool".to_owned(),
            None => "none".to_owned(),
        };
        let found = if server.found_signal().is_some() { "yes" } else { "no" };
        let Server { kind, name, note, source, .. } = server;
        let _ = writeln!(page, "| `{kind}` | {name} | {signal} | {found} | {note} | {source} |");
    }
}

/// The names of all keys, for the test of the sample.
#[cfg(test)]
pub(crate) fn key_names() -> impl Iterator<Item = &'static str> {
    section::ALL.into_iter().flat_map(|section| section.rows).map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_configuration_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = configuration_md();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("a writable docs/");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page, "docs/configuration.md differs from the code: run `cargo xtask docs`");
    }

    #[test]
    fn every_table_can_be_shown() {
        for row in section::ALL.iter().flat_map(|section| section.rows) {
            assert!(!row.doc.contains(['|', '\n']) && row.doc.ends_with('.'), "{}: {}", row.name, row.doc);
        }
        for server in Server::all() {
            assert!(!server.note.contains('|') && !server.source.contains('|'), "{}", server.kind);
        }
    }
}
