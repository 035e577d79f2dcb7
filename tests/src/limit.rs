//! How many descriptors a test may promise a program, on this host or in a guest.

use std::sync::OnceLock;

use crate::syscall::limit::{self, Limit, NOFILE};

/// The limit of the incidents: what a kernel with `fs.nr_open` at its largest rounds 2^30 to.
pub const HUGE: u64 = (1 << 30) - 8;

/// Whether this is a guest that belongs to the tests: kernel settings may change, processes may be killed.
#[must_use]
pub fn in_guest() -> bool {
    std::env::var_os("MEMWATCH_IN_GUEST").is_some_and(|value| value == "1")
}

/// How many mappings a process may well have: as it is, or in a guest raised above 100,000.
#[must_use]
pub fn mappings() -> u64 {
    const SPARE: u64 = 1_000;
    let file = "/proc/sys/vm/max_map_count";
    if in_guest() {
        // Refused, it stays as it is.
        let _ = std::fs::write(file, "262144");
    }
    let most = std::fs::read_to_string(file).unwrap_or_default();
    most.trim().parse().unwrap_or(65_530_u64).saturating_sub(SPARE)
}

/// The hard limit of descriptors: as it is, or in a guest raised to [`HUGE`] where the kernel lets us.
#[must_use]
pub fn hard() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        if in_guest() {
            raise();
        }
        limit::get(NOFILE).map_or(0, |limit| limit.hard)
    })
}

/// The number of descriptors that table tests use: just below the hard limit and not round, so that no length fits it
/// by accident.
#[must_use]
pub fn table() -> u64 {
    hard().saturating_sub(3)
}

/// Failures show as a hard limit that stayed low: in a guest the tests that need a high one fail, and say so.
fn raise() {
    let _ = std::fs::write("/proc/sys/fs/nr_open", HUGE.to_string());
    // A table of 8 GiB must be granted in a guest that has less memory, as it is on the hosts of the incidents.
    let _ = std::fs::write("/proc/sys/vm/overcommit_memory", "1");
    let soft = limit::get(NOFILE).map_or(1024, |limit| limit.soft);
    let _ = limit::set(NOFILE, Limit { soft, hard: HUGE });
}
