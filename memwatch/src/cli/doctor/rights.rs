//! Capabilities: which are needed here, and what for.

/// A capability that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) name: &'static str,
    /// What it is needed for.
    pub(super) purpose: &'static str,
}

/// What decides which capabilities are needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Bits of `CapEff`.
    pub(super) effective: u64,
    /// Effective user.
    pub(super) uid: u32,
    /// Major and minor number of the kernel.
    pub(super) kernel: (u32, u32),
    /// Whether tracefs can be read where it is mounted.
    pub(super) tracefs_mounted: bool,
}

/// Before it BPF memory counts against RLIMIT_MEMLOCK.
const MEMLOCK_UNTIL: (u32, u32) = (5, 11);

/// What is missing. The numbers are those of include/uapi/linux/capability.h.
pub(super) fn missing(at: Situation) -> Vec<Missing> {
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
}
