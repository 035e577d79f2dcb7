//! Looks at the RSS of every process that is followed: how often, and for a recording at whom more closely.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::{Daemon, Policy};
use crate::core::fact::ProcessKey;
use crate::core::policy::{Figures, Host, Input};
use crate::measure::headroom;
use crate::sys::thread_cpu_ns;

/// Time between two looks at the RSS of every process that is followed while nothing moves, in nanoseconds: the longer
/// the more there are.
const SWEEP_NS: RangeInclusive<u64> = 5_000_000_000..=20_000_000_000;
/// That time in lengths of the last such look: the share of a processor that a host at rest may take.
const SWEEP_IDLE: u64 = 400;
/// Share of the host's memory that has to move before they are looked at sooner.
const SWEEP_SHARE: u64 = 256;
/// Or share of what is left until the next bound.
const SWEEP_STEPS: u64 = 8;
/// Time that passes after a look at them, in lengths of that look: the share of a processor that this may take.
const SWEEP_REST: u64 = 50;
/// They are not looked at when a bound on the host's own use will be reached within so many lengths of that look and this time, in
/// nanoseconds: it would be passed meanwhile.
const BOUND_LENGTHS: u64 = 2;
const BOUND_NS: u64 = 8_000_000;
/// Share of the host's memory that may have moved without its being known whose it is when somebody is chosen.
const UNKNOWN_SHARE: u64 = 64;

/// Resident bytes from which on a recording has more of a process than that, the time for which this does, in nanoseconds, and how
/// many are looked at closely in one round.
const CLOSELY_BYTES: u64 = 16 << 20;
const CLOSELY_NS: u64 = 15_000_000_000;
const CLOSELY_AT_ONCE: usize = 64;

/// What of the last look decides when the next is due.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// When it was, on the boot clock.
    last_ns: u64,
    /// What the host had available then.
    available: u64,
    /// Processor time that it took: on a busy host it lasts longer, and the next is as needed as ever.
    took_ns: u64,
    followed: Vec<ProcessKey>,
    /// When those were looked at closely whom only a recording needs to know, by process.
    looked_at: HashMap<ProcessKey, u64>,
}

impl Sweeps {
    /// Whether enough is known of who holds what to choose by it; if not, they are looked at before anything is decided.
    pub(super) fn know_enough(&self, now_ns: u64, host: &Host) -> bool {
        let since_ns = now_ns.saturating_sub(self.last_ns);
        let moved = host.available.abs_diff(self.available);
        self.last_ns > 0 && (moved <= host.total / UNKNOWN_SHARE || since_ns < self.took_ns * SWEEP_REST)
    }

    /// Whether it is time for another, by the memory that moved since. `bounds`: use of the host at which something is to be done.
    /// `until_ns`: time to one that nothing but the host's use decides about.
    pub(super) fn are_due(&self, now_ns: u64, host: &Host, bounds: &[u64], until_ns: Option<u64>) -> bool {
        let enough = (headroom(host, bounds) / SWEEP_STEPS).min(host.total / SWEEP_SHARE);
        let moved = host.available.abs_diff(self.available) > enough;
        let since_ns = now_ns.saturating_sub(self.last_ns);
        let too_late_ns = BOUND_NS + self.took_ns * BOUND_LENGTHS;
        if until_ns.is_some_and(|until_ns| until_ns < too_late_ns) {
            return false;
        }
        let idle_ns = (self.took_ns * SWEEP_IDLE).clamp(*SWEEP_NS.start(), *SWEEP_NS.end());
        since_ns >= idle_ns || (moved && since_ns >= self.took_ns * SWEEP_REST)
    }
}

impl Daemon {
    /// Looks at everybody who is followed.
    pub(super) fn sweep(&mut self, now_ns: u64, host: &Host) {
        (self.sweeps.last_ns, self.sweeps.available) = (now_ns, host.available);
        let before_ns = thread_cpu_ns();
        let mut followed = std::mem::take(&mut self.sweeps.followed);
        self.engine.followed(&mut followed);
        let mut large = Vec::new();
        for key in &followed {
            if let Ok(resident) = self.meter.resident(*key) {
                let figures = Figures { resident, ..Figures::default() };
                self.feed(Input::Figures { key: *key, figures });
                large.extend(resident.filter(|bytes| *bytes >= CLOSELY_BYTES).map(|bytes| (bytes, *key)));
            }
        }
        self.sweeps.followed = followed;
        if matches!(self.start.policy, Policy::Fixed(_)) {
            self.look_closely(large);
        }
        self.sweeps.took_ns = thread_cpu_ns().saturating_sub(before_ns);
    }

    /// Without a policy nobody asks for more than RSS: the largest are looked at in turn, for the recording's sake.
    fn look_closely(&mut self, mut large: Vec<(u64, ProcessKey)>) {
        let now_ns = self.sweeps.last_ns;
        self.sweeps.looked_at.retain(|_, looked_ns| now_ns.saturating_sub(*looked_ns) < CLOSELY_NS);
        large.retain(|(_, key)| !self.sweeps.looked_at.contains_key(key));
        large.sort_unstable_by(|one, other| other.cmp(one));
        for (_, key) in large.into_iter().take(CLOSELY_AT_ONCE) {
            if self.survey.ask(key) {
                self.sweeps.looked_at.insert(key, now_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MS: u64 = 1_000_000;

    fn swept() -> Sweeps {
        Sweeps { last_ns: 1_000 * MS, available: 8 * GIB, took_ns: 10 * MS, ..Sweeps::default() }
    }

    fn host(available: u64) -> Host {
        Host { total: 16 * GIB, available, ..Host::default() }
    }

    #[test]
    fn a_bound_that_is_near_is_not_passed_meanwhile() {
        let are_due = |now_ms: u64, until_ms: Option<u64>| {
            swept().are_due(now_ms * MS, &host(6 * GIB), &[12 * GIB], until_ms.map(|ms| ms * MS))
        };
        assert!(are_due(1_600, None), "memory moved, and the last look is long enough ago");
        assert!(!are_due(1_400, None), "it is not");
        assert!(are_due(1_600, Some(28)), "there is time");
        assert!(!are_due(1_600, Some(27)), "8 ms and two looks of 10 ms");
    }

    #[test]
    fn nobody_is_chosen_by_old_figures() {
        let know_enough = |now_ms: u64, available: u64| swept().know_enough(now_ms * MS, &host(available));
        assert!(know_enough(60_000, 8 * GIB - GIB / 4), "little has moved since");
        assert!(!know_enough(60_000, 8 * GIB - GIB / 4 - 1), "whoever took that may be unknown");
        assert!(know_enough(1_499, GIB), "another look so soon would cost too much");
        assert!(!know_enough(1_500, GIB));
        assert!(!Sweeps::default().know_enough(1, &host(16 * GIB)), "they were never looked at");
    }
}
