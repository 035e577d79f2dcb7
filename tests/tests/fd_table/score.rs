//! Precision and recall over the corpus. A finding of medium or higher confidence is an alarm.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use memwatch::core::fact::Body;

use crate::story::{Story, is_alarm};

/// Counts of processes.
#[derive(Default)]
pub(crate) struct Score {
    all: usize,
    named: usize,
    missed: usize,
    false_alarms: usize,
    random: usize,
}

impl Score {
    pub(crate) const HEAD: &str = "\
| `--min-table` | processes | with tables of that size | named | missed | false alarms: programs | false alarms: random | precision: programs | precision: all | recall |
|---|---|---|---|---|---|---|---|---|---|
";

    /// Runs the corpus at a floor. A process whose tables stay below the floor is not asked for.
    pub(crate) fn of(stories: &[Story], floor: u64) -> Result<Self> {
        let mut score = Self::default();
        for story in stories {
            let alarms: BTreeSet<u32> = story
                .run(floor)?
                .iter()
                .filter(|finding| is_alarm(finding))
                .map(|finding| finding.process.key.tgid)
                .collect();
            let mut wanted = BTreeSet::new();
            for fact in story.facts(0)? {
                if let Body::FdTable(table) = &fact.event.body
                    && story.header.tables.contains(&fact.event.header.tgid)
                    && table.total.max(table.length) >= floor
                {
                    wanted.insert(fact.event.header.tgid);
                }
            }
            score.all += story.processes();
            score.named += wanted.intersection(&alarms).count();
            score.missed += wanted.difference(&alarms).count();
            let wrong = alarms.iter().filter(|pid| !story.header.tables.contains(pid)).count();
            if story.is_random() {
                score.random += wrong;
            } else {
                score.false_alarms += wrong;
            }
        }
        Ok(score)
    }

    /// What the corpus must give whatever the weights.
    pub(crate) fn is_good_enough(&self, floor: u64) -> Result<()> {
        ensure!(
            self.precision_of_programs() >= 0.95,
            "too many false alarms at {floor}: {}",
            self.false_alarms
        );
        ensure!(self.random * 5_000 <= self.all, "too many accidents at {floor}: {}", self.random);
        ensure!(self.recall() >= 0.85, "too many missed at {floor}: {}", self.missed);
        Ok(())
    }

    pub(crate) fn row(&self, floor: &str) -> String {
        format!(
            "| {floor} | {} | {} | {} | {} | {} | {} | {:.3} | {:.3} | {:.3} |\n",
            self.all,
            self.named + self.missed,
            self.named,
            self.missed,
            self.false_alarms,
            self.random,
            self.precision_of_programs(),
            self.precision(),
            self.recall()
        )
    }

    fn precision_of_programs(&self) -> f64 {
        ratio(self.named, self.named + self.false_alarms)
    }

    fn precision(&self) -> f64 {
        ratio(self.named, self.named + self.false_alarms + self.random)
    }

    fn recall(&self) -> f64 {
        ratio(self.named, self.named + self.missed)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
