//! What came of the tests on each kernel: kept as JSON, shown as a table.

use std::{collections::BTreeMap, fs, path::Path};

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

    fn cell(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {}", self.outcome, reason.lines().next().unwrap_or_default()),
            None => self.outcome.clone(),
        }
    }
}

impl KernelResults {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    fn count(&self, outcome: &str) -> usize {
        self.tests.iter().filter(|test| test.outcome == outcome).count()
    }

    /// One line of the kernel's figures.
    fn summary(&self) -> String {
        let fault = self.fault.as_ref().map(|fault| format!("; {fault}")).unwrap_or_default();
        let (passed, failed, skipped) = (self.count("passed"), self.count("failed"), self.count("skipped"));
        let boot = self.seconds_to_first_command.map(|time| format!(", first command {time:.1} s"));
        format!(
            "{} ({}): {passed} passed, {failed} failed, {skipped} skipped in {:.0} s{}{fault}",
            self.name,
            self.release,
            self.seconds,
            boot.unwrap_or_default()
        )
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

    /// Each test with its outcome on each kernel, in Markdown, then each kernel's figures, then the reasons.
    pub(crate) fn table(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<Option<&Test>>> = BTreeMap::new();
        for (column, kernel) in self.kernels.iter().enumerate() {
            for test in &kernel.tests {
                let row = rows.entry(&test.name).or_insert_with(|| vec![None; self.kernels.len()]);
                if let Some(cell) = row.get_mut(column) {
                    *cell = Some(test);
                }
            }
        }
        let heads: String = self.kernels.iter().map(|kernel| format!(" {} |", kernel.name)).collect();
        let mut text = format!("| test |{heads}\n|---|{}\n", "---|".repeat(self.kernels.len()));
        for (name, cells) in &rows {
            let cells: String =
                cells.iter().map(|cell| format!(" {} |", cell.map_or("-".to_owned(), Test::cell))).collect();
            text.push_str(&format!("| {name} |{cells}\n"));
        }
        for kernel in &self.kernels {
            text.push_str(&format!("\n- {}", kernel.summary()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, outcome: &str, reason: Option<&str>) -> Test {
        Test { name: name.into(), outcome: outcome.into(), reason: reason.map(str::to_owned) }
    }

    fn results() -> Results {
        let old = KernelResults {
            release: "5.10.0".into(),
            seconds_to_first_command: Some(7.04),
            seconds: 60.4,
            tests: vec![test("a", "passed", None), test("b", "skipped", Some("no lsm\nsecond line"))],
            ..KernelResults::new("5.10")
        };
        let new = KernelResults {
            fault: Some("kernel panic".into()),
            tests: vec![test("b", "failed", Some("x"))],
            ..KernelResults::new("newest")
        };
        Results { kernels: vec![old, new] }
    }

    #[test]
    fn the_table_has_a_row_for_each_test_and_a_column_for_each_kernel() {
        let expected = "| test | 5.10 | newest |\n|---|---|---|\n| a | passed | - |\n\
                        | b | skipped: no lsm | failed: x |\n\n\
                        - 5.10 (5.10.0): 1 passed, 0 failed, 1 skipped in 60 s, first command 7.0 s\n\
                        - newest (): 0 passed, 1 failed, 0 skipped in 0 s; kernel panic";
        assert_eq!(results().table(), expected);
    }

    #[test]
    fn a_fault_is_a_failure_unless_it_is_excused() {
        let mut results = results();
        assert_eq!(results.failures().len(), 1);
        results.kernels[1].tests.clear();
        results.kernels[1].is_excused = true;
        assert!(results.failures().is_empty());
    }

    #[test]
    fn results_read_back_as_written() {
        let text = serde_json::to_string(&results()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results());
    }
}
