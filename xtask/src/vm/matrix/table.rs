//! The results as a table of Markdown, which is also what the terminal shows.

use std::collections::BTreeMap;

use super::results::{KernelResults, Results, Test};

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
            None => "-".to_owned(),
        }
    }
}

impl Results {
    /// Each test with its outcome on each kernel, the reasons, then each kernel's figures.
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
        let mut reasons = Reasons::default();
        let heads: String = self.kernels.iter().map(|kernel| format!(" {} |", kernel.name)).collect();
        let mut text = format!("| test |{heads}\n|---|{}\n", "---|".repeat(self.kernels.len()));
        for (name, row) in &rows {
            let cells: String = row.iter().map(|test| format!(" {} |", reasons.cell(*test))).collect();
            text.push_str(&format!("| {name} |{cells}\n"));
        }
        if !reasons.0.is_empty() {
            text.push('\n');
        }
        for (index, reason) in reasons.0.iter().enumerate() {
            text.push_str(&format!("{}. {reason}\n", index + 1));
        }
        for kernel in &self.kernels {
            text.push_str(&format!("\n- {}", kernel.summary()));
        }
        text
    }
}

impl KernelResults {
    /// One line of the kernel's figures.
    pub(super) fn summary(&self) -> String {
        let fault = self.fault.as_ref().map(|fault| format!("; {fault}")).unwrap_or_default();
        let (passed, failed, skipped) = (self.count("passed"), self.count("failed"), self.count("skipped"));
        let boot = self.seconds_to_first_command.map(|time| format!(", first command {time:.1} s"));
        format!(
            "{}: {passed} passed, {failed} failed, {skipped} skipped{}{fault}",
            self.name,
            boot.unwrap_or_default()
        )
    }

    fn count(&self, outcome: &str) -> usize {
        self.tests.iter().filter(|test| test.outcome == outcome).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::fixture;

    #[test]
    fn the_table_has_a_row_for_each_test_and_a_column_for_each_kernel() {
        let expected = "| test | 5.10 | newest |\n|---|---|---|\n| a | passed | - |\n\
                        | b | skipped (1) | failed (2) |\n| c | skipped (1) | - |\n\n\
                        1. no lsm\n2. x\n\n\
                        - 5.10: 1 passed, 0 failed, 2 skipped, first command 7.0 s\n\
                        - newest: 0 passed, 1 failed, 0 skipped; kernel panic";
        assert_eq!(fixture().table(), expected);
    }
}
