//! The last so many samples of something over time.

/// Up to `N` samples, each a time in nanoseconds and an amount. Their room is their own: they are taken on the way to a signal, also
/// of what is new there, and nothing is allocated on that way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples<const N: usize> {
    room: [(u64, u64); N],
    count: usize,
}

impl<const N: usize> Default for Samples<N> {
    fn default() -> Self {
        Self { room: [(0, 0); N], count: 0 }
    }
}

impl<const N: usize> Samples<N> {
    /// All of them, the oldest first.
    pub(super) fn taken(&self) -> &[(u64, u64)] {
        self.room.get(..self.count).unwrap_or_default()
    }

    /// Adds one; where there is no room the oldest goes.
    pub(super) fn add(&mut self, time_ns: u64, amount: u64) {
        if self.count == N {
            self.forget_oldest();
        }
        if let Some(next) = self.room.get_mut(self.count) {
            *next = (time_ns, amount);
            self.count += 1;
        }
    }

    /// Forgets those from before a time.
    pub(super) fn forget_before(&mut self, time_ns: u64) {
        while self.taken().first().is_some_and(|(oldest_ns, _)| *oldest_ns < time_ns) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.room.rotate_left(1);
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut samples = Samples::<3>::default();
        assert_eq!(samples.taken(), []);
        for time in 1..=4 {
            samples.add(time, time * 10);
        }
        assert_eq!(samples.taken(), [(2, 20), (3, 30), (4, 40)]);
        samples.forget_before(4);
        assert_eq!(samples.taken(), [(4, 40)]);
        samples.forget_before(5);
        assert_eq!(samples.taken(), []);
    }
}
