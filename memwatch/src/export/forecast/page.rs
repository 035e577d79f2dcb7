//! docs/forecast.md, made from the table of keys.

use std::fmt::Write;

use super::keys::{ALL, Key, Line};
use crate::export::schema::VERSION;

/// Text in front of the tables.
const INTRODUCTION: &str = include_str!("page.md");

/// The page.
#[must_use]
pub fn forecast_md() -> String {
    let mut page = String::from(INTRODUCTION);
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\nThis is version {VERSION} of the schema.");
    section(&mut page, "Every line", "", |key| key.lines.len() == Line::ALL.len());
    for line in Line::ALL {
        let is_of_line = |key: &Key| key.lines.contains(&line) && key.lines.len() < Line::ALL.len();
        section(&mut page, &format!("`{}`", line.name()), line.doc(), is_of_line);
    }
    page
}

fn section(page: &mut String, title: &str, text: &str, holds: impl Fn(&Key) -> bool) {
    let _ = write!(page, "\n### {title}\n\n");
    if !text.is_empty() {
        let _ = write!(page, "{text}\n\n");
    }
    page.push_str("| key | type | unit | meaning |\n|---|---|---|---|\n");
    for Key { name, ty, unit, lines: _, doc } in ALL.iter().filter(|key| holds(key)) {
        let _ = writeln!(page, "| `{name}` | {} | {unit} | {doc} |", ty.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_forecast_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/forecast.md");
        let page = forecast_md();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("a writable docs/");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page, "docs/forecast.md differs from the keys: run `cargo xtask docs`");
    }
}
