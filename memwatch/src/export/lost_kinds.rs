//! What each kind of loss means, and what helps: for docs/events.md and for the person who reads of one.

/// A kind of loss.
#[derive(Clone, Copy, Debug)]
pub struct LostKind {
    /// Its name in reports.
    pub name: &'static str,
    /// What is missing, in a few words.
    pub meaning: &'static str,
    /// What helps, or that nothing has to be done.
    pub remedy: &'static str,
}

const fn kind(name: &'static str, meaning: &'static str, remedy: &'static str) -> LostKind {
    LostKind { name, meaning, remedy }
}

/// What a scan lacks when it cannot read of a process.
const SCAN_RIGHTS: &str = "run as root, or with CAP_SYS_PTRACE";

/// Every kind that is reported.
pub const ALL: &[LostKind] = &[
    kind(
        "ring_full",
        "records for which the ring buffer had no room",
        "raise --ring-size, or filter by --event, --tree or --min-bytes",
    ),
    kind("process_map_full", "processes that are not followed", "raise --max-processes"),
    kind("cgroup_map_full", "cgroups whose sums are incomplete", "none: the sums of processes are complete"),
    kind(
        "kernel_read",
        "kernel fields that could not be read; what they would say is left out",
        "`memwatch doctor` lists fields that this kernel lacks",
    ),
    kind(
        "user_read",
        "values in a program's memory that could not be read (paged out, or a wrong pointer)",
        "none: the limit or argument is left out of its event",
    ),
    kind(
        "registers",
        "system calls whose arguments were not where they were expected",
        "try another way to attach with --attach",
    ),
    kind("signal", "signals of a rule that the kernel would not send", "see `memwatch.action.error`"),
    kind("mark_map_full", "descendants missing from a tree or a rule", "raise --max-processes"),
    kind(
        "threads",
        "ends of processes with so many threads that faults of the last to end are left out",
        "none: what was added until then is told",
    ),
    kind(
        "attribution_failed",
        "processes that were gone, or whose pid had another holder, before /proc could be read",
        "none: their events carry name, user and cgroup, but no executable and arguments",
    ),
    kind(
        "executables_unknown",
        "programs that had ended, or may not be looked at, before their executable's path was known",
        "none: `memwatch.exec.filename` has the name they were started by",
    ),
    kind(
        "cgroup_walks_cut",
        "searches for a cgroup's path that were given up: the host has too many cgroups",
        "none: events still carry the cgroup's id",
    ),
    kind(
        "undecodable",
        "records that this version cannot read",
        "report it as a bug, with the kernel's version",
    ),
    kind(
        "unaccounted",
        "records that were numbered but never came, and that no other kind of loss explains",
        "report it as a bug, with the kernel's version",
    ),
    kind(
        "unread",
        "records that were still in the ring buffer when tracing ended, because the output's reader took too long",
        "read the output faster, or filter by --event, --tree or --min-bytes",
    ),
    kind(
        "unwritten",
        "lines that the output's reader did not take before tracing ended; told at the end only",
        "read the output faster, or send it to a file",
    ),
    kind(
        "findings_dropped",
        "findings missing from the summary; their lines were written",
        "read the lines, or raise --min-table",
    ),
    kind(
        "findings_state_evicted",
        "processes with a table that were forgotten before their end",
        "raise --min-table",
    ),
    kind(
        "containers_unnamed",
        "events that left without the names of their container: its runtime did not tell them in time",
        "none: they carry the container's id; later ones of it carry the names as well",
    ),
    kind(
        "container_calls_failed",
        "calls to a container runtime that failed, took too long, or brought what makes no sense",
        "see why with -vv, and whether the runtime runs; what was known stays known",
    ),
    kind(
        "containers_not_kept",
        "containers whose names were forgotten before their time, or not taken in: the host has too many",
        "none: events still carry the container's id",
    ),
    kind(
        "containers_not_asked",
        "questions for the names of a container that were dropped: too many were open",
        "none: events carry the container's id, and a later one has it asked for again",
    ),
    kind(
        "export_shed",
        "events that an exporter of the daemon had no room for; in its own output",
        "read it faster, or raise its `queue`",
    ),
    kind(
        "export_held_back",
        "events that an exporter of the daemon held back by `at_most`; in its own output",
        "raise `at_most`, or narrow `kinds`",
    ),
    kind(
        "export_refused",
        "events that the peer of an exporter of the daemon refused; in its own output",
        "the daemon's own log has the peer's reason",
    ),
    kind("scan_processes", "processes of which nothing could be read", SCAN_RIGHTS),
    kind(
        "scan_memory",
        "processes large enough for a table, whose areas of memory could not be read",
        SCAN_RIGHTS,
    ),
    kind(
        "scan_residence",
        "processes with a table of which it is not known how much is resident",
        SCAN_RIGHTS,
    ),
];

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static LostKind> {
    ALL.iter().find(|kind| kind.name == name)
}
