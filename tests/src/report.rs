//! What became of each test: printed at the end and, when asked for, written as JSON for the table of kernels.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
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

/// What tests measured, by what it is.
static MEASURED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Notes a number that is worth to be kept beside the outcomes.
pub fn record(what: String, number: u64) {
    MEASURED.lock().unwrap_or_else(PoisonError::into_inner).insert(what, number);
}

/// The outcomes of a run.
#[derive(Default)]
pub struct Report {
    outcomes: Mutex<Vec<(&'static str, Outcome)>>,
}

impl Report {
    /// Notes one outcome.
    pub fn add(&self, name: &'static str, outcome: Outcome) {
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

    /// Writes the JSON file that `MEMWATCH_TEST_RESULTS` names, when it is set.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        let Some(path) = std::env::var_os("MEMWATCH_TEST_RESULTS").map(std::path::PathBuf::from) else {
            return Ok(());
        };
        std::fs::write(&path, format!("{:#}\n", self.json()))
            .with_context(|| format!("write the results to {}", path.display()))
    }

    fn json(&self) -> Value {
        let tests: Vec<Value> = self
            .sorted()
            .into_iter()
            .map(|(name, outcome)| match outcome {
                Outcome::Passed(time) => {
                    json!({"name": name, "outcome": "passed", "milliseconds": time.as_millis() as u64})
                }
                Outcome::Failed(reason) => json!({"name": name, "outcome": "failed", "reason": reason}),
                Outcome::Skipped(reason) => json!({"name": name, "outcome": "skipped", "reason": reason}),
            })
            .collect();
        let (passed, failed, skipped) = self.counts();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        json!({
            "kernel": release.trim(),
            "passed": passed,
            "failed": failed,
            "skipped": skipped,
            "tests": tests,
            // What a run of a part leaves out is told from what there is no more.
            "known": crate::cases::all().map(|case| case.name).collect::<Vec<_>>(),
            "measured": *MEASURED.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    fn sorted(&self) -> Vec<(&'static str, Outcome)> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcomes.sort_by_key(|(name, _)| *name);
        outcomes
    }
}
