//! The tests of one guest as they go: pure, from what the test program tells to the kernel's results.

use std::collections::BTreeSet;

use super::{
    lines::Told,
    results::{KernelResults, Origin, Test},
};

/// What has been told until now.
#[derive(Debug)]
pub(super) struct Progress {
    origin: Origin,
    row: KernelResults,
    /// The tests that have begun and not ended.
    under_way: BTreeSet<String>,
}

impl Progress {
    /// A guest of this kernel in which no test has begun.
    pub(super) fn new(kernel: &str, origin: Origin) -> Self {
        Self { origin, row: KernelResults::new(kernel), under_way: BTreeSet::new() }
    }

    /// Takes what the test program tells.
    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::Begun { begun } => drop(self.under_way.insert(begun)),
            Told::Ended { ended, outcome, reason } => {
                self.under_way.remove(&ended);
                self.row.tests.push(Test { name: ended, outcome, reason, origin: self.origin.clone() });
            }
            Told::Measured { measured, bytes } => drop(self.row.measured.insert(measured, bytes)),
        }
    }

    /// The results until now.
    pub(super) fn row(&self) -> &KernelResults {
        &self.row
    }

    /// Why a test program that ended with this status has not told all: a test that it was to run has no outcome, or it fails
    /// without a failed test.
    pub(super) fn contradiction(&self, status: u8, chosen: &BTreeSet<String>) -> Option<String> {
        let has_ended = |name: &String| self.row.tests.iter().any(|test| test.name == *name);
        let left: Vec<_> = chosen.iter().filter(|name| !has_ended(name)).collect();
        if let Some(first) = left.first() {
            let (left, all) = (left.len(), chosen.len());
            return Some(format!(
                "exit status {status}, no outcome of {left} of {all} tests, such as {first}"
            ));
        }
        let has_failed = self.row.tests.iter().any(Test::has_failed);
        (status != 0 && !has_failed).then(|| format!("exit status {status} of the test program"))
    }

    /// The results of a guest that is gone, and what went wrong with it: a test that had begun and not ended has failed.
    pub(super) fn end(mut self, fault: Option<String>) -> KernelResults {
        let reason = fault.as_deref().unwrap_or("the test program ended");
        let reason = format!("begun and not ended: {reason}");
        for name in std::mem::take(&mut self.under_way) {
            let (outcome, reason) = ("failed".to_owned(), Some(reason.clone()));
            self.row.tests.push(Test { name, outcome, reason, origin: self.origin.clone() });
        }
        KernelResults { fault, ..self.row }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::Results;
    use super::*;
    use crate::vm::kernel::KERNELS;

    fn begun(name: &str) -> Told {
        Told::Begun { begun: name.into() }
    }

    fn ended(name: &str, outcome: &str) -> Told {
        Told::Ended { ended: name.into(), outcome: outcome.into(), reason: None }
    }

    /// A guest of the oldest kernel that told this.
    fn guest(revision: &str, told: impl IntoIterator<Item = Told>, fault: Option<&str>) -> KernelResults {
        let origin = Origin { release: Some("5.10.0".into()), revision: Some(revision.into()) };
        let mut progress = Progress::new(KERNELS[0].name, origin);
        told.into_iter().for_each(|told| progress.take(told));
        progress.end(fault.map(str::to_owned))
    }

    #[test]
    fn a_test_that_took_the_guest_with_it_has_failed() {
        let mut kept = Results::default();
        let names = ["life::exit", "oom::host"];
        let passed = names.map(|name| ended(name, "passed"));
        kept.merge(&guest("one", passed, None));
        kept.merge(&guest("two", [begun("oom::host")], Some("kernel panic")));
        let row = &kept.kernels[0];
        let told = |test: &Test| (test.outcome.clone(), test.origin.revision.clone(), test.reason.clone());
        let told: Vec<_> = row.tests.iter().map(told).collect();
        assert_eq!(told[0], ("passed".into(), Some("one".into()), None));
        let reason = "begun and not ended: kernel panic".to_owned();
        assert_eq!(told[1], ("failed".into(), Some("two".into()), Some(reason)));
        assert_eq!(row.fault.as_deref(), Some("kernel panic"));
        assert_eq!(kept.failures().len(), 1);
    }

    #[test]
    fn a_test_program_that_has_not_told_all_is_found_out() {
        let mut progress = Progress::new(KERNELS[0].name, Origin::default());
        let chosen = ["a", "b"].map(str::to_owned).into();
        progress.take(ended("a", "failed"));
        for status in [0, 101] {
            let told = progress.contradiction(status, &chosen).unwrap();
            assert!(told.ends_with("no outcome of 1 of 2 tests, such as b"), "{told}");
        }
        progress.take(ended("b", "skipped"));
        assert_eq!(progress.contradiction(101, &chosen), None);
        let mut progress = Progress::new(KERNELS[0].name, Origin::default());
        progress.take(ended("a", "passed"));
        let chosen = ["a".to_owned()].into();
        assert_eq!(progress.contradiction(0, &chosen), None);
        assert!(progress.contradiction(101, &chosen).is_some());
    }

    #[test]
    fn a_test_that_began_and_ended_is_what_it_says() {
        let told = [begun("a"), begun("b"), ended("b", "skipped"), ended("a", "passed")];
        let told = told.into_iter().chain([Told::Measured { measured: "m".into(), bytes: 7 }]);
        let row = guest("one", told, None);
        let outcomes: Vec<_> = row.tests.iter().map(|test| test.outcome.as_str()).collect();
        assert_eq!(outcomes, ["skipped", "passed"]);
        assert_eq!((row.measured.get("m"), row.fault), (Some(&7), None));
    }
}
