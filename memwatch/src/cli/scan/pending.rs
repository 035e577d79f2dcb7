//! Limits that wait for the next start of a service: its files were changed after this one.

use std::path::Path;

use crate::core::fact::{Identity, ProcessKey};
use crate::enrich::proc::ProcFs;
use crate::enrich::unit_limit::UnitLimits;
use crate::sys;

/// Finds them.
pub(super) struct Pending {
    units: UnitLimits,
    nr_open: u64,
    /// Unix time at which the boot clock stood at zero, in nanoseconds.
    boot_unix_ns: u64,
}

impl Pending {
    pub(super) fn new(proc: &ProcFs, root: &Path) -> Self {
        Self {
            units: UnitLimits::new(root),
            nr_open: proc.nr_open().unwrap_or(u64::MAX),
            boot_unix_ns: sys::real_ns().saturating_sub(sys::boot_ns()),
        }
    }

    /// The soft limit at the next start, and the file that sets it. A setting that is older than the process says
    /// nothing: a process with other limits has set them by itself, and will again.
    pub(super) fn soft(&mut self, process: &Identity) -> Option<(u64, String)> {
        let started_ns =
            self.boot_unix_ns.saturating_add(process.key.start_ns).saturating_add(ProcessKey::TICK_NS);
        let nr_open = self.nr_open;
        let (limit, _) = self.units.of_service(process)?;
        let is_newer = limit.changed_ns.is_some_and(|changed_ns| changed_ns > started_ns);
        is_newer.then(|| (limit.setting.soft.min(nr_open), limit.file.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_newer_than_the_process() {
        let root = std::env::temp_dir().join(format!("memwatch-pending-{}", std::process::id()));
        let folder = root.join("etc/systemd/system");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.service"), "[Service]\nLimitNOFILE=1000:2000\n").unwrap();
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        let process = |start_ns, unit: &str| Identity {
            unit: Some(unit.to_owned()),
            ..Identity::unknown(ProcessKey { tgid: 1, start_ns })
        };
        let mut pending = Pending::new(&proc, &root);
        let found = pending.soft(&process(1, "a.service"));
        assert_eq!(found.map(|(soft, _)| soft), Some(1000), "started at boot, the file is new");
        let later = sys::boot_ns() + 3_600_000_000_000;
        assert_eq!(pending.soft(&process(later, "a.service")), None, "the file is older");
        assert_eq!(pending.soft(&process(1, "b.service")), None);
        assert_eq!(pending.soft(&process(1, "a.scope")), None);
        std::fs::remove_dir_all(root).unwrap();
    }
}
