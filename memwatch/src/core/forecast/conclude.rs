//! From what was seen to the worst case, and what bears it.

use std::sync::Arc;

use super::history::{Bound, History};
use super::pool::{Past, Pool};
use super::rate::{Rate, Reached, Series};
use super::settings::Advice;
use crate::core::policy::{Server, Who};

/// Percent of a bound that stay free where nothing else is said.
pub const KEEP_FREE: u64 = 10;

/// What the operator says beside what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// Memory that each pool is to have for itself, instead of what its host or cgroup has.
    pub memory: Option<u64>,
    /// Percent of it that stay free.
    pub keep_free: u64,
    /// Workers of each pool, instead of the most that were seen.
    pub workers: Option<u64>,
    /// Requests that each pool served while it was watched.
    pub requests: Option<u64>,
}

impl Default for Assumed {
    fn default() -> Self {
        Self { memory: None, keep_free: KEEP_FREE, workers: None, requests: None }
    }
}

/// What was concluded.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// When.
    pub time_ns: u64,
    /// How long was watched, in nanoseconds.
    pub seen_ns: u64,
    /// The host.
    pub host: Option<Room>,
    /// The pools, the one with the largest worst case first.
    pub pools: Vec<PoolForecast>,
}

/// Memory of which pools take a part, in bytes.
#[derive(Clone, Debug)]
pub struct Room {
    /// What it is.
    pub of: RoomOf,
    /// What there is.
    pub limit: u64,
    /// What of it may be used.
    pub usable: u64,
    /// What is used now.
    pub used: u64,
    /// How fast that grows; `None` when it was not seen long enough.
    pub rate: Option<Rate>,
    /// When all that is usable will be used.
    pub reached: Option<Reached>,
}

/// Whose memory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomOf {
    /// The host's.
    Host,
    /// A cgroup's, by its path.
    Cgroup(String),
    /// As much as was said.
    Given,
}

/// What is to be expected of a pool, in bytes.
#[derive(Clone, Debug)]
pub struct PoolForecast {
    /// The server it is of; `None`: the operator named the master.
    pub server: Option<&'static Server>,
    /// The master.
    pub master: Arc<Who>,
    /// Workers that are reckoned with.
    pub workers: u64,
    /// Workers that live.
    pub living: u64,
    /// Workers that ended meanwhile.
    pub ended: u64,
    /// What the pool takes now, and took at most.
    pub now: u64,
    /// The most it took while it was watched.
    pub highest: u64,
    /// What of it is no worker's alone.
    pub common: u64,
    /// What a worker takes that has done nothing yet: the least that one had private.
    pub least: u64,
    /// What all workers showed.
    pub past: Past,
    /// The largest growth: what the largest worker had above the least.
    pub growth: u64,
    /// Growth of one worker in an hour; `None` when none was watched long enough.
    pub per_hour: Option<u64>,
    /// Requests that it served while it was watched, where they are known.
    pub served: Option<Served>,
    /// Growth for each of them.
    pub per_request: Option<u64>,
    /// Common memory, and every worker as large as the largest one ever was.
    pub worst: u64,
    /// What bounds it.
    pub room: Room,
    /// What others take of that.
    pub others: u64,
    /// What is left for workers: usable, without others and common memory.
    pub for_workers: u64,
    /// Largest growths that all workers together bear at once; `None` when none has grown.
    pub bears: Option<u64>,
    /// Settings that follow.
    pub advice: Advice,
}

impl PoolForecast {
    /// Whether the worst case fits.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.worst.saturating_add(self.others) <= self.room.usable
    }
}

/// How many requests a pool served, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The operator.
    Told(u64),
    /// The kernel: connections, of which each may have carried several.
    Connections(u64),
}

impl Served {
    /// How many.
    #[must_use]
    pub const fn count(self) -> u64 {
        match self {
            Self::Told(count) | Self::Connections(count) => count,
        }
    }
}

/// Time of one worker below which its growth says nothing about an hour, in nanoseconds.
const LEAST_NS: u64 = 5_000_000_000;
const HOUR_NS: f64 = 3600e9;

/// Concludes.
#[must_use]
pub fn forecast(history: &History, assumed: Assumed) -> Forecast {
    let host = history.bound_of_host().map(|bound| room(bound, assumed.keep_free));
    let pools = history.pools().values().filter_map(|pool| of_pool(history, pool, assumed));
    let mut pools: Vec<_> = pools.collect();
    pools.sort_by_key(|pool| (std::cmp::Reverse(pool.worst), pool.master.key));
    Forecast { time_ns: history.now_ns(), seen_ns: history.seen_ns(), host, pools }
}

/// `None` when no worker was looked at yet.
fn of_pool(history: &History, pool: &Pool, assumed: Assumed) -> Option<PoolForecast> {
    let past = pool.past();
    let least = past.least?;
    let workers = assumed.workers.unwrap_or(pool.most as u64).max(1);
    let now = pool.used.last().map_or(0, |(_, used)| used);
    let common = pool.common();
    let growth = past.highest.saturating_sub(least);
    let worst = common.saturating_add(workers.saturating_mul(past.highest));
    let (room, others) = bound_of(history, pool, now, assumed)?;
    let for_workers = room.usable.saturating_sub(others).saturating_sub(common);
    let at_rest = workers.saturating_mul(least);
    let bears = for_workers.saturating_sub(at_rest).checked_div(growth);
    let per_hour = (past.gained_in_ns >= LEAST_NS)
        .then(|| (past.gained as f64 / past.gained_in_ns as f64 * HOUR_NS) as u64);
    let served = assumed.requests.filter(|requests| *requests > 0).map(Served::Told);
    let served = served.or_else(|| pool.served().map(Served::Connections));
    let per_request = served.map(|served| past.gained.div_ceil(served.count()));
    let mut found = PoolForecast {
        server: pool.server,
        master: Arc::clone(&pool.master),
        workers,
        living: pool.workers.len() as u64,
        ended: pool.ended,
        now,
        highest: pool.used.highest(),
        common,
        least,
        past,
        growth,
        per_hour,
        served,
        per_request,
        worst,
        room,
        others,
        for_workers,
        bears,
        advice: Advice::default(),
    };
    found.advice = Advice::of(&found);
    Some(found)
}

/// What leaves a pool least: the host, or a cgroup that it is in; and what others take of it.
fn bound_of(history: &History, pool: &Pool, now: u64, assumed: Assumed) -> Option<(Room, u64)> {
    if let Some(limit) = assumed.memory {
        return Some((room_of(RoomOf::Given, limit, &pool.used, assumed.keep_free), 0));
    }
    let cgroups = history.bounds_of(pool.master.key);
    let rooms = cgroups.chain(history.bound_of_host()).map(|bound| {
        let room = room(bound, assumed.keep_free);
        let others = room.used.saturating_sub(now);
        (room, others)
    });
    rooms.min_by_key(|(room, others)| room.usable.saturating_sub(*others))
}

fn room(bound: &Bound, keep_free: u64) -> Room {
    let of = bound.cgroup.clone().map_or(RoomOf::Host, RoomOf::Cgroup);
    room_of(of, bound.limit, &bound.used, keep_free)
}

fn room_of(of: RoomOf, limit: u64, series: &Series, keep_free: u64) -> Room {
    let usable = limit / 100 * 100_u64.saturating_sub(keep_free);
    let used = series.last().map_or(0, |(_, used)| used);
    let rate = series.rate();
    let reached = rate.map(|rate| rate.reaches(usable.saturating_sub(used)));
    Room { of, limit, usable, used, rate, reached }
}

#[cfg(test)]
mod tests;
