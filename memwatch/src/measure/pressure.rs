//! Waking up for pressure: the kernel tells when tasks have waited for memory for a share of a time window, so nobody reads
//! it in a loop (Documentation/accounting/psi.rst, "Monitoring for pressure thresholds").

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Windows that are tried, in microseconds. Who lacks `CAP_SYS_RESOURCE` may only ask for multiples of two seconds
/// (`psi_trigger_create` of kernel/sched/psi.c, from 6.4 on).
const WINDOWS_US: [u64; 2] = [1_000_000, 2_000_000];

/// Why there is no trigger.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// The kernel does not tell pressure, or not of that cgroup.
    #[error(
        "{path} is not there: the kernel has no pressure stall information; boot with psi=1 and a kernel of \
         CONFIG_PSI=y, or leave the pressure rule out"
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("cannot set a trigger at {path}: {source}; run as root, with CAP_SYS_RESOURCE before Linux 6.4")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A trigger in the kernel. It goes with this, also when the process is killed.
#[derive(Debug)]
pub struct PressureTrigger {
    file: AsyncFd<File>,
}

impl PressureTrigger {
    /// Sets a trigger for full pressure of at least `share`, in hundredths of a percent, at `/proc/pressure/memory` or a
    /// cgroup's `memory.pressure`. Needs the reactor of tokio.
    ///
    /// # Errors
    /// When the kernel has none, or refuses.
    pub fn set(path: &Path, share: u32) -> Result<Self, TriggerError> {
        let refused = |source: io::Error| match source.raw_os_error() {
            Some(libc::ENOENT | libc::EOPNOTSUPP) => TriggerError::Absent { path: path.to_owned() },
            _ => TriggerError::Refused { path: path.to_owned(), source },
        };
        let mut result = Err(io::Error::from_raw_os_error(libc::EINVAL));
        for window in WINDOWS_US {
            result = open(path, window, share);
            if result.is_ok() {
                break;
            }
        }
        Ok(Self { file: result.and_then(watched).map_err(refused)? })
    }

    /// Waits until the pressure was reached; the kernel tells at most once in a window.
    ///
    /// # Errors
    /// When the trigger is gone, with its cgroup.
    pub async fn fired(&self) -> io::Result<()> {
        let mut ready = self.file.ready(Interest::PRIORITY | Interest::ERROR).await?;
        if ready.ready().is_error() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the cgroup of a pressure trigger is gone"));
        }
        ready.clear_ready();
        Ok(())
    }
}

/// Only errors and what is urgent are watched: readable the file is always.
#[expect(unsafe_code, reason = "registration in the reactor goes by number of the descriptor")]
fn watched(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: the file has its descriptor open as long as it lives, always the same, and it is never replaced.
    Ok(unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY | Interest::ERROR) }?)
}

fn open(path: &Path, window_us: u64, share: u32) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let stall_us = (window_us * u64::from(share) / 10_000).clamp(1, window_us);
    // In one write, with the zero that ends it.
    file.write_all(format!("full {stall_us} {window_us}\0").as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn reactor() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Microseconds in which every task of the host waited for memory.
    fn stalled(path: &Path) -> u64 {
        let text = std::fs::read_to_string(path).expect("the host's pressure");
        let full = text.lines().find_map(|line| line.strip_prefix("full ")).expect("a line of full stalls");
        full.rsplit_once("total=").and_then(|(_, total)| total.parse().ok()).expect("their total")
    }

    #[test]
    fn a_trigger_is_set_and_silent_without_pressure() {
        let path = Path::new("/proc/pressure/memory");
        reactor().block_on(async {
            match PressureTrigger::set(path, 10_000) {
                Ok(trigger) => {
                    let waited = tokio::time::timeout(Duration::from_millis(50), trigger.fired()).await;
                    // A host may be under pressure while it is tested, and what triggers go by is added up apart from
                    // what is shown, later (kernel/sched/psi.c).
                    assert!(
                        waited.is_err() || stalled(path) > 0,
                        "it fired, and nobody ever waited: {waited:?}"
                    );
                }
                Err(TriggerError::Absent { .. }) => assert!(!path.exists()),
                Err(TriggerError::Refused { source, .. }) => {
                    // Root without CAP_SYS_RESOURCE, before 6.4.
                    assert_eq!(source.raw_os_error(), Some(libc::EPERM));
                }
            }
        });
    }

    #[test]
    fn a_kernel_without_pressure_is_told() {
        reactor().block_on(async {
            let error = PressureTrigger::set(Path::new("/proc/no/pressure"), 100).unwrap_err();
            assert!(matches!(error, TriggerError::Absent { .. }), "{error}");
            // A file that takes no trigger: writing to it is refused.
            let error = PressureTrigger::set(Path::new("/proc/self/stat"), 100).unwrap_err();
            assert!(matches!(error, TriggerError::Refused { .. }), "{error}");
        });
    }
}
