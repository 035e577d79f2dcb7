//! What came of the tests on each kernel, kept as JSON.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The results of one run.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) kernels: Vec<KernelResults>,
}

/// The results on one kernel.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KernelResults {
    pub(crate) name: String,
    pub(crate) release: String,
    pub(crate) version: String,
    pub(crate) seconds_to_first_command: Option<f64>,
    pub(crate) seconds: f64,
    /// What went wrong besides the tests.
    pub(crate) fault: Option<String>,
    /// Whether the kernel could not be had or started at all.
    pub(crate) is_absent: bool,
    /// Whether its absence was allowed.
    pub(crate) is_excused: bool,
    pub(crate) tests: Vec<Test>,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// `passed`, `failed` or `skipped`.
    pub(crate) outcome: String,
    pub(crate) reason: Option<String>,
}

/// The file a test program writes; it says more than is read here.
#[derive(Deserialize)]
struct Report {
    tests: Vec<Test>,
}

/// Reads a test program's file.
///
/// # Errors
/// It is not there, or not what a test program writes.
pub(super) fn read_tests(path: &Path) -> Result<Vec<Test>> {
    let text = fs::read_to_string(path).context("the test program left no results")?;
    let report: Report = serde_json::from_str(&text).context("the test program's results make no sense")?;
    Ok(report.tests)
}

impl Test {
    /// Whether it held nothing of what it promised; an unknown outcome counts as that.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self.outcome.as_str(), "passed" | "skipped")
    }
}

impl KernelResults {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Results {
    /// Reads the results of the last run.
    ///
    /// # Errors
    /// There are none, or they are of another form.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: run `cargo xtask vm` first", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} makes no sense", path.display()))
    }

    /// Keeps them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot put the results into JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Why the run failed, a text for each kernel it failed on.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = |kernel: &&KernelResults| {
            (kernel.fault.is_some() && !kernel.is_excused) || kernel.tests.iter().any(Test::has_failed)
        };
        self.kernels.iter().filter(failed).map(KernelResults::summary).collect()
    }
}

/// Results of two kernels, for tests.
#[cfg(test)]
pub(super) fn fixture() -> Results {
    let test = |name: &str, outcome: &str, reason: Option<&str>| Test {
        name: name.into(),
        outcome: outcome.into(),
        reason: reason.map(str::to_owned),
    };
    let old = KernelResults {
        release: "5.10.0".into(),
        seconds_to_first_command: Some(7.04),
        seconds: 60.4,
        tests: vec![
            test("a", "passed", None),
            test("b", "skipped", Some("no lsm\nsecond line")),
            test("c", "skipped", Some("no lsm")),
        ],
        ..KernelResults::new("5.10")
    };
    let new = KernelResults {
        fault: Some("kernel panic".into()),
        tests: vec![test("b", "failed", Some("x"))],
        ..KernelResults::new("newest")
    };
    Results { kernels: vec![old, new] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_failure_unless_it_is_excused() {
        let mut results = fixture();
        assert_eq!(results.failures().len(), 1);
        results.kernels[1].tests.clear();
        results.kernels[1].is_excused = true;
        assert!(results.failures().is_empty());
    }

    #[test]
    fn results_read_back_as_written() {
        let text = serde_json::to_string(&fixture()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), fixture());
    }
}
