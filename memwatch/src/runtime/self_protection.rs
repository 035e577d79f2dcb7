//! Keeps the daemon able to act while the host runs out of memory: its own memory stays resident, the kernel's OOM killer takes it
//! last, and it runs before others that want the processor.
//!
//! Each part that is not allowed is a warning with its remedy; the daemon runs without.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getpriority_process, getrlimit, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities};

/// The last but one to go: -1000 would mean never, also should this program be the one that leaks.
const SCORE: i32 = -999;
/// The highest priority of those that share processors fairly.
const NICE: i32 = -20;

/// What is missing of the protection.
#[derive(Debug)]
pub enum Unprotected {
    /// Pages may be taken away.
    Memory(io::Error),
    /// The OOM killer may choose it.
    Score(io::Error),
    /// Others run before it.
    Priority(io::Error),
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
            Self::Priority(reason) => write!(
                f,
                "cannot raise memwatch's priority to nice {NICE}: {reason}; on a busy host it acts later. Run it with \
                 CAP_SYS_NICE, or with Nice={NICE} in its unit"
            ),
        }
    }
}

/// Protects this process; returns what was not allowed. Call it before threads and hooks are started: threads inherit the priority,
/// and hooks keep neither score nor priority.
#[must_use]
pub fn protect() -> Vec<Unprotected> {
    let memory = lock_memory().map_err(Unprotected::Memory);
    let score = lower_score(Path::new("/proc/self/oom_score_adj")).map_err(Unprotected::Score);
    let priority = raise_priority().map_err(Unprotected::Priority);
    [memory, score, priority].into_iter().filter_map(Result::err).collect()
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

/// Raises the priority, unless it is as high already: systemd may set what this program may not.
fn raise_priority() -> io::Result<()> {
    if getpriority_process(None)? > NICE {
        setpriority_process(None, NICE)?;
    }
    Ok(())
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
    fn priority_is_raised_where_that_is_allowed_and_given_back() {
        // Priority is a thread's: the other tests keep theirs.
        let raised = std::thread::spawn(|| {
            let raised = raise_priority().map(|()| getpriority_process(None).unwrap());
            crate::sys::usual_priority();
            (raised, getpriority_process(None).unwrap())
        });
        let (raised, after) = raised.join().unwrap();
        match raised {
            Ok(nice) => assert_eq!((nice, after), (NICE, 0)),
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)), "{error}")
            }
        }
    }

    #[test]
    fn what_is_missing_is_told_with_a_remedy() {
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        assert!(Unprotected::Memory(refused()).to_string().contains("CAP_IPC_LOCK"));
        assert!(Unprotected::Score(refused()).to_string().contains("OOMScoreAdjust=-999"));
        assert!(Unprotected::Priority(refused()).to_string().contains("Nice=-20"));
    }
}
