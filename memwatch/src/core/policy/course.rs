//! How the memory of each pool's workers has changed over the last minute, for people to see: no rule goes by it.

use foldhash::fast::FixedState;

use super::engine::POOLS;
use super::samples::Samples;
use super::world::{ById, PoolId};

/// Samples kept of a pool.
const SAMPLES: usize = 13;
/// Time between two of them, in nanoseconds.
const GAP_NS: u64 = 5_000_000_000;
/// Samples from which on a change means something.
const LEAST: usize = 4;

/// The courses of all pools that run.
#[derive(Clone, Debug)]
pub(super) struct Courses {
    taken_ns: Option<u64>,
    pools: ById<PoolId, Course>,
}

/// Resident bytes of a pool's workers over time.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    samples: Samples<SAMPLES>,
    /// What the sample that is being taken has come to; `None`: no worker was met.
    sum: Option<u64>,
}

impl Default for Courses {
    fn default() -> Self {
        Self { taken_ns: None, pools: ById::with_capacity_and_hasher(POOLS, FixedState::default()) }
    }
}

impl Courses {
    /// Whether it is time for a sample.
    pub(super) fn are_due(&self, now_ns: u64) -> bool {
        self.taken_ns.is_none_or(|taken_ns| now_ns.saturating_sub(taken_ns) >= GAP_NS)
    }

    /// Takes a sample of what each worker has. Pools without workers are forgotten.
    pub(super) fn take(&mut self, now_ns: u64, workers: impl Iterator<Item = (PoolId, u64)>) {
        self.taken_ns = Some(now_ns);
        for (pool, resident) in workers {
            let sum = &mut self.pools.entry(pool).or_default().sum;
            *sum = Some(sum.unwrap_or(0) + resident);
        }
        self.pools.retain(|_, course| {
            let Some(sum) = course.sum.take() else { return false };
            course.samples.add(now_ns, sum);
            true
        });
    }

    /// Forgets the pools of a master that has ended.
    pub(super) fn forget(&mut self, master: u32) {
        self.pools.retain(|pool, _| pool.master != master);
    }

    /// Bytes a second by which a pool has grown since the first sample, or shrunk; `None`: it was not seen for long enough.
    pub(super) fn growth(&self, pool: PoolId) -> Option<i64> {
        let samples = self.pools.get(&pool)?.samples.taken();
        let ((first_ns, first), (last_ns, last)) = (*samples.first()?, *samples.last()?);
        let seen_ns = last_ns.checked_sub(first_ns).filter(|seen_ns| *seen_ns > 0)?;
        let added = i128::from(last) - i128::from(first);
        let rate = added * 1_000_000_000 / i128::from(seen_ns);
        i64::try_from(rate).ok().filter(|_| samples.len() >= LEAST)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId { entry: Some(0), master: 10 };
    const OTHER: PoolId = PoolId { entry: None, master: 20 };

    #[test]
    fn growth_is_that_of_the_last_minute() {
        let mut courses = Courses::default();
        let mut at = |second: u64, each: u64| {
            courses.take(second * 1_000_000_000, [(POOL, each), (OTHER, 7), (POOL, each)].into_iter());
            (courses.growth(POOL), courses.growth(OTHER))
        };
        assert_eq!([at(0, 100), at(5, 150), at(10, 200)], [(None, None); 3], "too short");
        assert_eq!(at(15, 250), (Some(20), Some(0)));
        for second in 4..16 {
            at(second * 5, 300);
        }
        assert_eq!(at(80, 0), (Some(-10), Some(0)), "two workers of 300 bytes went in a minute");
    }

    #[test]
    fn pools_that_are_gone_are_forgotten() {
        let mut courses = Courses::default();
        assert!(courses.are_due(0));
        courses.take(0, [(POOL, 1), (OTHER, 1)].into_iter());
        assert!(!courses.are_due(GAP_NS - 1) && courses.are_due(GAP_NS));
        courses.take(GAP_NS, [(POOL, 1)].into_iter());
        assert!(courses.pools.contains_key(&POOL) && !courses.pools.contains_key(&OTHER));
        courses.forget(10);
        assert!(courses.is_empty());
    }
}
