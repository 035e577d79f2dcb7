//! A forecast from the first part of a recording, beside what came after.

use std::collections::BTreeMap;

use super::conclude::{Assumed, Forecast, forecast};
use super::history::History;
use crate::core::fact::ProcessKey;
use crate::core::policy::Input;

/// Parts of the time that forecasts are made from, in percent.
const CUTS: [u64; 3] = [25, 50, 75];

/// Plays a recording.
#[derive(Debug)]
pub struct Check {
    history: History,
    assumed: Assumed,
    /// Times of the forecasts that are still to be made, the first one last.
    due: Vec<(u64, u64)>,
    /// Looks at the host so far.
    looks: usize,
    made: Vec<Made>,
}

/// A forecast, and what came since.
#[derive(Debug)]
struct Made {
    percent: u64,
    /// Looks at the host until then.
    looks: usize,
    forecast: Forecast,
    /// The most that each pool took since.
    highest: BTreeMap<ProcessKey, u64>,
    /// The most that all took since, and when it was first more than usable.
    used: Option<(u64, u64)>,
    passed_ns: Option<u64>,
}

/// What a forecast was worth.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Percent of the recording it was made from.
    pub percent: u64,
    /// Time it was made at.
    pub time_ns: u64,
    /// Looks at the host it was made from.
    pub looks: usize,
    /// Its pools that were seen again.
    pub pools: Vec<CheckedPool>,
    /// What all take; `None` when there were too few looks to tell how fast that grows.
    pub host: Option<CheckedHost>,
}

/// The worst case of a pool beside the most it took.
#[derive(Clone, Debug)]
pub struct CheckedPool {
    /// Process id of the master.
    pub master: u32,
    /// The server's name.
    pub server: Option<&'static str>,
    /// What was foretold, in bytes.
    pub worst: u64,
    /// What came, in bytes.
    pub highest: u64,
}

/// What was foretold of the host beside what came.
#[derive(Clone, Copy, Debug)]
pub struct CheckedHost {
    /// Use at the end at the rate that was seen, and its interval, in bytes.
    pub used: (u64, u64, u64),
    /// What came.
    pub came: u64,
    /// Seconds until all that is usable was to be used: expected, soonest, latest; `None`: never.
    pub reaches_s: [Option<f64>; 3],
    /// When it was; `None`: not in the recording.
    pub reached_s: Option<f64>,
}

impl Check {
    /// Of a recording from one time to another.
    #[must_use]
    pub fn new(from_ns: u64, to_ns: u64, named: Option<u32>, assumed: Assumed) -> Self {
        let cut = |percent: u64| (from_ns + to_ns.saturating_sub(from_ns) / 100 * percent, percent);
        let due = CUTS.into_iter().rev().map(cut).collect();
        Self { history: History::new(named), assumed, due, looks: 0, made: Vec::new() }
    }

    /// Takes the next line.
    pub fn take(&mut self, time_ns: u64, input: &Input) {
        while let Some((_, percent)) = self.due.pop_if(|(due_ns, _)| time_ns > *due_ns) {
            let forecast = forecast(&self.history, self.assumed);
            self.made.push(Made {
                percent,
                looks: self.looks,
                forecast,
                highest: BTreeMap::new(),
                used: None,
                passed_ns: None,
            });
        }
        self.history.take(time_ns, input);
        if let Input::Host(host) = input {
            self.looks += 1;
            for made in &mut self.made {
                made.note(time_ns, host.used(), &self.history);
            }
        }
    }

    /// What the forecasts were worth, and the last one, from all of it.
    #[must_use]
    pub fn finish(self) -> (Vec<Checked>, Forecast) {
        let last = forecast(&self.history, self.assumed);
        (self.made.iter().map(Made::checked).collect(), last)
    }
}

impl Made {
    fn note(&mut self, time_ns: u64, used: u64, history: &History) {
        for (master, pool) in history.pools() {
            if let Some((_, used)) = pool.used.last() {
                let highest = self.highest.entry(*master).or_default();
                *highest = used.max(*highest);
            }
        }
        self.used = Some((time_ns, used));
        let usable = self.forecast.host.as_ref().map(|host| host.usable);
        if self.passed_ns.is_none() && usable.is_some_and(|usable| used >= usable) {
            self.passed_ns = Some(time_ns);
        }
    }

    fn checked(&self) -> Checked {
        let pools = self.forecast.pools.iter().filter_map(|pool| {
            Some(CheckedPool {
                master: pool.master.key.tgid,
                server: pool.server.map(|server| server.name.as_str()),
                worst: pool.worst,
                highest: *self.highest.get(&pool.master.key)?,
            })
        });
        Checked {
            percent: self.percent,
            time_ns: self.forecast.time_ns,
            looks: self.looks,
            pools: pools.collect(),
            host: self.host(),
        }
    }

    fn host(&self) -> Option<CheckedHost> {
        let host = self.forecast.host.as_ref()?;
        let (rate, reached) = host.rate.zip(host.reached)?;
        let (time_ns, came) = self.used?;
        let since = |time_ns: u64| time_ns.saturating_sub(self.forecast.time_ns) as f64 / 1e9;
        let (expected, low, high) = rate.added_after(since(time_ns));
        let at = |added: f64| (host.used as f64 + added).max(0.0) as u64;
        Some(CheckedHost {
            used: (at(expected), at(low), at(high)),
            came,
            reaches_s: [reached.expected_s, reached.soonest_s, reached.latest_s],
            reached_s: self.passed_ns.map(since),
        })
    }
}

impl CheckedPool {
    /// How far what was foretold is above what came, in percent of that.
    #[must_use]
    pub fn error_percent(&self) -> f64 {
        (self.worst as f64 - self.highest as f64) * 100.0 / self.highest.max(1) as f64
    }
}

impl CheckedHost {
    /// Whether the interval holds what came.
    #[must_use]
    pub const fn holds(&self) -> bool {
        let (_, low, high) = self.used;
        low <= self.came && self.came <= high
    }
}
