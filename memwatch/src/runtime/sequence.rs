//! Numbers of records: what the kernel side says it sent against what came.
//!
//! Each CPU numbers the records that it tries to write. A number that never comes was either not written, which the
//! kernel side counts, or lost on the way, which nobody else would notice.

/// What came, per CPU.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    cpus: Vec<Seen>,
    /// Missing numbers at the look before: a record may be overtaken by one that an interrupt wrote.
    before: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    highest: u64,
    count: u64,
}

impl Sequence {
    /// A record came.
    pub(super) fn saw(&mut self, cpu: u16, number: u64) {
        if let Some(seen) = self.of(cpu.into()) {
            seen.highest = seen.highest.max(number);
            seen.count += 1;
        }
    }

    /// The highest number that each CPU gave, now that none gives another.
    pub(super) fn ended_at(&mut self, highest: &[u64]) {
        for (cpu, number) in highest.iter().enumerate() {
            if let Some(seen) = self.of(cpu) {
                seen.highest = seen.highest.max(*number);
            }
        }
        self.before = self.missing();
    }

    fn of(&mut self, cpu: usize) -> Option<&mut Seen> {
        if self.cpus.len() <= cpu {
            self.cpus.resize(cpu + 1, Seen::default());
        }
        self.cpus.get_mut(cpu)
    }

    fn missing(&self) -> u64 {
        self.cpus.iter().map(|seen| seen.highest.saturating_sub(seen.count)).sum()
    }

    /// Records that are missing at two looks in a row, and that the kernel side does not own up to.
    pub(super) fn unaccounted(&mut self, not_written: u64) -> u64 {
        let missing = self.missing();
        let before = std::mem::replace(&mut self.before, missing);
        missing.min(before).saturating_sub(not_written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[(u16, u64)]) -> Sequence {
        let mut sequence = Sequence::default();
        for (cpu, number) in numbers {
            sequence.saw(*cpu, *number);
        }
        sequence
    }

    #[test]
    fn a_gap_is_told_when_it_stays() {
        let mut sequence = after(&[(0, 1), (0, 2), (3, 1), (0, 5)]);
        assert_eq!(sequence.unaccounted(0), 0, "3 and 4 may be on their way");
        assert_eq!(sequence.unaccounted(0), 2);
        assert_eq!(sequence.unaccounted(1), 1, "one was not written");
        sequence.saw(0, 4);
        sequence.saw(0, 3);
        assert_eq!(sequence.unaccounted(0), 0, "overtaken, not lost");
    }

    #[test]
    fn the_last_numbers_are_missed_at_the_end() {
        let mut sequence = after(&[(0, 1)]);
        sequence.ended_at(&[3, 2]);
        assert_eq!(sequence.unaccounted(0), 4, "at once: nothing is on its way any more");
        sequence.saw(1, 1);
        sequence.saw(1, 2);
        assert_eq!(sequence.unaccounted(1), 1);
    }

    #[test]
    fn numbers_given_twice_hide_nothing_from_other_cpus() {
        let mut sequence = after(&[(0, 1), (0, 1), (1, 2)]);
        assert_eq!((sequence.unaccounted(0), sequence.unaccounted(0)), (0, 1));
    }
}
