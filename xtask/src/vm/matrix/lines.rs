//! What the test program tells on its output while it runs: which test begins, what becomes of it, what it measured.

use serde::Deserialize;

/// What stands before each thing told; the test program has it from `MEMWATCH_TEST_MARK`.
pub(super) const MARK: &str = "memwatch-test: ";

/// A thing told.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Told {
    /// This test begins.
    Begun { begun: String },
    /// This test has ended.
    Ended { ended: String, outcome: String, reason: Option<String> },
    /// So many bytes were measured.
    Measured { measured: String, bytes: u64 },
}

/// Takes a line apart: other words that stand before, and what is told.
pub(super) fn read(line: &str) -> Option<(&str, Told)> {
    let (before, told) = line.split_once(MARK)?;
    Some((before, serde_json::from_str(told).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_found_behind_the_words_of_the_test_runner() {
        let line = format!(r#"test life::exit ... {MARK}{{"begun":"life::exit"}}"#);
        let begun = Told::Begun { begun: "life::exit".into() };
        assert_eq!(read(&line), Some(("test life::exit ... ", begun)));
        let line = format!(r#"{MARK}{{"ended":"a","outcome":"failed","reason":"no \"b\""}}"#);
        let ended =
            Told::Ended { ended: "a".into(), outcome: "failed".into(), reason: Some("no \"b\"".into()) };
        assert_eq!(read(&line), Some(("", ended)));
        let line = format!(r#"{MARK}{{"measured":"uwsgi","bytes":4096}}"#);
        assert_eq!(read(&line), Some(("", Told::Measured { measured: "uwsgi".into(), bytes: 4096 })));
    }

    #[test]
    fn other_lines_tell_nothing() {
        assert_eq!(read("test life::exit ... ok"), None);
        assert_eq!(read(&format!("{MARK}{{\"ended\":\"cut")), None);
    }
}
