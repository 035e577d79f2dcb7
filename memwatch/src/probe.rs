//! The hook table: what is observed, the ways to attach in order of preference, and what is lost without it.
//!
//! A hook is one file in `memwatch-ebpf/src/hook/` and one row of [`HOOKS`]. A difference between kernels is one more
//! way in a row, never a condition elsewhere.

pub mod attach;
pub mod btf;
mod instructions;
pub mod lockdown;
pub mod marks;
mod modify_return;
pub mod offsets;
mod on_demand;
#[cfg(test)]
mod stack;
mod targets;
pub mod tracefs;
mod ways;

use memwatch_ebpf::abi::event::Kind;

/// A perf software event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftwareEvent {
    /// `cpu-clock`.
    CpuClock,
    /// `page-faults-maj`.
    MajorFaults,
}

/// One way to attach a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// BPF trampoline at a function's entry.
    Fentry {
        /// Program in the BPF object.
        program: &'static str,
        /// Kernel function.
        function: &'static str,
    },
    /// BPF trampoline at a function's return.
    Fexit {
        /// Program in the BPF object.
        program: &'static str,
        /// Kernel function.
        function: &'static str,
    },
    /// BPF trampoline that replaces a function's result.
    ModifyReturn {
        /// Program in the BPF object.
        program: &'static str,
        /// Kernel function.
        function: &'static str,
    },
    /// Raw tracepoint.
    Raw {
        /// Program in the BPF object.
        program: &'static str,
        /// Tracepoint.
        event: &'static str,
    },
    /// Classic tracepoint, through a perf event.
    Tracepoint {
        /// Program in the BPF object.
        program: &'static str,
        /// Category in tracefs.
        category: &'static str,
        /// Event in tracefs.
        event: &'static str,
    },
    /// Kernel probe at a function's return.
    Kretprobe {
        /// Program in the BPF object.
        program: &'static str,
        /// Kernel function.
        function: &'static str,
    },
    /// Perf software event on every CPU.
    Perf {
        /// Program in the BPF object.
        program: &'static str,
        /// What is counted.
        event: SoftwareEvent,
    },
}

/// The kinds of ways, as `--attach` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum WayKind {
    /// BPF trampoline (fentry, fexit).
    Fentry,
    /// Raw tracepoint.
    RawTracepoint,
    /// Classic tracepoint.
    Tracepoint,
    /// Kernel probe.
    Kprobe,
    /// Perf software event.
    PerfEvent,
}

impl WayKind {
    /// The name used on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::RawTracepoint => "raw-tracepoint",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
            Self::PerfEvent => "perf-event",
        }
    }
}

impl Way {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> WayKind {
        match self {
            Self::Fentry { .. } | Self::Fexit { .. } | Self::ModifyReturn { .. } => WayKind::Fentry,
            Self::Raw { .. } => WayKind::RawTracepoint,
            Self::Tracepoint { .. } => WayKind::Tracepoint,
            Self::Kretprobe { .. } => WayKind::Kprobe,
            Self::Perf { .. } => WayKind::PerfEvent,
        }
    }

    /// The program it attaches.
    #[must_use]
    pub const fn program(&self) -> &'static str {
        match self {
            Self::Fentry { program, .. }
            | Self::Fexit { program, .. }
            | Self::ModifyReturn { program, .. }
            | Self::Raw { program, .. }
            | Self::Tracepoint { program, .. }
            | Self::Kretprobe { program, .. }
            | Self::Perf { program, .. } => program,
        }
    }
}

/// One row: a subject of observation.
#[derive(Debug)]
pub struct Hook {
    /// The subject; the same word stands in the kernel side's file or program.
    pub name: &'static str,
    /// Kinds of events that come from it. One that is not asked for still feeds counters and the detector.
    pub events: &'static [Kind],
    /// Ways to attach, the preferred first.
    pub ways: &'static [Way],
    /// What is lost when none attaches.
    pub lost: &'static str,
    /// When it is attached, if not from the start on.
    pub on_demand: Option<&'static str>,
}

impl Hook {
    /// The ways to try where only these kinds are wanted: a hook that has none of them keeps its own.
    pub(crate) fn ways_among<'a>(&'a self, wanted: &'a [WayKind]) -> impl Iterator<Item = &'a Way> {
        let keeps_own = self.keeps_own(wanted);
        self.ways.iter().filter(move |way| wanted.is_empty() || keeps_own || wanted.contains(&way.kind()))
    }

    /// Whether it has none of the kinds that are wanted.
    pub(crate) fn keeps_own(&self, wanted: &[WayKind]) -> bool {
        !wanted.is_empty() && !self.ways.iter().any(|way| wanted.contains(&way.kind()))
    }

    /// Whether fd tables go unnoticed without it.
    #[must_use]
    pub fn finds_tables(&self) -> bool {
        self.events.iter().any(|kind| matches!(kind, Kind::FdTable | Kind::RlimitRead))
    }
}

/// A hook on the return of a system call: trampoline, then tracepoint (which adds a few nanoseconds to every system
/// call), then kernel probe (which adds most to this one).
macro_rules! syscall {
    ($name:literal, $events:expr, $lost:literal) => {
        Hook {
            name: $name,
            events: $events,
            ways: &[
                Way::Fexit { program: concat!($name, "_fexit"), function: concat!("__x64_sys_", $name) },
                Way::Tracepoint {
                    program: concat!($name, "_tracepoint"),
                    category: "syscalls",
                    event: concat!("sys_exit_", $name),
                },
                Way::Kretprobe {
                    program: concat!($name, "_kretprobe"),
                    function: concat!("__x64_sys_", $name),
                },
            ],
            lost: $lost,
            on_demand: None,
        }
    };
}

macro_rules! raw {
    ($name:literal, $program:literal, $event:literal, $events:expr, $lost:literal) => {
        Hook {
            name: $name,
            events: $events,
            ways: &[Way::Raw { program: $program, event: $event }],
            lost: $lost,
            on_demand: None,
        }
    };
}

macro_rules! perf {
    ($name:literal, $program:literal, $event:ident, $events:expr, $lost:literal) => {
        Hook {
            name: $name,
            events: $events,
            ways: &[Way::Perf { program: $program, event: SoftwareEvent::$event }],
            lost: $lost,
            on_demand: None,
        }
    };
}

/// When the hooks that see which pages are touched are attached.
const WHILE_WATCHED: &str =
    "while an fd table can still be touched, and from the start with --pid, --tree, a command or a rule";

const RLIMIT: &[Kind] = &[Kind::RlimitRead, Kind::RlimitSet];

/// Every hook that observes. The life of processes comes first: whatever follows is attributed with it.
pub const HOOKS: &[Hook] = &[
    raw!(
        "fork",
        "fork_raw",
        "sched_process_fork",
        &[Kind::Fork],
        "children do not inherit a limit that was learned"
    ),
    raw!(
        "exec",
        "exec_raw",
        "sched_process_exec",
        &[Kind::Exec],
        "what an old program learned, and what was ordered about it, clings to the new one"
    ),
    raw!(
        "exit",
        "exit_raw",
        "sched_process_exit",
        &[Kind::Exit],
        "processes are forgotten late, their end is not told"
    ),
    raw!(
        "cgroup",
        "cgroup_raw",
        "cgroup_attach_task",
        &[],
        "what a process did before it moved counts for its new cgroup"
    ),
    raw!(
        "cgroup_rmdir",
        "cgroup_rmdir_raw",
        "cgroup_rmdir",
        &[],
        "sums of removed cgroups stay until their map is full: new cgroups are not counted then"
    ),
    Hook {
        name: "oom",
        events: &[Kind::OomKill],
        ways: &[
            Way::Raw { program: "oom_raw", event: "mark_victim" },
            Way::Fentry { program: "oom_fentry", function: "mark_oom_victim" },
        ],
        lost: "OOM kills are not seen",
        on_demand: None,
    },
    Hook {
        on_demand: Some("with --rss-limit, or where a configuration limits processes"),
        ..raw!("rss", "rss_raw", "rss_stat", &[Kind::Rss], "a passed RSS limit is seen at samples only")
    },
    Hook {
        on_demand: Some(WHILE_WATCHED),
        ..raw!(
            "touch_kernel",
            "touch_kernel_raw",
            "page_fault_kernel",
            &[Kind::FdTable],
            "what the kernel writes to an fd table (a read into it) is not counted as touched"
        )
    },
    Hook {
        on_demand: Some(WHILE_WATCHED),
        ..raw!(
            "touch",
            "touch_raw",
            "page_fault_user",
            &[Kind::FdTable],
            "any growth of a process with an fd table counts as touched, late, and no rule acts on it"
        )
    },
    syscall!("prlimit64", RLIMIT, "limits read or set by prlimit64 are not learned: fd tables go unnoticed"),
    syscall!("getrlimit", RLIMIT, "limits read by getrlimit are not learned"),
    syscall!("setrlimit", RLIMIT, "limits set by setrlimit are not learned"),
    syscall!(
        "mmap",
        &[Kind::Mmap, Kind::FdTable],
        "mapped bytes are not counted, fd tables by mmap go unnoticed"
    ),
    syscall!("munmap", &[Kind::Munmap], "bytes given back are not counted"),
    syscall!(
        "mremap",
        &[Kind::Mremap, Kind::FdTable],
        "regrown regions are not counted, nor fd tables by realloc"
    ),
    syscall!("brk", &[Kind::Brk, Kind::FdTable], "heap growth is not counted"),
    syscall!("close", &[Kind::CloseSweep], "close sweeps are not seen"),
    syscall!("dup2", &[Kind::FdTableGrowth], "growth of the kernel's table by dup2 is noticed late"),
    syscall!("dup3", &[Kind::FdTableGrowth], "growth of the kernel's table by dup3 is noticed late"),
    syscall!("fcntl", &[Kind::FdTableGrowth], "growth of the kernel's table by fcntl is noticed late"),
    perf!(
        "sample",
        "sample_perf",
        CpuClock,
        &[Kind::Rss],
        "faults are known at exit only, RSS only where it is watched"
    ),
    perf!("fault_major", "fault_major_perf", MajorFaults, &[Kind::Fault], "major faults give no events"),
];

/// The hook that refuses fd tables: attached only when a rule asks for it.
pub const REFUSE: Hook = Hook {
    name: "refuse",
    events: &[Kind::Action],
    ways: &[Way::ModifyReturn { program: "refuse_modify_return", function: "security_vm_enough_memory_mm" }],
    lost: "rules that refuse a table with ENOMEM do nothing",
    on_demand: Some("with a rule that refuses tables"),
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_but_acts_has_a_hook() {
        let covered: BTreeSet<_> = HOOKS.iter().flat_map(|hook| hook.events.iter().copied()).collect();
        let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !covered.contains(kind)).collect();
        assert_eq!(missing, [&Kind::Action], "acts come from rules, not from a hook");
    }

    #[test]
    fn a_wanted_way_leaves_no_hook_without_one() {
        let wanted = [WayKind::Kprobe];
        let by_kprobe: Vec<_> = HOOKS.iter().filter(|hook| !hook.keeps_own(&wanted)).collect();
        assert!(by_kprobe.len() > 10 && by_kprobe.len() < HOOKS.len());
        for hook in HOOKS {
            let ways: Vec<_> = hook.ways_among(&wanted).map(Way::kind).collect();
            assert!(if hook.keeps_own(&wanted) { ways.len() == hook.ways.len() } else { ways == wanted });
            assert_eq!(hook.ways_among(&[]).count(), hook.ways.len());
        }
    }

    #[test]
    fn the_comparison_attaches_the_default_set() {
        let script = include_str!("../../xtask/src/bench/bpftrace/hooks.bt");
        let counts = |line: &str| Some(line.split_once('@')?.1.split_once('[')?.0.to_owned());
        let counted: BTreeSet<String> = script.lines().filter_map(counts).collect();
        let from_the_start = HOOKS.iter().filter(|hook| hook.on_demand.is_none());
        let expected: BTreeSet<String> = from_the_start.map(|hook| hook.name.to_owned()).collect();
        assert_eq!(counted, expected);
    }

    #[test]
    fn names_are_given_once() {
        let mut seen = BTreeSet::new();
        for program in HOOKS.iter().flat_map(|hook| hook.ways.iter().map(Way::program)) {
            assert!(seen.insert(program), "{program} stands in two rows");
        }
    }
}
