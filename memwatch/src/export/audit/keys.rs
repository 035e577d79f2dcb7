//! The keys of the lines that `memwatch audit` writes: one table, which the writer takes its keys from and docs/audit.md
//! is made of.

use crate::export::flat::{Key, Kind, keys};

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// About the whole run.
    Summary,
    /// About a cgroup that has processes.
    Cgroup,
    /// Memory that a cgroup holds and another is charged for.
    Elsewhere,
    /// A cgroup that holds much more than it is charged for.
    UnderCharged,
    /// Removed cgroups that hold memory.
    Dying,
}

impl Kind for Line {
    const ALL: &'static [Self] =
        &[Self::Summary, Self::Cgroup, Self::Elsewhere, Self::UnderCharged, Self::Dying];

    const HEAD: [&'static Key<Self>; 3] = [&EVENT_NAME, &SCHEMA_VERSION, &TIMESTAMP];

    fn name(self) -> &'static str {
        match self {
            Self::Summary => "memwatch.audit",
            Self::Cgroup => "memwatch.audit.cgroup",
            Self::Elsewhere => "memwatch.audit.elsewhere",
            Self::UnderCharged => "memwatch.under_charged_cgroup",
            Self::Dying => "memwatch.audit.dying",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::Summary => "First line: how the reading went.",
            Self::Cgroup => "A cgroup that has processes: what it is charged for and what they hold.",
            Self::Elsewhere => {
                "Pages of one file, or without one, that the cgroup's processes map and that are charged elsewhere; after the \
                 line of the cgroup, the largest first."
            }
            Self::UnderCharged => {
                "Finding: the cgroup's processes hold so much that is charged elsewhere that its limit does not bound it."
            }
            Self::Dying => {
                "Removed cgroups that are still charged for memory, by the living cgroup they were below."
            }
        }
    }
}

const EVERY: &[Line] = Line::ALL;
const SUMMARY: &[Line] = &[Line::Summary];
const CGROUP: &[Line] = &[Line::Cgroup];
const ELSEWHERE: &[Line] = &[Line::Elsewhere];
const FINDING: &[Line] = &[Line::UnderCharged];
const DYING: &[Line] = &[Line::Dying];
/// Those that speak of a cgroup.
const OF_CGROUP: &[Line] = &[Line::Cgroup, Line::Elsewhere, Line::UnderCharged, Line::Dying];
/// Those that speak of pages that are charged elsewhere.
const CHARGED_ELSEWHERE: &[Line] = &[Line::Elsewhere, Line::UnderCharged];

keys! {
    EVENT_NAME: "event.name" Text "" EVERY => "What the line says; the sections below are named after it.";
    SCHEMA_VERSION: "memwatch.schema_version" Integer "" EVERY => "Version of this document; a key that changes its meaning or goes raises it.";
    TIMESTAMP: "timestamp" Text "" EVERY => "When the audit ended, RFC 3339 in UTC.";

    CGROUP_ID: "memwatch.cgroup.id" Integer "" OF_CGROUP => "Inode number of the cgroup's folder in the hierarchy of the memory controller.";
    CGROUP_PATH: "memwatch.cgroup.path" Text "" OF_CGROUP => "Path of the cgroup in that hierarchy. In `memwatch.audit.dying`: of the nearest living cgroup above the removed ones.";
    CGROUP_UNIT: "memwatch.unit" Text "" OF_CGROUP => "Systemd unit that the path names.";
    CONTAINER_ID: "container.id" Text "" OF_CGROUP => "Container that the path names.";
    POD_UID: "k8s.pod.uid" Text "" OF_CGROUP => "Kubernetes pod that the path names: its own cgroup, or that of one of its containers.";

    PROCESSES: "memwatch.audit.processes" Integer "" &[Line::Summary, Line::Cgroup] => "Processes that were read.";
    GONE: "memwatch.audit.gone" Integer "" SUMMARY => "Processes that ended while they were read.";
    REFUSED: "memwatch.audit.refused" Integer "" SUMMARY => "Processes that could not be read for lack of a right.";
    PAGES: "memwatch.audit.pages" Integer "" SUMMARY => "Pages read that were in memory, each as often as it is mapped.";
    PAGE_BYTES: "memwatch.audit.page_bytes" Integer "bytes" SUMMARY => "Size of a page.";
    ONE_IN: "memwatch.audit.one_in" Integer "" SUMMARY => "One page in so many was read; 1: all.";
    HIERARCHY: "memwatch.audit.hierarchy" Text "" SUMMARY => "`v1` or `v2`: where the memory controller is.";
    TELLS_OWNERS: "memwatch.audit.tells_owners" Flag "" SUMMARY => "Whether the kernel tells whom pages are charged to. Without /proc/kpagecgroup, what is missing is taken from the counters.";
    TOOK: "memwatch.audit.duration" Integer "ns" SUMMARY => "Time the reading took.";
    CPU: "memwatch.audit.cpu" Integer "ns" SUMMARY => "CPU time it took, on one core.";
    FINDINGS: "memwatch.audit.findings" Integer "" SUMMARY => "Lines `memwatch.under_charged_cgroup` that follow.";

    LIMIT: "memwatch.audit.limit" Integer "bytes" &[Line::Cgroup, Line::UnderCharged] => "The limit of the cgroup's memory, when it has one.";
    CHARGED_ANON: "memwatch.audit.charged.anon" Integer "bytes" CGROUP => "Charged to the cgroup, living children taken off: memory without a file.";
    CHARGED_FILE: "memwatch.audit.charged.file" Integer "bytes" CGROUP => "The same: page cache, files in memory included.";
    CHARGED_SHMEM: "memwatch.audit.charged.shmem" Integer "bytes" CGROUP => "The same: files in memory.";
    CHARGED_KERNEL: "memwatch.audit.charged.kernel" Integer "bytes" CGROUP => "The same: memory of the kernel.";
    CHARGED_SWAP: "memwatch.audit.charged.swap" Integer "bytes" CGROUP => "The same: swap.";
    HELD_ANON: "memwatch.audit.held.anon" Estimate "bytes" CGROUP => "Held resident by the cgroup's processes, each page once: memory without a file, and private copies of files' pages.";
    HELD_FILE: "memwatch.audit.held.file" Estimate "bytes" CGROUP => "The same: mapped files on disks.";
    HELD_SHMEM: "memwatch.audit.held.shmem" Estimate "bytes" CGROUP => "The same: mapped files in memory (tmpfs, shared memory, memfd).";
    HELD: "memwatch.audit.held" Estimate "bytes" CGROUP => "The three together.";
    HELD_HUGETLB: "memwatch.audit.held.hugetlb" Estimate "bytes" CGROUP => "From the pool of huge pages. In no other figure: the controller does not charge it.";
    HELD_LOCKED: "memwatch.audit.held.locked" Estimate "bytes" CGROUP => "What of `held` is locked in memory.";
    HELD_SHARED: "memwatch.audit.held.shared" Estimate "bytes" CGROUP => "What of `held` processes of other cgroups map as well.";
    APPORTIONED: "memwatch.audit.held.apportioned" Estimate "bytes" CGROUP => "`held`, with each page that k cgroups map counted as 1/k.";
    SWAPPED: "memwatch.audit.held.swap" Integer "bytes" CGROUP => "Memory of the processes that is in swap, as they count it.";
    TRUE_USE: "memwatch.audit.true_use" Estimate "bytes" &[Line::Cgroup, Line::UnderCharged] => "What the cgroup costs the host: `held.apportioned`, memory of the kernel, and files in memory that it is charged for and does not map.";
    MISSING: "memwatch.audit.missing" Estimate "bytes" &[Line::Cgroup, Line::UnderCharged] => "What of `held.apportioned` is charged neither to the cgroup nor below it.";
    MISSING_PERCENT: "memwatch.audit.missing_percent" Integer "%" &[Line::Cgroup, Line::UnderCharged] => "`missing` in percent of `true_use`.";

    OWNER: "memwatch.audit.owner" Text "" CHARGED_ELSEWHERE => "Whom the pages are charged to: `below`, `above` or `other`, a living cgroup as seen from this one; `dying`, removed cgroups below the one named; `perhaps_dying`, the one named or removed ones below it; `nobody`; `unseen`, a cgroup that is not in the tree.";
    OWNER_ID: "memwatch.audit.owner.cgroup.id" Integer "" CHARGED_ELSEWHERE => "Inode number of the cgroup that the kernel names as charged.";
    OWNER_PATH: "memwatch.audit.owner.cgroup.path" Text "" CHARGED_ELSEWHERE => "Its path.";
    BYTES: "memwatch.audit.bytes" Estimate "bytes" ELSEWHERE => "How much, with each page that k cgroups map counted as 1/k.";
    CLASS: "memwatch.audit.class" Text "" CHARGED_ELSEWHERE => "`anon`, `file` or `shmem`.";
    FILE_PATH: "file.path" Text "" CHARGED_ELSEWHERE => "The file, as the process that maps it names it. In the finding: the one with the most bytes.";
    FILE_INODE: "file.inode" Text "" CHARGED_ELSEWHERE => "Its inode number.";
    FILE_DEVICE: "memwatch.audit.file.device" Text "" CHARGED_ELSEWHERE => "Device, `major:minor`.";
    FILE_DELETED: "memwatch.audit.file.deleted" Flag "" CHARGED_ELSEWHERE => "`true` when the file has no name any more.";
    FILE_SEEN_BY: "memwatch.audit.file.seen_by" Integer "" CHARGED_ELSEWHERE => "A process in whose mounts the path leads to the file, when it does not in the auditor's: look below /proc/PID/root.";
    ADVICE: "memwatch.audit.advice" Text "" FINDING => "What to do about it.";

    DYING_COUNT: "memwatch.audit.dying.count" Integer "" DYING => "Removed cgroups; left out where the kernel does not count them (v1).";
    DYING_ANON: "memwatch.audit.dying.anon" Integer "bytes" DYING => "What they hold: memory without a file.";
    DYING_FILE: "memwatch.audit.dying.file" Integer "bytes" DYING => "The same: page cache, files in memory included.";
    DYING_SHMEM: "memwatch.audit.dying.shmem" Integer "bytes" DYING => "The same: files in memory.";
    DYING_KERNEL: "memwatch.audit.dying.kernel" Integer "bytes" DYING => "The same: memory of the kernel.";
    DYING_AT_MOST: "memwatch.audit.dying.at_most" Flag "" DYING => "`true` when part of it may be the living cgroup's own.";
}
