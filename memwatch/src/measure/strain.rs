//! Signs of thrash, of the host and of cgroups: what is read in again, what is reclaimed on the spot, how long tasks wait.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::policy::{Input, Reach, Settings, Strain};
use crate::enrich::memory_cgroups::MemoryHierarchy;
use crate::enrich::proc::ProcFs;
use crate::enrich::proc::number::decimal;

/// Looks at them.
#[derive(Debug)]
pub struct StrainMeter {
    proc: PathBuf,
    /// `None`: the host has no memory controller.
    hierarchy: Option<MemoryHierarchy>,
    looked_ns: u64,
}

/// Time between looks: a rule wants some in each of its windows, which are a second long at least.
const GAP_NS: u64 = 250_000_000;

impl StrainMeter {
    /// Of the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it cannot be opened, or the mounts cannot be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mounts = ProcFs::open(root)?.mountinfo()?;
        Ok(Self { proc: root.to_owned(), hierarchy: MemoryHierarchy::find(&mounts).ok(), looked_ns: 0 })
    }

    /// Looks at every scope that is the host or a cgroup, when it is time again.
    #[must_use]
    pub fn look_when_due(&mut self, now_ns: u64, settings: &Settings) -> Vec<Input> {
        if settings.thrash.is_none() || now_ns.saturating_sub(self.looked_ns) < GAP_NS {
            return Vec::new();
        }
        self.looked_ns = now_ns;
        let cgroups = settings.scopes.iter().filter_map(|scope| match &scope.reach {
            Reach::Host => Some(None),
            Reach::Cgroup(path) => Some(Some(path.clone())),
            Reach::Tree(_) => None,
        });
        let seen = |cgroup: Option<String>| {
            let strain = self.look(cgroup.as_deref())?;
            Some(Input::Strain { cgroup, strain })
        };
        cgroups.filter_map(seen).collect()
    }

    /// Counters of a cgroup, by its path, or of the host; `None` when they are not told.
    #[must_use]
    pub fn look(&self, cgroup: Option<&str>) -> Option<Strain> {
        let (counters, pressure, below) = match cgroup {
            None => (self.proc.join("vmstat"), self.proc.join("pressure/memory"), &b""[..]),
            Some(path) => {
                let hierarchy = self.hierarchy.as_ref()?;
                let folder = hierarchy.folder(Path::new(path))?;
                // In v1 the counters of all below have this in front.
                let below: &[u8] = if hierarchy.is_unified() { b"" } else { b"total_" };
                (folder.join("memory.stat"), folder.join("memory.pressure"), below)
            }
        };
        let mut strain = parse_counters(&fs::read(counters).ok()?, below)?;
        strain.stalled_ns = fs::read(pressure).ok().and_then(|text| parse_stalled(&text));
        Some(strain)
    }
}

/// The counters of a `name number` text whose names begin so; `None` when it tells of no refaults. Before 5.9 one counter
/// was for all of them.
fn parse_counters(text: &[u8], prefix: &[u8]) -> Option<Strain> {
    let mut strain = Strain::default();
    let mut refaults = None;
    for line in text.split(|&byte| byte == b'\n') {
        let mut words = line.split(|&byte| byte == b' ');
        let Some(name) = words.next().and_then(|name| name.strip_prefix(prefix)) else { continue };
        let Some(number) = words.next().and_then(decimal) else { continue };
        match name {
            b"pgmajfault" => strain.major_faults = number,
            b"workingset_refault" | b"workingset_refault_anon" | b"workingset_refault_file" => {
                refaults = Some(refaults.unwrap_or(0) + number);
            }
            b"pgsteal_direct" => strain.reclaimed = Some(number),
            _ => {}
        }
    }
    strain.refaults = refaults?;
    Some(strain)
}

/// The sum of the line `some avg10=… total=…`, which the kernel gives in microseconds, in nanoseconds.
fn parse_stalled(text: &[u8]) -> Option<u64> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"some "))?;
    let total = line.split(|&byte| byte == b' ').find_map(|word| word.strip_prefix(b"total="))?;
    decimal(total)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = b"pgmajfault 3\nworkingset_refault_anon 10\nworkingset_refault_file 5\npgsteal_direct 7\n\
            total_pgmajfault 30\ntotal_workingset_refault_file 50\n";
        let own = Strain { major_faults: 3, refaults: 15, reclaimed: Some(7), stalled_ns: None };
        assert_eq!(parse_counters(text, b""), Some(own));
        let all = Strain { major_faults: 30, refaults: 50, reclaimed: None, stalled_ns: None };
        assert_eq!(parse_counters(text, b"total_"), Some(all));
        assert_eq!(parse_counters(b"pgmajfault 3\n", b""), None);
        let pressure = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 total=3\n";
        assert_eq!(parse_stalled(pressure), Some(12_000));
    }

    #[test]
    fn this_host_tells() {
        let meter = StrainMeter::open(Path::new("/proc")).unwrap();
        assert!(meter.look(None).is_some());
        assert_eq!(meter.look(Some("/no/such/cgroup")), None);
    }
}
