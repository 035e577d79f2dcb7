//! What came of the tests on each kernel, kept as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::vm::kernel::KERNELS;

/// The results of one run.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) kernels: Vec<KernelResults>,
}

/// The results on one kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KernelResults {
    pub(crate) name: String,
    pub(crate) release: String,
    pub(crate) version: String,
    pub(crate) seconds_to_first_command: Option<f64>,
    pub(crate) seconds: f64,
    /// Whether all tests have run since the row was begun: it says all there is to say.
    #[serde(default)]
    pub(crate) is_whole: bool,
    /// What went wrong besides the tests.
    pub(crate) fault: Option<String>,
    /// Whether the kernel could not be had or started at all.
    pub(crate) is_absent: bool,
    /// Whether its absence was allowed.
    pub(crate) is_excused: bool,
    pub(crate) tests: Vec<Test>,
    /// Instructions of each program: those that the verifier walked through, where the kernel tells (5.16), else those that
    /// the program has.
    #[serde(default)]
    pub(crate) instructions: Instructions,
    /// Bytes that tests measured, by what they are of.
    #[serde(default)]
    pub(crate) measured: Measured,
    /// The names of all tests there are, run or not; none where the test program did not tell.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) known: BTreeSet<String>,
}

/// Numbers of instructions by program.
pub(crate) type Instructions = BTreeMap<String, u32>;

/// Bytes by what they are of.
pub(crate) type Measured = BTreeMap<String, u64>;

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
pub(super) struct Report {
    pub(super) tests: Vec<Test>,
    #[serde(default)]
    pub(super) measured: Measured,
    #[serde(default)]
    pub(super) known: BTreeSet<String>,
}

/// Reads a test program's file.
///
/// # Errors
/// It is not there, or not what a test program writes.
pub(super) fn read_report(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).context("the test program left no results")?;
    let mut report: Report =
        serde_json::from_str(&text).context("the test program's results make no sense")?;
    for test in &mut report.tests {
        // All of it is in the test program's own output; what follows the first line are lines of events.
        test.reason = test.reason.take().map(|reason| first_line(&reason));
    }
    Ok(report)
}

/// The beginning of a text, as much as fits a table's foot.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Reads the numbers of instructions that a test left; none where it did not run.
///
/// # Errors
/// They are not what that test writes.
pub(super) fn read_instructions(path: &Path) -> Result<Instructions> {
    if !path.is_file() {
        return Ok(Instructions::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).context("the numbers of instructions make no sense")
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
    /// Reads kept results; none where there is no file.
    ///
    /// # Errors
    /// They are of another form.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} makes no sense: remove it and run `cargo xtask vm`", path.display()))
    }

    /// Takes in what a run of a part of the tests came to: those tests and numbers take the place of older ones, and tests
    /// that there are no more go.
    pub(crate) fn renew(&mut self, part: &KernelResults) {
        let known = self.kernels.iter().position(|kernel| kernel.name == part.name);
        let mut row = known.map_or_else(|| KernelResults::new(&part.name), |at| self.kernels.swap_remove(at));
        row.tests.retain(|test| {
            let exists = part.known.is_empty() || part.known.contains(&test.name);
            exists && part.tests.iter().all(|newer| newer.name != test.name)
        });
        row.tests.extend(part.tests.iter().cloned());
        row.tests.sort_by(|one, other| one.name.cmp(&other.name));
        // The one test that counts them counts all.
        if !part.instructions.is_empty() {
            row.instructions.clone_from(&part.instructions);
        }
        row.measured.extend(part.measured.clone());
        if !part.known.is_empty() {
            row.known.clone_from(&part.known);
        }
        // How long a part took says nothing; a fault that outlives its run would have to be asked for again.
        (row.release, row.version) = (part.release.clone(), part.version.clone());
        row.fault = None;
        self.put(row);
    }

    /// Takes in what is kept of earlier runs on a kernel.
    pub(crate) fn take_over(&mut self, kept: &KernelResults) {
        if kept.is_whole || kept.fault.is_some() {
            self.put(kept.clone());
        } else {
            self.renew(kept);
        }
    }

    /// Takes in a kernel's results in place of older ones, in the order of the table of kernels.
    pub(crate) fn put(&mut self, row: KernelResults) {
        let place = |name: &str| KERNELS.iter().position(|kernel| kernel.name == name);
        self.kernels.retain(|kernel| kernel.name != row.name && place(&kernel.name).is_some());
        self.kernels.push(row);
        self.kernels.sort_by_key(|kernel| place(&kernel.name));
    }

    /// The programs that have grown by more than a tenth since `before`, a line each.
    pub(crate) fn growth(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for kernel in &self.kernels {
            let Some(old) = before.kernels.iter().find(|old| old.name == kernel.name) else { continue };
            for (program, count) in &kernel.instructions {
                let Some(known) = old.instructions.get(program) else { continue };
                if u64::from(*count) * 10 > u64::from(*known) * 11 {
                    lines.push(format!("{program} on {}: {count} instructions, {known} before", kernel.name));
                }
            }
        }
        lines
    }

    /// Keeps them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
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
    fn a_kernels_newer_results_take_the_place_of_the_older() {
        let mut results = fixture();
        results.put(KernelResults::new("6.1"));
        results.put(KernelResults::new("5.10"));
        let names: Vec<_> = results.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, ["5.10", "6.1", "newest"]);
        assert!(results.kernels[0].tests.is_empty());
    }

    #[test]
    fn a_part_renews_its_own_tests_only() {
        let mut results = fixture();
        let test = Test { name: "b".into(), outcome: "passed".into(), reason: None };
        results.renew(&KernelResults { tests: vec![test], ..KernelResults::new("5.10") });
        let outcomes = |results: &Results| {
            let tests = results.kernels[0].tests.iter();
            tests.map(|test| format!("{} {}", test.name, test.outcome)).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(&results), ["a passed", "b passed", "c skipped"]);
        let known = ["b", "c", "d"].map(str::to_owned).into();
        results.renew(&KernelResults { known, ..KernelResults::new("5.10") });
        assert_eq!(outcomes(&results), ["b passed", "c skipped"]);
    }

    #[test]
    fn a_part_is_taken_over_as_one() {
        let part = KernelResults { tests: Vec::new(), ..KernelResults::new("5.10") };
        let mut results = fixture();
        results.take_over(&part);
        assert_eq!(results.kernels[0].tests.len(), 3);
        results.take_over(&KernelResults { is_whole: true, ..part });
        assert!(results.kernels[0].tests.is_empty());
    }

    #[test]
    fn growth_over_a_tenth_is_told() {
        let counted = |count| {
            let instructions = Instructions::from([("mmap_fexit".to_owned(), count)]);
            Results { kernels: vec![KernelResults { instructions, ..KernelResults::new("6.1") }] }
        };
        assert!(counted(1_100).growth(&counted(1_000)).is_empty());
        let told = counted(1_101).growth(&counted(1_000));
        assert_eq!(told, ["mmap_fexit on 6.1: 1101 instructions, 1000 before"]);
        assert!(counted(1_101).growth(&Results::default()).is_empty());
    }

    #[test]
    fn results_read_back_as_written() {
        let text = serde_json::to_string(&fixture()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), fixture());
    }
}
