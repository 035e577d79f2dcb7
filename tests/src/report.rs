//! What became of each test: printed at the end and, when asked for, told as it comes for the table of kernels.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// What became of a test.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It held, after this time.
    Passed(Duration),
    /// It did not, for this reason.
    Failed(String),
    /// The machine lacks something.
    Skipped(String),
}

/// Tells a number that is worth to be kept beside the outcomes.
pub fn record(what: &str, bytes: u64) {
    tell(&json!({"measured": what, "bytes": bytes}));
}

/// Tells that a test begins: one that is never told to end took the machine with it.
pub fn begin(name: &str) {
    tell(&json!({"begun": name}));
}

/// Tells the host of a guest, where `MEMWATCH_TEST_MARK` says how its lines are known. They may follow what the test runner has
/// begun a line with.
fn tell(what: &Value) {
    if let Ok(mark) = std::env::var("MEMWATCH_TEST_MARK") {
        // By one write, and shorter than what a pipe cuts. There is nobody else to tell of a failure.
        let _ = std::io::stderr().write_all(format!("{mark}{what}\n").as_bytes());
    }
}

/// The outcomes of a run.
#[derive(Default)]
pub struct Report {
    outcomes: Mutex<Vec<(&'static str, Outcome)>>,
}

impl Report {
    /// Notes and tells one outcome.
    pub fn add(&self, name: &'static str, outcome: Outcome) {
        tell(&told(name, &outcome));
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((name, outcome));
    }

    /// Numbers of tests that passed, failed, were skipped.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        self.sorted().iter().fold((0, 0, 0), |(passed, failed, skipped), (_, outcome)| match outcome {
            Outcome::Passed(_) => (passed + 1, failed, skipped),
            Outcome::Failed(_) => (passed, failed + 1, skipped),
            Outcome::Skipped(_) => (passed, failed, skipped + 1),
        })
    }

    /// The lines that end a run: each skip with its reason, then the counts.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = String::new();
        for (name, outcome) in self.sorted() {
            if let Outcome::Skipped(reason) = outcome {
                lines += &format!("skipped {name}: {reason}\n");
            }
        }
        let (passed, failed, skipped) = self.counts();
        lines + &format!("{passed} passed, {failed} failed, {skipped} skipped")
    }

    fn sorted(&self) -> Vec<(&'static str, Outcome)> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcomes.sort_by_key(|(name, _)| *name);
        outcomes
    }
}

/// An outcome in words.
fn told(name: &str, outcome: &Outcome) -> Value {
    let (outcome, reason) = match outcome {
        Outcome::Passed(_) => ("passed", None),
        Outcome::Failed(reason) => ("failed", Some(reason)),
        Outcome::Skipped(reason) => ("skipped", Some(reason)),
    };
    // As much as fits a table's foot: what follows the first line are lines of events, which the test runner prints.
    let reason =
        reason.map(|reason| reason.lines().next().unwrap_or_default().chars().take(200).collect::<String>());
    json!({"ended": name, "outcome": outcome, "reason": reason})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_one_line() {
        let passed = told("a", &Outcome::Passed(Duration::ZERO));
        assert_eq!(passed, json!({"ended": "a", "outcome": "passed", "reason": null}));
        let failed = told("a", &Outcome::Failed(format!("no{}\nevents", "o".repeat(300)))).to_string();
        assert!(failed.len() < 300 && !failed.contains('\n') && !failed.contains("events"), "{failed}");
    }
}
