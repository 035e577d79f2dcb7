//! One test: its name, what it needs, what it does.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use libtest_mimic::{Completion, Failed, Trial};

use crate::limit;
use crate::need::Need;
use crate::report::{Outcome, Report};

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
        Trial::ignorable_test(self.name, move || {
            if let Some((need, reason)) = self.needs.iter().find_map(|need| Some((need, need.missing()?))) {
                return if limit::in_guest() && !need.may_lack_in_guest() {
                    let message = format!("a guest must not lack this: {reason}");
                    report.add(self.name, Outcome::Failed(message.clone()));
                    Err(Failed::from(message))
                } else {
                    report.add(self.name, Outcome::Skipped(reason.clone()));
                    Ok(Completion::ignored_with(reason))
                };
            }
            let start = Instant::now();
            match self.run_in_turn() {
                Ok(()) => {
                    report.add(self.name, Outcome::Passed(start.elapsed()));
                    Ok(Completion::Completed)
                }
                Err(error) => {
                    let message = format!("{error:#}");
                    report.add(self.name, Outcome::Failed(message.clone()));
                    Err(Failed::from(message))
                }
            }
        })
    }

    fn run_in_turn(self) -> anyhow::Result<()> {
        static TURN: RwLock<()> = RwLock::new(());
        // A lock that a panicking test left behind guards nothing but the turn.
        if self.alone {
            let _turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
            (self.run)()
        } else {
            let _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
            (self.run)()
        }
    }
}
