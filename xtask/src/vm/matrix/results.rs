//! What came of the tests on each kernel, kept as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::vm::kernel::KERNELS;

/// What came of the tests on some kernels: of each test the last outcome.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) kernels: Vec<KernelResults>,
    /// The names of the tests there are to run; none where that is not known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) known: BTreeSet<String>,
}

/// The results on one kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KernelResults {
    pub(crate) name: String,
    /// Of the last guest that came so far.
    pub(crate) seconds_to_first_command: Option<f64>,
    /// What went wrong in the last guest besides the tests.
    pub(crate) fault: Option<String>,
    pub(crate) tests: Vec<Test>,
    /// Instructions of each program: those that the verifier walked through, where the kernel tells (5.16), else those that
    /// the program has.
    #[serde(default)]
    pub(crate) instructions: Instructions,
    /// Under what they were counted.
    #[serde(default)]
    pub(crate) counted: Origin,
    /// Bytes that tests measured, by what they are of.
    #[serde(default)]
    pub(crate) measured: Measured,
}

/// Under what an outcome came about; what is not told is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The kernel's, as `uname -r` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// The tree's, as git tells it in short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
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
    #[serde(flatten)]
    pub(crate) origin: Origin,
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

    /// Takes the tests there are for all there are to run: outcomes of others go.
    pub(crate) fn keep_only(&mut self, known: BTreeSet<String>) {
        for kernel in &mut self.kernels {
            kernel.tests.retain(|test| known.contains(&test.name));
        }
        self.known = known;
    }

    /// Takes in newer results of a kernel: they take the place of the older ones of the same tests and programs.
    pub(crate) fn merge(&mut self, newer: &KernelResults) {
        let place = |name: &str| KERNELS.iter().position(|kernel| kernel.name == name);
        let known = self.kernels.iter().position(|kernel| kernel.name == newer.name);
        let mut row =
            known.map_or_else(|| KernelResults::new(&newer.name), |at| self.kernels.swap_remove(at));
        row.tests.retain(|test| newer.tests.iter().all(|newer| newer.name != test.name));
        row.tests.extend(newer.tests.iter().cloned());
        row.tests.sort_by(|one, other| one.name.cmp(&other.name));
        // The one test that counts them counts all.
        if !newer.instructions.is_empty() {
            row.instructions.clone_from(&newer.instructions);
            row.counted.clone_from(&newer.counted);
        }
        row.measured.extend(newer.measured.clone());
        row.seconds_to_first_command = newer.seconds_to_first_command.or(row.seconds_to_first_command);
        row.fault.clone_from(&newer.fault);
        self.kernels.push(row);
        self.kernels.retain(|kernel| place(&kernel.name).is_some());
        self.kernels.sort_by_key(|kernel| place(&kernel.name));
    }

    /// The programs that have grown by more than a tenth since `before`, that were not counted then, or are not now: a line each,
    /// after one that tells with what those of a kernel are compared.
    pub(crate) fn growth(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for kernel in self.kernels.iter().filter(|kernel| !kernel.instructions.is_empty()) {
            let old = before.kernels.iter().find(|old| old.name == kernel.name);
            let Some(old) = old.filter(|old| !old.instructions.is_empty()) else {
                lines.push(format!("instructions on {}: none were counted before", kernel.name));
                continue;
            };
            lines.push(format!("instructions on {} beside those of {}:", kernel.name, old.counted));
            let programs: BTreeSet<_> = kernel.instructions.keys().chain(old.instructions.keys()).collect();
            for program in programs {
                match (kernel.instructions.get(program), old.instructions.get(program)) {
                    (Some(count), Some(known)) if u64::from(*count) * 10 > u64::from(*known) * 11 => {
                        lines.push(format!(
                            "  {program} has grown by more than a tenth: {count}, {known} before"
                        ));
                    }
                    (Some(count), None) => lines.push(format!("  {program} was not counted before: {count}")),
                    (None, Some(known)) => {
                        lines.push(format!("  {program} is not counted now: {known} before"))
                    }
                    (Some(_), Some(_)) | (None, None) => {}
                }
            }
        }
        lines
    }

    /// Keeps them: a file that is there stays whole whenever this is cut short.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot put the results into JSON")?;
        let beside = path.with_extension("json.new");
        fs::write(&beside, text + "\n")
            .and_then(|()| fs::rename(&beside, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Why the run failed, a text for each kernel it failed on.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed =
            |kernel: &&KernelResults| kernel.fault.is_some() || kernel.tests.iter().any(Test::has_failed);
        self.kernels.iter().filter(failed).map(|kernel| self.summary(kernel)).collect()
    }
}

/// Results of two kernels, for tests.
#[cfg(test)]
pub(super) fn fixture() -> Results {
    let test = |name: &str, outcome: &str, reason: Option<&str>, origin: &Origin| Test {
        name: name.into(),
        outcome: outcome.into(),
        reason: reason.map(str::to_owned),
        origin: origin.clone(),
    };
    let unknown = Origin::default();
    let known = Origin { release: Some("5.10.0".into()), revision: Some("abc123".into()) };
    let old = KernelResults {
        seconds_to_first_command: Some(7.04),
        tests: vec![
            test("a", "passed", None, &known),
            test("b", "skipped", Some("no lsm\nsecond line"), &unknown),
            test("c", "skipped", Some("no lsm"), &known),
        ],
        ..KernelResults::new(KERNELS[0].name)
    };
    let new = KernelResults {
        fault: Some("kernel panic".into()),
        tests: vec![test("b", "failed", Some("x"), &known)],
        ..KernelResults::new(KERNELS[KERNELS.len() - 1].name)
    };
    Results { kernels: vec![old, new], known: ["a", "b", "c", "d"].map(str::to_owned).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_failure() {
        let mut results = fixture();
        assert_eq!(results.failures().len(), 1);
        results.kernels[1].tests.clear();
        assert_eq!(results.failures().len(), 1);
        results.kernels[1].fault = None;
        assert!(results.failures().is_empty());
    }

    #[test]
    fn kernels_stand_in_the_order_of_their_table() {
        let mut results = fixture();
        results.kernels.push(KernelResults::new("dropped"));
        results.merge(&KernelResults::new(KERNELS[1].name));
        let names: Vec<_> = results.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, [0, 1, KERNELS.len() - 1].map(|at| KERNELS[at].name));
    }

    #[test]
    fn newer_outcomes_replace_their_own_tests_only_and_each_keeps_its_origin() {
        let mut results = fixture();
        let origin = Origin { release: Some("5.10.9".into()), revision: Some("def456".into()) };
        let test = Test { name: "b".into(), outcome: "passed".into(), reason: None, origin };
        results.merge(&KernelResults { tests: vec![test], ..KernelResults::new(KERNELS[0].name) });
        let row = &results.kernels[0];
        let told = |test: &Test| {
            format!("{} {} {}", test.name, test.outcome, test.origin.release.as_deref().unwrap_or("?"))
        };
        let told: Vec<_> = row.tests.iter().map(told).collect();
        assert_eq!(told, ["a passed 5.10.0", "b passed 5.10.9", "c skipped 5.10.0"]);
        assert_eq!(row.seconds_to_first_command, Some(7.04));
    }

    #[test]
    fn outcomes_of_tests_that_are_no_more_go() {
        let mut results = fixture();
        results.keep_only(["b", "e"].map(str::to_owned).into());
        let names = results.kernels.iter().flat_map(|kernel| &kernel.tests).map(|test| test.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["b", "b"]);
        assert_eq!(results.known.len(), 2);
    }

    #[test]
    fn growth_and_programs_that_cannot_be_compared_are_told() {
        let counted = |programs: &[(&str, u32)]| {
            let instructions = programs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            let counted = Origin { release: Some("5.10.0".into()), revision: Some("abc123".into()) };
            let row = KernelResults { instructions, counted, ..KernelResults::new("5.10") };
            Results { kernels: vec![row], ..Results::default() }
        };
        let before = counted(&[("mmap", 1_000), ("gone", 7)]);
        let beside = "instructions on 5.10 beside those of revision abc123 on 5.10.0:";
        assert_eq!(counted(&[("mmap", 1_100), ("gone", 7)]).growth(&before), [beside]);
        let expected = [
            beside,
            "  gone is not counted now: 7 before",
            "  mmap has grown by more than a tenth: 1101, 1000 before",
            "  new was not counted before: 9",
        ];
        let now = counted(&[("mmap", 1_101), ("new", 9)]);
        assert_eq!(now.growth(&before), expected);
        assert_eq!(now.growth(&Results::default()), ["instructions on 5.10: none were counted before"]);
        assert!(counted(&[]).growth(&before).is_empty());
    }

    #[test]
    fn results_read_back_as_written() {
        let text = serde_json::to_string(&fixture()).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), fixture());
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_kept() {
        let dir = std::env::temp_dir().join(format!("memwatch-results-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("results.json");
        fixture().write(&path).unwrap();
        // A full disk: what is written fails after the file is opened.
        std::os::unix::fs::symlink("/dev/full", dir.join("results.json.new")).unwrap();
        assert!(Results::default().write(&path).is_err());
        assert_eq!(Results::read(&path).unwrap(), fixture());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn of_results_without_an_origin_it_is_not_known() {
        let text = r#"{"kernels": [{"name": "5.10", "release": "5.10.0", "version": "1", "seconds_to_first_command": null,
            "seconds": 0.0, "is_whole": false, "fault": null, "is_absent": false, "is_excused": false,
            "tests": [{"name": "a", "outcome": "passed", "reason": null}]}]}"#;
        let results: Results = serde_json::from_str(text).unwrap();
        assert_eq!(results.kernels[0].tests[0].origin, Origin::default());
    }
}
