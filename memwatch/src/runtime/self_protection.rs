//! Keeps the daemon able to act while the host runs out of memory: its own memory stays resident, and the kernel's OOM
//! killer takes it last.
//!
//! Each part that is not allowed is a warning with its remedy; the daemon runs without.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// The last but one to go: -1000 would mean never, also should this program be the one that leaks.
const SCORE: i32 = -999;

/// What is missing of the protection.
#[derive(Debug)]
pub enum Unprotected {
    /// Pages may be taken away.
    Memory(io::Error),
    /// The OOM killer may choose it.
    Score(io::Error),
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(reason) => write!(
                f,
                "cannot lock memwatch's memory: {reason}; under pressure it may have to wait for its own pages. \
                 Run it with CAP_IPC_LOCK, or with LimitMEMLOCK=infinity in its unit"
            ),
            Self::Score(reason) => write!(
                f,
                "cannot set memwatch's oom_score_adj to {SCORE}: {reason}; the kernel may kill it first. Run it with \
                 CAP_SYS_RESOURCE, or with OOMScoreAdjust={SCORE} in its unit"
            ),
        }
    }
}

/// Protects this process; returns what was not allowed. Call it before hooks are started: those do not keep the score.
#[must_use]
pub fn protect() -> Vec<Unprotected> {
    let memory = lock_memory().map_err(Unprotected::Memory);
    let score = lower_score(Path::new("/proc/self/oom_score_adj")).map_err(Unprotected::Score);
    [memory, score].into_iter().filter_map(Result::err).collect()
}

/// Locks each page once it is touched. Not where the limit of locked memory counts: memory asked for later would be
/// refused beyond it (`may_expand_vm` and `mlock_future_ok` of mm/mmap.c, 6.18).
fn lock_memory() -> io::Result<()> {
    let is_limited = getrlimit(Resource::Memlock).current.is_some();
    if is_limited && !capabilities(None)?.effective.contains(CapabilitySet::IPC_LOCK) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
}

/// Lowers the score, unless it is as low already: systemd may set what this program may not.
fn lower_score(file: &Path) -> io::Result<()> {
    let score = std::fs::read_to_string(file)?.trim().parse::<i32>();
    if score.is_ok_and(|score| score <= SCORE) {
        return Ok(());
    }
    std::fs::write(file, SCORE.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_locked_where_that_is_allowed() {
        let status = || std::fs::read_to_string("/proc/self/status").unwrap();
        match lock_memory() {
            Ok(()) => {
                assert!(!status().contains("VmLck:\t       0 kB"));
                rustix::mm::munlockall().unwrap();
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
        }
    }

    #[test]
    fn the_score_is_lowered_once() {
        let file = std::env::temp_dir().join(format!("memwatch-score-{}", std::process::id()));
        for (before, after) in
            [("0\n", "-999"), ("500\n", "-999"), ("-999\n", "-999\n"), ("-1000\n", "-1000\n")]
        {
            std::fs::write(&file, before).unwrap();
            lower_score(&file).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
        }
        std::fs::remove_file(&file).unwrap();
        assert!(lower_score(&file).is_err());
    }

    #[test]
    fn what_is_missing_is_told_with_a_remedy() {
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        assert!(Unprotected::Memory(refused()).to_string().contains("CAP_IPC_LOCK"));
        assert!(Unprotected::Score(refused()).to_string().contains("OOMScoreAdjust=-999"));
    }
}
