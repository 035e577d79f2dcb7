//! One test: its name, what it needs, what it does.

use std::panic;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use libtest_mimic::{Completion, Failed, Trial};

use crate::limit;
use crate::need::Need;
use crate::report::{self, Outcome, Report};

/// A row of a table of tests.
#[derive(Clone, Copy)]
pub struct Case {
    /// Unique name, `family::what_is_claimed`.
    pub name: &'static str,
    /// What the machine must have; something missing skips the test with a reason, and fails it in a guest that was made to
    /// have it.
    pub needs: &'static [Need],
    /// Whether no other test may run at the same time: it measures the machine or loads all of it.
    pub alone: bool,
    /// The test.
    pub run: fn() -> anyhow::Result<()>,
}

impl Case {
    /// A test that runs beside others.
    #[must_use]
    pub const fn new(name: &'static str, needs: &'static [Need], run: fn() -> anyhow::Result<()>) -> Self {
        Self { name, needs, alone: false, run }
    }

    /// A test that runs alone.
    #[must_use]
    pub const fn alone(name: &'static str, needs: &'static [Need], run: fn() -> anyhow::Result<()>) -> Self {
        Self { name, needs, alone: true, run }
    }

    /// The row as the test runner wants it; the outcome goes into `report` too.
    #[must_use]
    pub fn trial(self, report: Arc<Report>) -> Trial {
        Trial::ignorable_test(self.name, move || match self.reported(&report) {
            Outcome::Passed(_) => Ok(Completion::Completed),
            Outcome::Failed(message) => Err(Failed::from(message)),
            Outcome::Skipped(reason) => Ok(Completion::ignored_with(reason)),
        })
    }

    fn reported(self, report: &Report) -> Outcome {
        let outcome = self.outcome();
        report.add(self.name, outcome.clone());
        outcome
    }

    /// What becomes of it; a panic is a failure with what it said.
    fn outcome(self) -> Outcome {
        panic::catch_unwind(|| self.run_or_skip()).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Outcome::Failed(format!("panicked: {}", said.unwrap_or("it did not say why")))
        })
    }

    fn run_or_skip(self) -> Outcome {
        if let Some((need, reason)) = self.needs.iter().find_map(|need| Some((need, need.missing()?))) {
            return if limit::in_guest() && !need.may_lack_in_guest() {
                Outcome::Failed(format!("a guest must not lack this: {reason}"))
            } else {
                Outcome::Skipped(reason)
            };
        }
        let start = Instant::now();
        match self.run_in_turn() {
            Ok(()) => Outcome::Passed(start.elapsed()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }

    fn run_in_turn(self) -> anyhow::Result<()> {
        static TURN: RwLock<()> = RwLock::new(());
        // A lock that a panicking test left behind guards nothing but the turn.
        if self.alone {
            let _turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
            report::begin(self.name);
            (self.run)()
        } else {
            let _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
            report::begin(self.name);
            (self.run)()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_as_a_failure() {
        let report = Report::default();
        let cases = [
            Case::new("panics", &[], || panic!("no luck")),
            Case::alone("panics_in_words", &[], || panic!("no {}", "luck")),
        ];
        for case in cases {
            let outcome = case.reported(&report);
            assert!(matches!(outcome, Outcome::Failed(reason) if reason == "panicked: no luck"));
        }
        Case::new("holds", &[], || Ok(())).reported(&report);
        assert_eq!(report.counts(), (1, 2, 0));
    }
}
