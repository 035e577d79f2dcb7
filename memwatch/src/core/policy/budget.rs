//! The kill budget: so many in a window, then none for a while.

use std::collections::VecDeque;

use super::settings::Budget;

/// Kills so far.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    budget: Budget,
    /// Times of kills in the window, boot clock, nanoseconds. Its room is made at the start.
    kills: VecDeque<u64>,
    until_ns: u64,
}

/// What the budget says to one more kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Go on.
    Yes,
    /// The budget is spent by now; to be told once.
    SpentNow {
        /// When it is not any more.
        until_ns: u64,
    },
    /// It still is.
    No,
}

impl Spent {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, kills: VecDeque::with_capacity(budget.kills as usize + 1), until_ns: 0 }
    }

    /// Asks for one more kill, and books it.
    pub(super) fn ask(&mut self, now_ns: u64) -> Answer {
        if now_ns < self.until_ns {
            return Answer::No;
        }
        self.forget_old(now_ns);
        if self.kills.len() >= self.budget.kills as usize {
            self.until_ns = now_ns.saturating_add(self.budget.cool_down_ns);
            return Answer::SpentNow { until_ns: self.until_ns };
        }
        self.kills.push_back(now_ns);
        Answer::Yes
    }

    /// Books a kill that nobody asked for. Gives until when there are no more, where it was the last that the budget had.
    pub(super) fn book(&mut self, now_ns: u64) -> Option<u64> {
        self.forget_old(now_ns);
        self.kills.push_back(now_ns);
        if self.is_over(now_ns) || self.kills.len() < self.budget.kills as usize {
            return None;
        }
        self.until_ns = now_ns.saturating_add(self.budget.cool_down_ns);
        Some(self.until_ns)
    }

    fn forget_old(&mut self, now_ns: u64) {
        while self.kills.front().is_some_and(|time| now_ns.saturating_sub(*time) >= self.budget.window_ns) {
            self.kills.pop_front();
        }
    }

    /// Whether nothing is killed for now.
    pub(super) const fn is_over(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// Kills in the window that ends now, and until when there are none; nothing is booked.
    pub(super) fn at(&self, now_ns: u64) -> (u32, Option<u64>) {
        let in_window = |time: &&u64| now_ns.saturating_sub(**time) < self.budget.window_ns;
        let kills = self.kills.iter().filter(in_window).count();
        (u32::try_from(kills).unwrap_or(u32::MAX), (now_ns < self.until_ns).then_some(self.until_ns))
    }

    /// Kills in the window.
    pub(super) fn kills(&self) -> u32 {
        u32::try_from(self.kills.len()).unwrap_or(u32::MAX)
    }

    /// New settings; what was spent stays spent.
    pub(super) fn change(&mut self, budget: Budget) {
        self.budget = budget;
        self.kills.reserve(budget.kills as usize + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spent_cooled_down_and_filled_again() {
        let mut spent = Spent::new(Budget { kills: 2, window_ns: 100, cool_down_ns: 50 });
        assert_eq!(spent.ask(1), Answer::Yes);
        assert_eq!(spent.ask(2), Answer::Yes);
        assert_eq!(spent.ask(3), Answer::SpentNow { until_ns: 53 });
        assert_eq!(spent.ask(52), Answer::No);
        assert_eq!(spent.ask(53), Answer::SpentNow { until_ns: 103 }, "both still lie in the window");
        assert_eq!(spent.ask(103), Answer::Yes);
    }

    #[test]
    fn what_nobody_asked_for_spends_it_too() {
        let mut spent = Spent::new(Budget { kills: 2, window_ns: 100, cool_down_ns: 50 });
        assert_eq!(spent.book(1), None);
        assert_eq!(spent.book(2), Some(52));
        assert_eq!(spent.ask(3), Answer::No);
        assert_eq!(spent.book(4), None, "it was told already");
        assert_eq!(spent.ask(60), Answer::SpentNow { until_ns: 110 }, "three lie in the window");
    }
}
