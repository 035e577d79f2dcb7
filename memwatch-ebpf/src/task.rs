//! Fields of kernel tasks, read at the offsets of the running kernel.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use memwatch_ebpf::abi::COMM_LEN;
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::header::MEMORY_V1;
use memwatch_ebpf::abi::offsets::ABSENT;

use crate::maps::{count, offset};

/// A kernel address.
#[derive(Clone, Copy)]
pub(crate) struct Kptr(pub(crate) u64);

impl Kptr {
    /// Reads a value at an offset; `None` (and a count) when the field is absent, the address is null or unreadable.
    #[inline(always)]
    pub(crate) fn read<T: Copy + Default>(self, offset: u32) -> Option<T> {
        if self.0 == 0 || offset == ABSENT {
            return None;
        }
        let mut value = T::default();
        let from = self.0.wrapping_add(u64::from(offset));
        let read = unsafe {
            bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from as *const _)
        };
        if read != 0 {
            count(FaultCode::KernelRead);
            return None;
        }
        Some(value)
    }

    /// Reads a value at an offset; zero when it cannot be read. No branch and no count: for loops, where each branch
    /// multiplies what the verifier has to walk through.
    #[inline(always)]
    pub(crate) fn peek<T: Copy + Default>(self, offset: u32) -> T {
        let mut value = T::default();
        let from = self.0.wrapping_add(u64::from(offset));
        // The helper clears the value when it fails.
        unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from as *const _) };
        value
    }

    /// Follows a pointer as [`Kptr::peek`] reads: what is read through an unreadable pointer is zero again.
    #[inline(always)]
    pub(crate) fn peek_at(self, offset: u32) -> Self {
        Self(self.peek(offset))
    }

    /// Follows a pointer; a null pointer gives `None` without a count.
    #[inline(always)]
    pub(crate) fn follow(self, offset: u32) -> Option<Self> {
        match self.read::<u64>(offset) {
            Some(0) | None => None,
            Some(address) => Some(Self(address)),
        }
    }
}

/// The running task.
#[inline(always)]
pub(crate) fn current() -> Kptr {
    Kptr(unsafe { bpf_get_current_task() })
}

/// A `struct task_struct`.
impl Kptr {
    /// The task's process: the thread it began with, or that took its place by an exec.
    #[inline(always)]
    pub(crate) fn leader(self) -> Self {
        self.peek_at(offset!(task_leader))
    }

    /// Start of the task's process on the boot clock, nanoseconds; 0 when not readable.
    #[inline(always)]
    pub(crate) fn process_start(self) -> u64 {
        self.leader().peek(offset!(task_start))
    }

    /// The task's id as it knows it itself: in its own pid namespace; 0 when not readable.
    #[inline(always)]
    pub(crate) fn own_id(self) -> u32 {
        const UPID_SIZE: u32 = 16; // a number and a pointer (include/linux/pid.h)
        let level = self.pid_level() & 0xff;
        self.peek_at(offset!(task_thread_pid)).peek(offset!(pid_numbers).wrapping_add(level * UPID_SIZE))
    }

    /// How deep the task's pid namespace lies; 0: ids that it passes are the host's.
    #[inline(always)]
    pub(crate) fn pid_level(self) -> u32 {
        self.peek_at(offset!(task_thread_pid)).peek(offset!(pid_level))
    }

    /// Process id of the parent; 0 when not readable.
    #[inline(always)]
    pub(crate) fn parent_tgid(self) -> u32 {
        self.leader().peek_at(offset!(task_parent)).peek(offset!(task_tgid))
    }

    /// The task's cgroup, as records name it (`Header::cgroup_id`); 0 when not readable.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        let set = self.peek_at(offset!(task_cgroups));
        let unified = set.peek_at(offset!(cset_dfl));
        if offset!(memory_hierarchy) != 0 && unified.peek::<u32>(offset!(cgroup_level)) == 0 {
            return set.memory_cgroup().cgroup_own_id() | MEMORY_V1;
        }
        unified.cgroup_own_id()
    }

    /// Of a `struct css_set`: the cgroup that its tasks are charged to.
    #[inline(always)]
    pub(crate) fn memory_cgroup(self) -> Self {
        let state = self.peek_at(offset!(cset_subsys).wrapping_add(offset!(memory_subsys).wrapping_mul(8)));
        state.peek_at(offset!(css_cgroup))
    }

    /// Of a `struct cgroup`: the id of its ancestor at a level that is no deeper than its own.
    #[inline(always)]
    pub(crate) fn cgroup_ancestor(self, level: u32) -> u64 {
        let place = (level & 0xff) * 8;
        let ids = offset!(cgroup_ancestor_ids);
        if ids == ABSENT {
            self.peek_at(offset!(cgroup_ancestors).wrapping_add(place)).cgroup_own_id()
        } else {
            self.peek(ids.wrapping_add(place))
        }
    }

    /// Id of a `struct cgroup`.
    #[inline(always)]
    pub(crate) fn cgroup_own_id(self) -> u64 {
        self.peek_at(offset!(cgroup_kn)).peek(offset!(kn_id))
    }

    /// The task's name.
    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        self.peek(offset!(task_comm))
    }

    /// Whether the task is on its way out: what is kept of it may be gone already, and must not be made anew.
    #[inline(always)]
    pub(crate) fn is_exiting(self) -> bool {
        const PF_EXITING: u32 = 4; // include/linux/sched.h
        self.peek::<u32>(offset!(task_flags)) & PF_EXITING != 0
    }

    /// Address of a resource limit of the task's process, a `struct rlimit`; 0 when it cannot be told.
    #[inline(always)]
    pub(crate) fn limit_place(self, resource: u32) -> u64 {
        const RLIM_NLIMITS: u32 = 16; // include/uapi/asm-generic/resource.h
        const RLIMIT_SIZE: u32 = 16; // two unsigned longs (include/uapi/linux/resource.h)
        let signal = self.peek::<u64>(offset!(task_signal));
        if signal == 0 || offset!(signal_rlim) == ABSENT || resource >= RLIM_NLIMITS {
            return 0;
        }
        signal.wrapping_add(u64::from(offset!(signal_rlim) + resource * RLIMIT_SIZE))
    }

    /// Slots of the task's descriptor table; 0 when not readable.
    #[inline(always)]
    pub(crate) fn fd_slots(self) -> u64 {
        u64::from(self.peek_at(offset!(task_files)).peek_at(offset!(files_fdt)).peek::<u32>(offset!(fdt_max)))
    }
}
