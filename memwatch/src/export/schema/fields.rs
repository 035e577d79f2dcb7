//! The table of fields.
//!
//! A row: name, key, type, unit, the lines that may carry it, and what it says. A value that is not known is left out.

use memwatch_ebpf::abi::event::Kind;

use super::{Field, Lines, Name, Type};

const EVERY: Lines = Lines::Every;
const PROCESS: Lines = Lines::Process;
const THREAD: Lines = Lines::Thread;
const EXPOSURE: Lines = Lines::Only(Name::Exposure);
const LOST: Lines = Lines::Only(Name::Lost);

const fn only(kind: Kind) -> Lines {
    Lines::Only(Name::Of(kind))
}

macro_rules! fields {
    ($($name:ident: $key:literal $ty:ident $unit:literal $lines:expr => $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub static $name: Field = Field {
                key: $key,
                lead: concat!(",\"", $key, "\":"),
                ty: Type::$ty,
                unit: $unit,
                lines: $lines,
                doc: $doc,
            };
        )*

        /// Every row, in the order of the documentation.
        pub static ALL: &[&Field] = &[$(&$name,)*];
    };
}

fields! {
    // Every line.
    EVENT_NAME: "event.name" Text "" EVERY => "What the line says; the sections below are named after it.";
    SCHEMA_VERSION: "memwatch.schema_version" Integer "" EVERY => "Version of this document; a key that changes its meaning or goes raises it.";
    TIMESTAMP: "timestamp" Time "" EVERY => "When it happened, by the wall clock as it stood when memwatch started.";
    BOOT_NS: "memwatch.boot_ns" Integer "ns" EVERY => "When it happened, on the boot clock: the order of lines of several CPUs.";

    // The process.
    PROCESS_PID: "process.pid" Integer "" PROCESS => "Process id in the initial pid namespace.";
    PROCESS_PARENT_PID: "process.parent_pid" Integer "" PROCESS => "Process id of the parent.";
    PROCESS_CREATION_TIME: "process.creation.time" Time "" PROCESS => "When the process started.";
    PROCESS_START_NS: "memwatch.process.start_ns" Integer "ns" PROCESS => "The same on the boot clock; with `process.pid` it names the process for good. Processes older than memwatch: rounded down to 10 ms.";
    PROCESS_EXECUTABLE_PATH: "process.executable.path" Text "" PROCESS => "Path of the executable, without symbolic links; of a script, its interpreter. Left out when it cannot be told, which is counted.";
    PROCESS_EXECUTABLE_NAME: "process.executable.name" Text "" PROCESS => "Last part of that path.";
    PROCESS_COMM: "memwatch.process.comm" Text "" PROCESS => "Name of the process as the kernel keeps it, 15 bytes at most.";
    PROCESS_COMMAND_ARGS: "process.command_args" Texts "" PROCESS => "Argument vector, its first 64 arguments and 1,024 bytes at most. (`process.command_line` is for systems that have no vector, and is not written.)";
    PROCESS_COMMAND_ARGS_CUT: "memwatch.process.command_args_cut" Flag "" PROCESS => "`true` when `process.command_args` is not all of it: arguments are missing at its end, and the last one that is there may be cut; else left out.";
    PROCESS_REAL_USER_ID: "process.real_user.id" Integer "" PROCESS => "Real user id in the initial user namespace.";
    CGROUP_ID: "memwatch.cgroup.id" Integer "" PROCESS => "Id of the cgroup: `stat -c %i` of its folder. In the unified hierarchy (v2); where a process stands in the root of that and the memory controller has a v1 hierarchy of its own, in the latter.";
    CGROUP_PATH: "memwatch.cgroup.path" Text "" PROCESS => "Path of the cgroup in the hierarchy that `memwatch.cgroup.hierarchy` names; what is not UTF-8 in it is U+FFFD. Where that is `systemd`, the id is of another hierarchy than the path.";
    CGROUP_HIERARCHY: "memwatch.cgroup.hierarchy" Text "" PROCESS => "`unified` (v2); on hosts with v1 hierarchies, where a process stands in the root of the unified one, `memory` (the v1 memory controller's) or `systemd` (systemd's own).";
    UNIT: "memwatch.unit" Text "" PROCESS => "Systemd unit that the cgroup path names: as this host's `systemctl` takes it, or `systemctl --user` of a user's own. A slice where there is nothing but slices.";
    SLICE: "memwatch.slice" Text "" PROCESS => "Slice of this host's systemd that the cgroup path names; of a user's own units that of the user.";
    CONTAINER_ID: "container.id" Text "" PROCESS => "Container that the cgroup path names, full id.";
    CONTAINER_RUNTIME: "container.runtime.name" Text "" PROCESS => "Container runtime, when the cgroup path names it.";
    CONTAINER_NAME: "container.name" Text "" PROCESS => "Its name, as the container runtime gives it over its socket.";
    IMAGE_NAME: "container.image.name" Text "" PROCESS => "Image that it was made from, with the registry, as it was asked for; from the runtime.";
    IMAGE_TAGS: "container.image.tags" Texts "" PROCESS => "Tag of that image, when it was asked for by one.";
    IMAGE_ID: "container.image.id" Text "" PROCESS => "Id by which the runtime knows the image.";
    IMAGE_DIGESTS: "container.image.repo_digests" Texts "" PROCESS => "Digest of the image in its repository, with the name in front.";
    CONTAINER_LABEL: "container.label.<key>" Labels "" PROCESS => "Labels of the container, 32 at most; not the kubelet's own (`io.kubernetes.…`), which have fields of their own.";
    K8S_POD_NAME: "k8s.pod.name" Text "" PROCESS => "Name of the pod, from the runtime.";
    K8S_NAMESPACE_NAME: "k8s.namespace.name" Text "" PROCESS => "Namespace of the pod, from the runtime.";
    K8S_CONTAINER_NAME: "k8s.container.name" Text "" PROCESS => "Name of the container in the pod's specification, from the runtime. The pod's sandbox, which holds its namespaces, has none.";
    K8S_RESTARTS: "k8s.container.restart_count" Integer "" PROCESS => "How often the container was started anew, from the runtime.";
    K8S_POD_LABEL: "k8s.pod.label.<key>" Labels "" PROCESS => "Labels of the pod, 32 at most; not the kubelet's own.";
    K8S_POD_UID: "k8s.pod.uid" Text "" PROCESS => "Kubernetes pod, when the cgroup path names it, or else the runtime does. Of a static pod the hash that the API server shows as the annotation `kubernetes.io/config.hash`.";
    K8S_POD_QOS_CLASS: "k8s.pod.qos_class" Text "" PROCESS => "`Guaranteed`, `Burstable` or `BestEffort`, when the cgroup path tells.";
    THREAD_ID: "thread.id" Integer "" THREAD => "Thread id in the initial pid namespace.";
    THREAD_NAME: "thread.name" Text "" THREAD => "Name of the thread as the kernel keeps it.";

    // `memwatch.mmap`.
    MMAP_ADDRESS: "memwatch.mmap.address" Hex "" only(Kind::Mmap) => "Address asked for, when one was.";
    MMAP_BYTES: "memwatch.mmap.bytes" Integer "bytes" only(Kind::Mmap) => "Length asked for.";
    MMAP_PROT: "memwatch.mmap.prot" Text "" only(Kind::Mmap) => "Protection by name, joined by `|`.";
    MMAP_PROT_NUMBER: "memwatch.mmap.prot_number" Integer "" only(Kind::Mmap) => "The same as a number.";
    MMAP_FLAGS: "memwatch.mmap.flags" Text "" only(Kind::Mmap) => "`MAP_*` flags by name, joined by `|`.";
    MMAP_FLAGS_NUMBER: "memwatch.mmap.flags_number" Integer "" only(Kind::Mmap) => "The same as a number.";
    MMAP_RESULT: "memwatch.mmap.result" Hex "" only(Kind::Mmap) => "Address that the kernel returned.";
    MMAP_ERROR: "memwatch.mmap.error" Text "" only(Kind::Mmap) => "Name of the error (`ENOMEM`), or its negative number, when the call failed.";

    // `memwatch.munmap`.
    MUNMAP_ADDRESS: "memwatch.munmap.address" Hex "" only(Kind::Munmap) => "First address given back.";
    MUNMAP_BYTES: "memwatch.munmap.bytes" Integer "bytes" only(Kind::Munmap) => "Length given back.";
    MUNMAP_ERROR: "memwatch.munmap.error" Text "" only(Kind::Munmap) => "Name of the error (`ENOMEM`), or its negative number, when the call failed.";

    // `memwatch.mremap`.
    MREMAP_ADDRESS: "memwatch.mremap.address" Hex "" only(Kind::Mremap) => "Address before the call.";
    MREMAP_OLD_BYTES: "memwatch.mremap.old_bytes" Integer "bytes" only(Kind::Mremap) => "Length before the call.";
    MREMAP_BYTES: "memwatch.mremap.bytes" Integer "bytes" only(Kind::Mremap) => "Length asked for.";
    MREMAP_FLAGS: "memwatch.mremap.flags" Text "" only(Kind::Mremap) => "`MREMAP_*` flags by name, joined by `|`.";
    MREMAP_FLAGS_NUMBER: "memwatch.mremap.flags_number" Integer "" only(Kind::Mremap) => "The same as a number.";
    MREMAP_RESULT: "memwatch.mremap.result" Hex "" only(Kind::Mremap) => "Address that the kernel returned.";
    MREMAP_ERROR: "memwatch.mremap.error" Text "" only(Kind::Mremap) => "Name of the error (`ENOMEM`), or its negative number, when the call failed.";

    // `memwatch.brk`.
    BRK_ADDRESS: "memwatch.brk.address" Hex "" only(Kind::Brk) => "Break asked for.";
    BRK_OLD_ADDRESS: "memwatch.brk.old_address" Hex "" only(Kind::Brk) => "Break before the call.";
    BRK_CHANGE_BYTES: "memwatch.brk.change_bytes" Integer "bytes" only(Kind::Brk) => "Bytes by which the break moved: positive up, negative down, left out when the call was refused.";
    BRK_RESULT: "memwatch.brk.result" Hex "" only(Kind::Brk) => "Break after the call.";

    // `memwatch.fault`.
    FAULT_ADDRESS: "memwatch.fault.address" Hex "" only(Kind::Fault) => "Faulting address, when the way attached carries it.";
    FAULT_MAJOR: "memwatch.fault.major_total" Integer "" only(Kind::Fault) => "Major faults of the process so far, this one included.";
    FAULT_MINOR: "memwatch.fault.minor_total" Integer "" only(Kind::Fault) => "Minor faults of the process so far: the kernel's own count of each thread, as it was when that thread was last looked at (a CPU-clock sample, 100 a second of each running CPU unless `--sample-hz` says otherwise, or a major fault). Counted, not scaled; at most one period late.";

    // `memwatch.rss`.
    RSS_LIMIT: "memwatch.rss.limit_bytes" Integer "bytes" only(Kind::Rss) => "The limit that was passed.";
    RSS_TOTAL: "memwatch.rss.rss_bytes" Integer "bytes" only(Kind::Rss) => "Resident memory: the sum of the next three.";
    RSS_ANON: "memwatch.rss.anon_bytes" Integer "bytes" only(Kind::Rss) => "Resident anonymous memory.";
    RSS_FILE: "memwatch.rss.file_bytes" Integer "bytes" only(Kind::Rss) => "Resident file pages.";
    RSS_SHMEM: "memwatch.rss.shmem_bytes" Integer "bytes" only(Kind::Rss) => "Resident shared memory.";
    RSS_SWAP: "memwatch.rss.swap_bytes" Integer "bytes" only(Kind::Rss) => "Swapped out.";

    // `memwatch.rlimit_read`.
    RLIMIT_READ_RESOURCE: "memwatch.rlimit_read.resource" Text "" only(Kind::RlimitRead) => "Name of the limit: `cpu`, `fsize`, `data`, `stack`, `core`, `rss`, `nproc`, `nofile`, `memlock`, `as`, `locks`, `sigpending`, `msgqueue`, `nice`, `rtprio`, `rttime`. Left out when the number has no name.";
    RLIMIT_READ_RESOURCE_NUMBER: "memwatch.rlimit_read.resource_number" Integer "" only(Kind::RlimitRead) => "`RLIMIT_*` number as the caller passed it.";
    RLIMIT_READ_TARGET: "memwatch.rlimit_read.target_pid" Integer "" only(Kind::RlimitRead) => "Process whose limit it is, or one of its threads, when it is not the caller's own: the id that the caller passed, which is one of the initial pid namespace. Left out where the caller is in another.";
    RLIMIT_READ_FOREIGN_TARGET: "memwatch.rlimit_read.target_unknown" Flag "" only(Kind::RlimitRead) => "`true` when it is another process's, named by an id of the caller's own pid namespace, which is not the initial one: whose is not known; else left out.";
    RLIMIT_READ_SOFT: "memwatch.rlimit_read.soft" Integer "the resource's own" only(Kind::RlimitRead) => "Soft limit that was read. Left out when unlimited or unknown.";
    RLIMIT_READ_SOFT_UNLIMITED: "memwatch.rlimit_read.soft_unlimited" Flag "" only(Kind::RlimitRead) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_READ_HARD: "memwatch.rlimit_read.hard" Integer "the resource's own" only(Kind::RlimitRead) => "Hard limit that was read. Left out when unlimited or unknown.";
    RLIMIT_READ_HARD_UNLIMITED: "memwatch.rlimit_read.hard_unlimited" Flag "" only(Kind::RlimitRead) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_READ_ERROR: "memwatch.rlimit_read.error" Text "" only(Kind::RlimitRead) => "Name of the error (`ENOMEM`), or its negative number, when the call failed.";

    // `memwatch.rlimit_set`.
    RLIMIT_SET_RESOURCE: "memwatch.rlimit_set.resource" Text "" only(Kind::RlimitSet) => "Name of the limit: `cpu`, `fsize`, `data`, `stack`, `core`, `rss`, `nproc`, `nofile`, `memlock`, `as`, `locks`, `sigpending`, `msgqueue`, `nice`, `rtprio`, `rttime`. Left out when the number has no name.";
    RLIMIT_SET_RESOURCE_NUMBER: "memwatch.rlimit_set.resource_number" Integer "" only(Kind::RlimitSet) => "`RLIMIT_*` number as the caller passed it.";
    RLIMIT_SET_TARGET: "memwatch.rlimit_set.target_pid" Integer "" only(Kind::RlimitSet) => "Process whose limit it is, or one of its threads, when it is not the caller's own: the id that the caller passed, which is one of the initial pid namespace. Left out where the caller is in another.";
    RLIMIT_SET_FOREIGN_TARGET: "memwatch.rlimit_set.target_unknown" Flag "" only(Kind::RlimitSet) => "`true` when it is another process's, named by an id of the caller's own pid namespace, which is not the initial one: whose is not known; else left out.";
    RLIMIT_SET_SOFT: "memwatch.rlimit_set.soft" Integer "the resource's own" only(Kind::RlimitSet) => "Soft limit before the call: what the same call read (`prlimit64` with both pointers), what stayed when it failed, else what the process was known to have (its start was seen, or it read or set a limit before). Left out when unlimited or unknown.";
    RLIMIT_SET_SOFT_UNLIMITED: "memwatch.rlimit_set.soft_unlimited" Flag "" only(Kind::RlimitSet) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_SET_HARD: "memwatch.rlimit_set.hard" Integer "the resource's own" only(Kind::RlimitSet) => "Hard limit before the call, as the soft one. Left out when unlimited or unknown.";
    RLIMIT_SET_HARD_UNLIMITED: "memwatch.rlimit_set.hard_unlimited" Flag "" only(Kind::RlimitSet) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_SET_NEW_SOFT: "memwatch.rlimit_set.new_soft" Integer "the resource's own" only(Kind::RlimitSet) => "Soft limit that was set, or tried to be. Left out when unlimited or unknown.";
    RLIMIT_SET_NEW_SOFT_UNLIMITED: "memwatch.rlimit_set.new_soft_unlimited" Flag "" only(Kind::RlimitSet) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_SET_NEW_HARD: "memwatch.rlimit_set.new_hard" Integer "the resource's own" only(Kind::RlimitSet) => "Hard limit that was set, or tried to be. Left out when unlimited or unknown.";
    RLIMIT_SET_NEW_HARD_UNLIMITED: "memwatch.rlimit_set.new_hard_unlimited" Flag "" only(Kind::RlimitSet) => "`true` when that limit is `RLIM_INFINITY`, else left out.";
    RLIMIT_SET_ERROR: "memwatch.rlimit_set.error" Text "" only(Kind::RlimitSet) => "Name of the error (`ENOMEM`), or its negative number, when the call failed.";

    // `memwatch.fdtable_growth`.
    GROWTH_OLD_SLOTS: "memwatch.fdtable_growth.old_slots" Integer "descriptors" only(Kind::FdTableGrowth) => "Slots before.";
    GROWTH_NEW_SLOTS: "memwatch.fdtable_growth.new_slots" Integer "descriptors" only(Kind::FdTableGrowth) => "Slots now.";
    GROWTH_BYTES: "memwatch.fdtable_growth.bytes" Integer "bytes" only(Kind::FdTableGrowth) => "Kernel memory of the table now: pointers and bitmaps.";

    // `memwatch.close_sweep`.
    SWEEP_PHASE: "memwatch.close_sweep.phase" Text "" only(Kind::CloseSweep) => "`start` (the run has just become long), `progress` (it doubled since the last line) or `end`: by an exec, an exit, an fd table, a close that does not belong to it, a second without any, or the end of tracing.";
    SWEEP_COUNT: "memwatch.close_sweep.count" Integer "" only(Kind::CloseSweep) => "Closes so far that met no open descriptor.";
    SWEEP_DURATION_NS: "memwatch.close_sweep.duration_ns" Integer "ns" only(Kind::CloseSweep) => "From the first to the last of them.";
    SWEEP_LIMIT: "memwatch.close_sweep.limit" Integer "descriptors" only(Kind::CloseSweep) => "Descriptor limit that it goes by: of those that the process learned the next above the highest descriptor closed, or the largest; while it goes on the soft one where it can be.";

    // `memwatch.fd_table`.
    TABLE_ID: "memwatch.fd_table.id" Integer "" only(Kind::FdTable) => "Number of the finding; its updates carry the same.";
    TABLE_LAST: "memwatch.fd_table.last" Flag "" only(Kind::FdTable) => "`true` when this is the last word: the process has ended.";
    TABLE_LIMIT: "memwatch.fd_table.limit" Integer "descriptors" only(Kind::FdTable) => "The descriptor limit N that the program learned.";
    TABLE_ELEMENT: "memwatch.fd_table.element_bytes" Integer "bytes" only(Kind::FdTable) => "Bytes per descriptor (k).";
    TABLE_BYTES: "memwatch.fd_table.bytes" Integer "bytes" only(Kind::FdTable) => "Bytes of the region (L).";
    TABLE_TOTAL: "memwatch.fd_table.total_bytes" Integer "bytes" only(Kind::FdTable) => "Bytes of all such tables of the process.";
    TABLE_OVERHEAD: "memwatch.fd_table.overhead_bytes" Integer "bytes" only(Kind::FdTable) => "Bytes of the region that the table itself does not need: L - N x k.";
    TABLE_FIT: "memwatch.fd_table.fit" Text "" only(Kind::FdTable) => "How L follows from N and k: `exact`, `power_of_two` (N rounded up), `size_class` (what jemalloc makes of it), `heap` (grown with padding), `capped` (Erlang's bound) or `aligned` (with room to align it).";
    TABLE_ASKED_TID: "memwatch.fd_table.asked_by_tid" Integer "" only(Kind::FdTable) => "Thread that asked for the memory; left out when the record of the request was lost.";
    TABLE_LAG: "memwatch.fd_table.lag_ns" Integer "ns" only(Kind::FdTable) => "Time from learning the limit to asking for the memory; left out when the record of the request was lost.";
    TABLE_SOURCE: "memwatch.fd_table.source" Text "" only(Kind::FdTable) => "System call that asked: `mmap`, `mremap` or `brk`.";
    TABLE_STATE: "memwatch.fd_table.state" Text "" only(Kind::FdTable) => "`mapped` (granted, not known to be touched), `touched` (pages of it, or of smaller tables of the process, are resident) or `failed` (refused: the program may be about to exit).";
    TABLE_ADDRESS: "memwatch.fd_table.address" Hex "" only(Kind::FdTable) => "Address of the region.";
    TABLE_ERROR: "memwatch.fd_table.error" Text "" only(Kind::FdTable) => "Name of the error, when the memory was refused.";
    TABLE_TOUCHED: "memwatch.fd_table.touched_bytes" Integer "bytes" only(Kind::FdTable) => "Bytes touched of all tables of the process, counted by page faults (docs/detection.md).";
    TABLE_ORDINAL: "memwatch.fd_table.ordinal" Integer "" only(Kind::FdTable) => "Number of this table among those of the process, from 1.";
    TABLE_CONFIDENCE: "memwatch.fd_table.confidence" Text "" only(Kind::FdTable) => "`high`, `medium` or `low`.";
    TABLE_REASONS: "memwatch.fd_table.reasons" Texts "" only(Kind::FdTable) => "Signs for and against the finding, as codes that do not change.";
    TABLE_REASON_TEXTS: "memwatch.fd_table.reason_texts" Texts "" only(Kind::FdTable) => "The same signs in words, in the same order.";
    TABLE_ORIGIN: "memwatch.fd_table.limit_origin" Text "" only(Kind::FdTable) => "Where the limits of the process come from: `unit` (LimitNOFILE of its unit), `manager` (DefaultLimitNOFILE), `container_runtime`, `inherited` (an ancestor has the same) or `own` (its parent has others). Left out when it cannot be told, as when they were changed since.";
    TABLE_ORIGIN_UNIT: "memwatch.fd_table.limit_origin_unit" Text "" only(Kind::FdTable) => "The unit whose setting it is.";
    TABLE_ORIGIN_FILE: "memwatch.fd_table.limit_origin_file" Text "" only(Kind::FdTable) => "The file that holds the setting.";
    TABLE_ORIGIN_PID: "memwatch.fd_table.limit_origin_pid" Integer "" only(Kind::FdTable) => "The eldest ancestor with the same limits, or the process of the runtime that handed its own on.";
    TABLE_ORIGIN_COMM: "memwatch.fd_table.limit_origin_comm" Text "" only(Kind::FdTable) => "Name of that ancestor.";
    TABLE_ADVICE: "memwatch.fd_table.advice" Text "" only(Kind::FdTable) => "What to do about it.";
    TABLE_LEARNED_HOW: "memwatch.fd_table.learned_how" Text "" only(Kind::FdTable) => "`read`, `set` or `read_hard` (the hard limit that came along).";
    TABLE_LEARNED_NS: "memwatch.fd_table.learned_boot_ns" Integer "ns" only(Kind::FdTable) => "When the limit was learned, on the boot clock.";
    TABLE_LEARNED_PID: "memwatch.fd_table.learned_by_pid" Integer "" only(Kind::FdTable) => "Process that learned it: this one or an ancestor.";
    TABLE_LEARNED_TID: "memwatch.fd_table.learned_by_tid" Integer "" only(Kind::FdTable) => "Thread that learned it.";
    TABLE_LEARNED_COMM: "memwatch.fd_table.learned_by_comm" Text "" only(Kind::FdTable) => "Name of the process that learned it.";
    TABLE_LEARNED_FORKS: "memwatch.fd_table.learned_forks" Integer "" only(Kind::FdTable) => "Forks between that process and this one.";

    // `memwatch.action`.
    ACTION_WHAT: "memwatch.action.what" Text "" only(Kind::Action) => "`signal_mapped` (before the first page was touched), `signal_touched`, `signal_rss` or `refuse` (the mapping failed with ENOMEM).";
    ACTION_RULE: "memwatch.action.rule" Integer "" only(Kind::Action) => "Id of the rule.";
    ACTION_BYTES: "memwatch.action.bytes" Integer "bytes" only(Kind::Action) => "What led to it: the table's length, or the bytes touched or resident.";
    ACTION_BOUND: "memwatch.action.bound_bytes" Integer "bytes" only(Kind::Action) => "Bound of the rule.";
    ACTION_SIGNAL: "memwatch.action.signal" Text "" only(Kind::Action) => "Signal that was sent, by name or number.";
    ACTION_ERROR: "memwatch.action.error" Text "" only(Kind::Action) => "Why the kernel could not act, when it could not.";

    // `memwatch.oom_kill`.
    OOM_DOMAIN: "memwatch.oom_kill.domain" Text "" only(Kind::OomKill) => "What was short of memory: `host` or `cgroup`.";
    OOM_DOMAIN_CGROUP: "memwatch.oom_kill.domain_cgroup_id" Integer "" only(Kind::OomKill) => "The cgroup whose limit was met.";
    OOM_DOMAIN_PATH: "memwatch.oom_kill.domain_cgroup_path" Text "" only(Kind::OomKill) => "Its path. Left out when it was removed before it was ever looked up.";
    OOM_DOMAIN_LIMIT: "memwatch.oom_kill.domain_limit_bytes" Integer "bytes" only(Kind::OomKill) => "Its limit.";
    OOM_DOMAIN_USAGE: "memwatch.oom_kill.domain_usage_bytes" Integer "bytes" only(Kind::OomKill) => "Its use.";
    OOM_MEMCG: "memwatch.oom_kill.memory_cgroup_id" Integer "" only(Kind::OomKill) => "The victim's memory cgroup.";
    OOM_ANON: "memwatch.oom_kill.anon_bytes" Integer "bytes" only(Kind::OomKill) => "Resident anonymous memory.";
    OOM_FILE: "memwatch.oom_kill.file_bytes" Integer "bytes" only(Kind::OomKill) => "Resident file pages.";
    OOM_SHMEM: "memwatch.oom_kill.shmem_bytes" Integer "bytes" only(Kind::OomKill) => "Resident shared memory.";
    OOM_SWAP: "memwatch.oom_kill.swap_bytes" Integer "bytes" only(Kind::OomKill) => "Swapped out.";
    OOM_PAGE_TABLES: "memwatch.oom_kill.page_tables_bytes" Integer "bytes" only(Kind::OomKill) => "The victim's page tables.";
    OOM_TOTAL_VM: "memwatch.oom_kill.virtual_bytes" Integer "bytes" only(Kind::OomKill) => "The victim's virtual memory.";
    OOM_SCORE_ADJ: "memwatch.oom_kill.oom_score_adj" Integer "" only(Kind::OomKill) => "The victim's `oom_score_adj`.";
    OOM_TRIGGER_PID: "memwatch.oom_kill.trigger_pid" Integer "" only(Kind::OomKill) => "Process that asked for the memory that was not there.";
    OOM_TRIGGER_TID: "memwatch.oom_kill.trigger_tid" Integer "" only(Kind::OomKill) => "Its thread.";
    OOM_TRIGGER_COMM: "memwatch.oom_kill.trigger_comm" Text "" only(Kind::OomKill) => "Name of that thread.";

    // `memwatch.exec`.
    EXEC_FILENAME: "memwatch.exec.filename" Text "" only(Kind::Exec) => "Name of the file as it was passed.";
    EXEC_ARGS_BYTES: "memwatch.exec.args_bytes" Integer "bytes" only(Kind::Exec) => "Length of the whole argument vector.";

    // `memwatch.fork`.
    FORK_CHILD: "memwatch.fork.child_pid" Integer "" only(Kind::Fork) => "The new process.";
    FORK_CHILD_START: "memwatch.fork.child_start_ns" Integer "ns" only(Kind::Fork) => "Its start on the boot clock.";

    // `memwatch.exit`.
    EXIT_CODE: "process.exit.code" Integer "" only(Kind::Exit) => "Exit code, when the process ended by itself.";
    EXIT_SIGNAL: "memwatch.exit.signal" Text "" only(Kind::Exit) => "Signal that ended the process, by name or number.";
    EXIT_CORE: "memwatch.exit.core_dumped" Flag "" only(Kind::Exit) => "`true` when it left a core dump, else left out.";
    EXIT_MAX_RSS: "memwatch.exit.max_rss_bytes" Integer "bytes" only(Kind::Exit) => "Largest resident memory it had; before kernel 6.16 the programs it ran before an exec included.";
    EXIT_MMAP: "memwatch.exit.mmap_bytes" Integer "bytes" only(Kind::Exit) => "Mapped by `mmap` while it was seen.";
    EXIT_MUNMAP: "memwatch.exit.munmap_bytes" Integer "bytes" only(Kind::Exit) => "Given back by `munmap`.";
    EXIT_MREMAP_GROWN: "memwatch.exit.mremap_grown_bytes" Integer "bytes" only(Kind::Exit) => "Growth by `mremap`.";
    EXIT_MREMAP_SHRUNK: "memwatch.exit.mremap_shrunk_bytes" Integer "bytes" only(Kind::Exit) => "Given back by `mremap`.";
    EXIT_BRK_GROWN: "memwatch.exit.brk_grown_bytes" Integer "bytes" only(Kind::Exit) => "Growth of the heap.";
    EXIT_BRK_SHRUNK: "memwatch.exit.brk_shrunk_bytes" Integer "bytes" only(Kind::Exit) => "Given back by the heap.";
    EXIT_MINOR: "memwatch.exit.minor_faults" Integer "" only(Kind::Exit) => "Minor page faults while it was seen: exact for a process whose start was seen, by each thread's own count at its end and the kernel's sum of them at the end of the last, but where `memwatch.lost` tells of `threads`. Of a process that ran before, faults count from the first look at its threads: at a sample, or not before its end; where its last threads end at the same moment those after the first are left out.";
    EXIT_MAJOR: "memwatch.exit.major_faults" Integer "" only(Kind::Exit) => "Major page faults while it was seen: exact, as the minor ones.";
    EXIT_TABLES: "memwatch.exit.fd_table_bytes" Integer "bytes" only(Kind::Exit) => "Fd tables it had at its end.";
    EXIT_TOUCHED: "memwatch.exit.fd_table_touched_bytes" Integer "bytes" only(Kind::Exit) => "Part of them that was touched.";

    // `memwatch.exposure`.
    EXPOSURE_KIND: "memwatch.exposure.kind" Text "" EXPOSURE => "`table` (tables stand), `expected` (a known program has none yet) or `kernel` (the kernel's own table is large).";
    EXPOSURE_AT_RISK: "memwatch.exposure.at_risk_bytes" Integer "bytes" EXPOSURE => "What it costs or may come to cost: tables mapped or expected, and the kernel's own table.";
    EXPOSURE_MAPPED: "memwatch.exposure.mapped_bytes" Integer "bytes" EXPOSURE => "Bytes of all areas of the process that a limit explains.";
    EXPOSURE_TOUCHED: "memwatch.exposure.touched_bytes" Integer "bytes" EXPOSURE => "Bytes of these areas that are resident or swapped out; left out when they could not be read.";
    EXPOSURE_EXPECTED: "memwatch.exposure.expected_bytes" Integer "bytes" EXPOSURE => "Bytes that the program is expected to ask for at least.";
    EXPOSURE_SOFT: "memwatch.exposure.limit_soft" Integer "descriptors" EXPOSURE => "Soft RLIMIT_NOFILE of the process now.";
    EXPOSURE_HARD: "memwatch.exposure.limit_hard" Integer "descriptors" EXPOSURE => "Hard RLIMIT_NOFILE of the process now.";
    EXPOSURE_ORIGIN: "memwatch.exposure.limit_origin" Text "" EXPOSURE => "Where the limits come from: `unit` (LimitNOFILE of its unit), `manager` (DefaultLimitNOFILE), `container_runtime`, `inherited` (an ancestor has the same) or `own` (its parent has others). Left out when it cannot be told.";
    EXPOSURE_ORIGIN_UNIT: "memwatch.exposure.limit_origin_unit" Text "" EXPOSURE => "The unit whose setting it is.";
    EXPOSURE_ORIGIN_FILE: "memwatch.exposure.limit_origin_file" Text "" EXPOSURE => "The file that holds the setting.";
    EXPOSURE_ORIGIN_PID: "memwatch.exposure.limit_origin_pid" Integer "" EXPOSURE => "The eldest ancestor with the same limits, or the process of the runtime that handed its own on.";
    EXPOSURE_ORIGIN_COMM: "memwatch.exposure.limit_origin_comm" Text "" EXPOSURE => "Name of that ancestor.";
    EXPOSURE_LIMIT: "memwatch.exposure.limit" Integer "descriptors" EXPOSURE => "The limit N that explains the table, or that the expectation is for.";
    EXPOSURE_ELEMENT: "memwatch.exposure.element_bytes" Integer "bytes" EXPOSURE => "Bytes per descriptor (k) of the surest table; of several side by side, their sum.";
    EXPOSURE_BYTES: "memwatch.exposure.bytes" Integer "bytes" EXPOSURE => "Bytes of the area that holds that table.";
    EXPOSURE_OVERHEAD: "memwatch.exposure.overhead_bytes" Integer "bytes" EXPOSURE => "Bytes of the area that the table does not need.";
    EXPOSURE_FIT: "memwatch.exposure.fit" Text "" EXPOSURE => "How the area's length follows from N and k: as in `memwatch.fd_table.fit`, or `merged` (other mappings lie in the same area).";
    EXPOSURE_ADDRESS: "memwatch.exposure.address" Hex "" EXPOSURE => "Address of the area.";
    EXPOSURE_PROGRAM: "memwatch.exposure.program" Text "" EXPOSURE => "The known program, where a table is expected.";
    EXPOSURE_CHANGED: "memwatch.exposure.changed_file" Text "" EXPOSURE => "The file that gives the next start this limit, where it has changed since the process started.";
    EXPOSURE_KERNEL_SLOTS: "memwatch.exposure.kernel_slots" Integer "descriptors" EXPOSURE => "Slots of the kernel's own table of the process.";
    EXPOSURE_KERNEL: "memwatch.exposure.kernel_bytes" Integer "bytes" EXPOSURE => "Kernel memory of that table: pointers and bitmaps. Processes that share it (`CLONE_FILES`) each show it.";
    EXPOSURE_CONFIDENCE: "memwatch.exposure.confidence" Text "" EXPOSURE => "`high`, `medium` or `low`.";
    EXPOSURE_REASONS: "memwatch.exposure.reasons" Texts "" EXPOSURE => "Signs for and against it, as codes that do not change.";
    EXPOSURE_REASON_TEXTS: "memwatch.exposure.reason_texts" Texts "" EXPOSURE => "The same signs in words, in the same order.";
    EXPOSURE_ADVICE: "memwatch.exposure.advice" Text "" EXPOSURE => "What to do about it.";

    // `memwatch.lost`.
    LOST_KIND: "memwatch.lost.kind" Text "" LOST => "What was lost; the table below says what each means.";
    LOST_COUNT: "memwatch.lost.count" Integer "" LOST => "How much since the last such line.";
    LOST_TOTAL: "memwatch.lost.total" Integer "" LOST => "How much since the start.";
}
