//! Offsets of kernel fields, resolved from the running kernel's BTF and handed down as read-only data.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Value of an offset that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $type:literal $path:literal,)*) => {
        /// Byte offsets of kernel fields; [`ABSENT`] for one the kernel lacks.
        #[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets {
            /// From `task_struct.stack` to the registers of the system call; [`ABSENT`] where the kernel has
            /// the helper `bpf_task_pt_regs` (5.15).
            pub regs_from_stack: u32,
            /// `PAGE_SIZE` in bytes.
            pub page_size: u32,
            /// `sizeof(struct percpu_counter)`, or 8 where RSS is an array of `atomic_long_t` (before 6.2).
            pub rss_stride: u32,
            /// `cgroup.ancestor_ids`; [`ABSENT`] where cgroups have `ancestors` (6.1).
            pub cgroup_ancestor_ids: u32,
            /// `cgroup.ancestors`; [`ABSENT`] before.
            pub cgroup_ancestors: u32,
            /// `task_struct.rss_stat.count`, where tasks keep some of their faults back (before 6.2).
            pub task_rss: u32,
            /// Index of the memory controller in `css_set.subsys`; [`ABSENT`] without one.
            pub memory_subsys: u32,
            /// Number of the v1 hierarchy that has the memory controller; 0 where the unified one has it.
            pub memory_hierarchy: u32,
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Nothing known.
            pub const NONE: Self = Self {
                $($name: ABSENT,)*
                rss_stride: ABSENT,
                cgroup_ancestor_ids: ABSENT,
                cgroup_ancestors: ABSENT,
                task_rss: ABSENT,
                regs_from_stack: ABSENT,
                memory_subsys: ABSENT,
                memory_hierarchy: 0,
                page_size: 4096,
            };

            /// Name, kernel struct and member path (alternatives separated by `|`) of each offset, in the order of the fields.
            pub const FIELDS: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($name), $type, $path),)*];

            /// Sets the field at `index` of [`Offsets::FIELDS`]; an index past the end changes nothing.
            pub fn set(&mut self, index: usize, value: u32) {
                let mut _at = 0;
                $(if index == _at { self.$name = value; } _at += 1;)*
            }
        }
    };
}

offsets! {
    /// `task_struct.mm`.
    task_mm: "task_struct" "mm",
    /// `task_struct.tgid`.
    task_tgid: "task_struct" "tgid",
    /// `task_struct.pid`.
    task_pid: "task_struct" "pid",
    /// `task_struct.thread_pid`.
    task_thread_pid: "task_struct" "thread_pid",
    /// `task_struct.comm`.
    task_comm: "task_struct" "comm",
    /// `task_struct.group_leader`.
    task_leader: "task_struct" "group_leader",
    /// `task_struct.real_parent`.
    task_parent: "task_struct" "real_parent",
    /// `task_struct.start_boottime`.
    task_start: "task_struct" "start_boottime",
    /// `task_struct.signal`.
    task_signal: "task_struct" "signal",
    /// `task_struct.files`.
    task_files: "task_struct" "files",
    /// `task_struct.cgroups`.
    task_cgroups: "task_struct" "cgroups",
    /// `task_struct.stack`.
    task_stack: "task_struct" "stack",
    /// `task_struct.exit_code`.
    task_exit_code: "task_struct" "exit_code",
    /// `task_struct.real_cred`.
    task_cred: "task_struct" "real_cred",
    /// `task_struct.flags`.
    task_flags: "task_struct" "flags",
    /// `task_struct.thread_node`, the task's place in the list of its process's threads.
    task_thread_node: "task_struct" "thread_node",
    /// `task_struct.min_flt`.
    task_minor: "task_struct" "min_flt",
    /// `task_struct.maj_flt`.
    task_major: "task_struct" "maj_flt",
    /// `cred.uid`.
    cred_uid: "cred" "uid",
    /// `mm_struct.rss_stat`.
    mm_rss: "mm_struct" "rss_stat",
    /// `mm_struct.pgd`.
    mm_pgd: "mm_struct" "pgd",
    /// `mm_struct.flags`.
    mm_flags: "mm_struct" "flags",
    /// `mm_struct.def_flags`.
    mm_default_flags: "mm_struct" "def_flags",
    /// `mm_struct.arg_start`.
    mm_arg_start: "mm_struct" "arg_start",
    /// `mm_struct.arg_end`.
    mm_arg_end: "mm_struct" "arg_end",
    /// `mm_struct.total_vm`.
    mm_total_vm: "mm_struct" "total_vm",
    /// `mm_struct.data_vm`.
    mm_data_vm: "mm_struct" "data_vm",
    /// `mm_struct.hiwater_rss`.
    mm_high_water: "mm_struct" "hiwater_rss",
    /// `mm_struct.pgtables_bytes`.
    mm_pgtables: "mm_struct" "pgtables_bytes",
    /// `percpu_counter.count`, where RSS is made of them.
    percpu_count: "percpu_counter" "count",
    /// `percpu_counter.counters`.
    percpu_parts: "percpu_counter" "counters",
    /// `signal_struct.rlim`, an array of `struct rlimit`.
    signal_rlim: "signal_struct" "rlim",
    /// `signal_struct.thread_head`, the list of the threads that are not gone.
    signal_threads: "signal_struct" "thread_head",
    /// `signal_struct.stats_lock`, which begins with its sequence number.
    signal_stats_lock: "signal_struct" "stats_lock",
    /// `signal_struct.min_flt`: of threads that are gone.
    signal_minor: "signal_struct" "min_flt",
    /// `signal_struct.maj_flt`.
    signal_major: "signal_struct" "maj_flt",
    /// `signal_struct.live`.
    signal_live: "signal_struct" "live",
    /// `signal_struct.maxrss`.
    signal_maxrss: "signal_struct" "maxrss",
    /// `signal_struct.oom_score_adj`.
    signal_oom_adj: "signal_struct" "oom_score_adj",
    /// `signal_struct.oom_mm`, set when the process is marked as a victim.
    signal_oom_mm: "signal_struct" "oom_mm",
    /// `signal_struct.group_exit_code`.
    signal_exit_code: "signal_struct" "group_exit_code",
    /// `pid.level`.
    pid_level: "pid" "level",
    /// `pid.numbers`, an array of `struct upid`, which starts with the number.
    pid_numbers: "pid" "numbers",
    /// `files_struct.fdt`.
    files_fdt: "files_struct" "fdt",
    /// `fdtable.max_fds`.
    fdt_max: "fdtable" "max_fds",
    /// `css_set.dfl_cgrp`.
    cset_dfl: "css_set" "dfl_cgrp",
    /// `css_set.subsys`.
    cset_subsys: "css_set" "subsys",
    /// `cgroup.kn`.
    cgroup_kn: "cgroup" "kn",
    /// `cgroup.level`.
    cgroup_level: "cgroup" "level",
    /// `cgroup.root`.
    cgroup_root: "cgroup" "root",
    /// `cgroup_root.hierarchy_id`.
    root_hierarchy: "cgroup_root" "hierarchy_id",
    /// `kernfs_node.id`.
    kn_id: "kernfs_node" "id",
    /// `cgroup_subsys_state.cgroup`.
    css_cgroup: "cgroup_subsys_state" "cgroup",
    /// `cgroup_subsys_state.parent`.
    css_parent: "cgroup_subsys_state" "parent",
    /// `mem_cgroup.memory.usage`.
    memcg_usage: "mem_cgroup" "memory.usage",
    /// `mem_cgroup.memory.max`.
    memcg_max: "mem_cgroup" "memory.max",
    /// `oom_control.memcg`.
    oc_memcg: "oom_control" "memcg",
    /// `mm_struct.exe_file`.
    mm_exe: "mm_struct" "exe_file",
    /// `file.f_inode`.
    file_inode: "file" "f_inode",
    /// `inode.i_ino`.
    inode_number: "inode" "i_ino",
    /// `inode.i_generation`.
    inode_generation: "inode" "i_generation",
    /// `inode.i_sb`.
    inode_super: "inode" "i_sb",
    /// `super_block.s_dev`.
    super_device: "super_block" "s_dev",
    /// `linux_binprm.filename`.
    bprm_filename: "linux_binprm" "filename",
}
