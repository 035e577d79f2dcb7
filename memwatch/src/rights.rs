//! Capabilities: which are needed here, what for, and what to do about one that is missing.

/// A capability that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    /// What it is needed for.
    pub(crate) purpose: &'static str,
}

/// What decides which capabilities are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// Bits of `CapEff`.
    pub(crate) effective: u64,
    /// Effective user.
    pub(crate) uid: u32,
    /// Major and minor number of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Whether tracefs can be read where it is mounted.
    pub(crate) tracefs_mounted: bool,
}

/// Before it BPF memory counts against RLIMIT_MEMLOCK.
const MEMLOCK_UNTIL: (u32, u32) = (5, 11);

/// What is missing. The numbers are those of include/uapi/linux/capability.h.
pub(crate) fn missing(at: Situation) -> Vec<Missing> {
    let has = |number: u32| at.effective >> number & 1 == 1;
    // The older capability stands for both newer ones (`bpf_capable`, `perfmon_capable`).
    let admin = has(21);
    let rows = [
        (has(39) || admin, "CAP_BPF", "to load BPF programs"),
        (has(38) || admin, "CAP_PERFMON", "to load BPF programs that read kernel memory, and to attach them"),
        (
            admin || at.tracefs_mounted,
            "CAP_SYS_ADMIN",
            "to mount tracefs for memwatch alone, as it is not mounted",
        ),
        (
            at.uid == 0 || has(1) || has(2),
            "CAP_DAC_READ_SEARCH",
            "to read trace events, which belong to user 0",
        ),
        (has(19), "CAP_SYS_PTRACE", "to name the executables of other users' processes"),
        (has(24) || at.kernel >= MEMLOCK_UNTIL, "CAP_SYS_RESOURCE", "to raise RLIMIT_MEMLOCK for BPF maps"),
    ];
    rows.into_iter().filter(|(held, ..)| !held).map(|(_, name, purpose)| Missing { name, purpose }).collect()
}

/// What is missing to load BPF programs at all.
pub(crate) fn missing_to_load() -> Vec<Missing> {
    let (effective, uid) = held();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut lacking = missing(Situation { effective, uid, kernel: version(&release), tracefs_mounted: true });
    lacking.retain(|missing| ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_RESOURCE"].contains(&missing.name));
    lacking
}

/// Whether process ids here are the kernel's own: those of the first pid namespace, which has this fixed number
/// (`PROC_PID_INIT_INO`, include/uapi/linux/nsfs.h, before 6.18 include/linux/proc_ns.h).
pub(crate) fn sees_all_processes() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

/// A capability by its number.
pub(crate) type Capability = (u32, &'static str);
/// Opens files that belong to others.
pub(crate) const CAP_DAC_READ_SEARCH: Capability = (2, "CAP_DAC_READ_SEARCH");
/// Reads the memory of others' processes.
pub(crate) const CAP_SYS_PTRACE: Capability = (19, "CAP_SYS_PTRACE");
/// Shows page frames.
pub(crate) const CAP_SYS_ADMIN: Capability = (21, "CAP_SYS_ADMIN");

/// What helps against a refusal where these capabilities are needed: root that lacks one is not told to become root.
pub(crate) fn remedy(needed: &[Capability]) -> String {
    let (effective, uid) = held();
    remedy_for(needed, effective, uid)
}

fn remedy_for(needed: &[Capability], effective: u64, uid: u32) -> String {
    let lacking: Vec<_> =
        needed.iter().filter(|(number, _)| effective >> number & 1 == 0).map(|(_, name)| *name).collect();
    match (lacking.as_slice(), uid) {
        ([], _) => {
            "no capability is missing: a security policy or a user namespace forbids it; run it in the \
                    host's own namespaces"
                .to_owned()
        }
        (lacking, 0) => format!("give it {}, which this root user lacks", lacking.join(" and ")),
        (lacking, _) => format!("run as root, or with {}", lacking.join(" and ")),
    }
}

/// The effective capabilities and user of this process.
fn held() -> (u64, u32) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (effective(&status), effective_user(&status))
}

/// The effective capabilities in the text of a process's `status`.
pub(crate) fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// The effective user in the text of a process's `status`.
pub(crate) fn effective_user(status: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()).unwrap_or(u32::MAX)
}

/// Major and minor number of a kernel's release.
pub(crate) fn version(kernel: &str) -> (u32, u32) {
    let mut parts = kernel.split(['.', '-']).map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(at: Situation) -> Vec<&'static str> {
        missing(at).into_iter().map(|missing| missing.name).collect()
    }

    #[test]
    fn depend_on_the_kernel_the_user_and_tracefs() {
        // All but CAP_SYS_RESOURCE.
        let root = Situation { effective: 0x1ff_feff_ffff, uid: 0, kernel: (6, 18), tracefs_mounted: false };
        assert_eq!(names(root), Vec::<&str>::new());
        assert_eq!(names(Situation { kernel: (5, 10), ..root }), ["CAP_SYS_RESOURCE"]);
        let service = Situation { effective: 1 << 39 | 1 << 38, uid: 999, tracefs_mounted: true, ..root };
        assert_eq!(names(service), ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]);
        assert_eq!(
            names(Situation { effective: 1 << 21, uid: 999, ..root }),
            ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]
        );
        let nobody = Situation { effective: 0, uid: 999, ..root };
        assert_eq!(
            names(nobody),
            ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]
        );
    }

    #[test]
    fn reads_what_the_kernel_tells() {
        let status = "Name:\tx\nUid:\t1000\t33\t0\t0\nCapEff:\t000001fffeffffff\n";
        assert_eq!((effective(status), effective_user(status)), (0x1ff_feff_ffff, 33));
        assert_eq!((version("5.10.0-1-amd64"), version("")), ((5, 10), (0, 0)));
    }

    #[test]
    fn root_is_not_told_to_become_root() {
        let all = [CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN];
        assert_eq!(remedy_for(&all, 0, 1000), "run as root, or with CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN");
        assert_eq!(remedy_for(&all, 1 << 2, 0), "give it CAP_SYS_ADMIN, which this root user lacks");
        assert!(remedy_for(&all, u64::MAX, 0).starts_with("no capability is missing"));
    }
}
