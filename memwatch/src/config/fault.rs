//! What is wrong with a configuration: key, value, line and remedy of each fault, all of them at once.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A value of more characters than this is cut in a message.
const LONGEST_VALUE: usize = 60;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Line in the file, from 1; `None`: it concerns the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, as `pool[1].soft`, counted from 1; empty where the text is no TOML.
    pub key: String,
    /// The value as it was written, cut when it is long; `None`: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Fault {
    /// A fault of the file as a whole.
    pub(super) fn of_file(problem: String, remedy: &str) -> Self {
        Self { line: None, key: String::new(), value: None, problem, remedy: remedy.to_owned() }
    }

    /// A fault at a place in the text, whose value is the text there.
    pub(super) fn at(text: &str, span: Range<usize>, key: String, problem: String, remedy: String) -> Self {
        let value = text.get(span.clone()).map(excerpt).filter(|value| !value.is_empty());
        Self { value, ..Self::near(text, span.start, key, problem, remedy) }
    }

    /// A fault near a place in the text that has no value of its own.
    pub(super) fn near(text: &str, place: usize, key: String, problem: String, remedy: String) -> Self {
        let before = text.as_bytes().get(..place).unwrap_or(text.as_bytes());
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        Self { line: Some(line), key, value: None, problem, remedy }
    }
}

/// The first line of a text, safe on a terminal, cut when it is long.
fn excerpt(text: &str) -> String {
    let line = text.trim_end().lines().next().unwrap_or_default();
    let shown: String = line.chars().take(LONGEST_VALUE).map(plain).collect();
    let is_whole = line.len() == text.trim_end().len() && line.chars().count() <= LONGEST_VALUE;
    if is_whole { shown } else { shown + "…" }
}

/// A control character as U+FFFD.
fn plain(character: char) -> char {
    if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, ": ")?;
        } else if let Some(value) = &self.value {
            write!(f, "`{value}`: ")?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// All faults of a file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: PathBuf,
    list: Vec<Fault>,
}

impl Faults {
    /// The faults of a file.
    pub(super) fn new(file: &Path, mut list: Vec<Fault>) -> Self {
        list.sort();
        list.dedup();
        Self { file: file.to_owned(), list }
    }

    /// Each of them; at least one.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        write!(
            f,
            "{} is no valid configuration, {count} fault{}:",
            self.file.display(),
            if count == 1 { "" } else { "s" }
        )?;
        for fault in &self.list {
            write!(f, "\n  {}:", self.file.display())?;
            if let Some(line) = fault.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_line_key_value_and_remedy() {
        let text = "mode = 'x'\n\nsoft = 12\n";
        let fault = Fault::at(text, 19..21, "pool[1].soft".into(), "no unit".into(), "write 12MiB".into());
        let faults = Faults::new(Path::new("a.toml"), vec![fault.clone(), fault]);
        assert_eq!(
            faults.to_string(),
            "a.toml is no valid configuration, 1 fault:\n  a.toml:3: pool[1].soft = 12: no unit; write 12MiB"
        );
    }

    #[test]
    fn what_was_written_is_safe_to_show() {
        assert_eq!(excerpt("a\u{1b}[1m"), "a\u{fffd}[1m");
        assert_eq!(excerpt("[\n1,\n]"), "[…");
        assert_eq!(excerpt(&"x".repeat(100)).chars().count(), LONGEST_VALUE + 1);
        assert_eq!(excerpt(&"ä".repeat(LONGEST_VALUE)), "ä".repeat(LONGEST_VALUE));
    }
}
