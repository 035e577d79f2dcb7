//! The results as a table of Markdown, which is also what the terminal shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::results::{KernelResults, Origin, Results, Test};

/// The reasons given so far; a cell refers to one by its number, as most are given many times.
#[derive(Default)]
struct Reasons(Vec<String>);

impl Reasons {
    /// The number of a reason, from 1.
    fn number(&mut self, reason: &str) -> usize {
        let reason = reason.lines().next().unwrap_or_default();
        let known = self.0.iter().position(|known| known == reason);
        known.unwrap_or_else(|| {
            self.0.push(reason.to_owned());
            self.0.len() - 1
        }) + 1
    }

    fn cell(&mut self, test: Option<&Test>) -> String {
        match test.map(|test| (&test.outcome, &test.reason)) {
            Some((outcome, Some(reason))) => format!("{outcome} ({})", self.number(reason)),
            Some((outcome, None)) => outcome.clone(),
            None => "not run".to_owned(),
        }
    }
}

impl Results {
    /// Each test with its outcome on each kernel, the reasons, then each kernel's figures.
    pub(crate) fn table(&self) -> String {
        let mut reasons = Reasons::default();
        let heads: String = self.kernels.iter().map(|kernel| format!(" {} |", kernel.name)).collect();
        let mut text = format!("| test |{heads}\n|---|{}\n", "---|".repeat(self.kernels.len()));
        for name in self.names() {
            let cells = self.kernels.iter().map(|kernel| kernel.tests.iter().find(|test| test.name == name));
            let cells: String = cells.map(|test| format!(" {} |", reasons.cell(test))).collect();
            text.push_str(&format!("| {name} |{cells}\n"));
        }
        if !reasons.0.is_empty() {
            text.push('\n');
        }
        for (index, reason) in reasons.0.iter().enumerate() {
            text.push_str(&format!("{}. {reason}\n", index + 1));
        }
        for kernel in &self.kernels {
            text.push_str(&format!("\n- {}", self.summary(kernel)));
            for (origin, count) in kernel.origins() {
                text.push_str(&format!("\n  - {count} of {origin}"));
            }
        }
        text
    }

    /// The tests there are to run, and those that have an outcome.
    fn names(&self) -> BTreeSet<&str> {
        let ran = self.kernels.iter().flat_map(|kernel| &kernel.tests).map(|test| &test.name);
        self.known.iter().chain(ran).map(String::as_str).collect()
    }

    /// One line of a kernel's figures.
    pub(super) fn summary(&self, kernel: &KernelResults) -> String {
        let fault = kernel.fault.as_ref().map(|fault| format!("; {fault}")).unwrap_or_default();
        let count = |outcome| kernel.tests.iter().filter(|test| test.outcome == outcome).count();
        let boot = kernel.seconds_to_first_command.map(|time| format!(", first command {time:.1} s"));
        format!(
            "{}: {} passed, {} failed, {} skipped, {} not run{}{fault}",
            kernel.name,
            count("passed"),
            count("failed"),
            count("skipped"),
            self.names().len().saturating_sub(kernel.tests.len()),
            boot.unwrap_or_default()
        )
    }
}

impl KernelResults {
    /// Under what its outcomes came about, and how many under each.
    fn origins(&self) -> BTreeMap<&Origin, usize> {
        let mut origins = BTreeMap::new();
        for test in &self.tests {
            *origins.entry(&test.origin).or_insert(0) += 1;
        }
        origins
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "revision {revision}")?,
            None => write!(f, "an unknown revision")?,
        }
        match &self.release {
            Some(release) => write!(f, " on {release}"),
            None => write!(f, " on an unknown release"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::fixture;

    #[test]
    fn the_table_tells_what_did_not_run_and_where_the_outcomes_come_from() {
        let results = fixture();
        let [old, new] = [0, 1].map(|at| results.kernels[at].name.as_str());
        let expected = format!(
            "| test | {old} | {new} |\n|---|---|---|\n| a | passed | not run |\n\
             | b | skipped (1) | failed (2) |\n| c | skipped (1) | not run |\n| d | not run | not run |\n\n\
             1. no lsm\n2. x\n\n\
             - {old}: 1 passed, 0 failed, 2 skipped, 1 not run, first command 7.0 s\n\
             \x20 - 1 of an unknown revision on an unknown release\n\
             \x20 - 2 of revision abc123 on 5.10.0\n\
             - {new}: 0 passed, 1 failed, 0 skipped, 3 not run; kernel panic\n\
             \x20 - 1 of revision abc123 on 5.10.0"
        );
        assert_eq!(results.table(), expected);
    }
}
