//! Settings that follow from a forecast, as numbers.

use super::conclude::PoolForecast;

/// Requests from which on a server's counter is of use; below, a worker would serve hardly any.
const REQUESTS_MIN: u64 = 1;

/// Numbers for a server's configuration; in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// Workers of which each can be as large as the largest one was; 0: not even one.
    pub fit: u64,
    /// Workers to have: as many as there are, or as fit.
    pub workers: u64,
    /// What each of them may take in private memory.
    pub share: u64,
    /// Private memory at which a worker is to be recycled: one more step as large as the largest stays within its share.
    pub recycle_at: u64,
    /// The same as resident memory (RSS), in which servers measure: shared pages are in it.
    pub recycle_at_rss: u64,
    /// Requests after which that is reached, where requests were told.
    pub requests: Option<u64>,
    /// Seconds after which that is reached, where a worker grows steadily.
    pub lifetime_s: Option<u64>,
    /// What one request may take above a worker that has done nothing.
    pub of_request: u64,
    /// A limit for the pool as a whole.
    pub limit: u64,
}

impl Advice {
    /// From what was found of a pool.
    #[must_use]
    pub(super) fn of(pool: &PoolForecast) -> Self {
        let fit = pool.for_workers.checked_div(pool.past.highest).unwrap_or(pool.workers);
        let workers = pool.workers.min(fit).max(1);
        let share = pool.for_workers / workers;
        let recycle_at = share.saturating_sub(pool.past.step).max(pool.least);
        let growth = recycle_at - pool.least;
        let requests = pool.per_request.and_then(|each| growth.checked_div(each));
        let lifetime_s = pool.past.steady.map(|rate| (growth as f64 / rate) as u64);
        Self {
            fit,
            workers,
            share,
            recycle_at,
            recycle_at_rss: recycle_at.saturating_add(pool.past.shared),
            requests: requests.map(|requests| requests.max(REQUESTS_MIN)),
            lifetime_s,
            of_request: share.saturating_sub(pool.least),
            limit: pool.for_workers.saturating_add(pool.common),
        }
    }
}
