//! Fields of kernel tasks, read at the offsets of the running kernel.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use memwatch_ebpf::abi::COMM_LEN;
use memwatch_ebpf::abi::fault::FaultCode;
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
    /// Start of the task's process on the boot clock, nanoseconds; 0 when not readable.
    #[inline(always)]
    pub(crate) fn process_start(self) -> u64 {
        self.follow(offset!(task_leader)).and_then(|leader| leader.read(offset!(task_start))).unwrap_or(0)
    }

    /// Process id of the parent; 0 when not readable.
    #[inline(always)]
    pub(crate) fn parent_tgid(self) -> u32 {
        self.follow(offset!(task_leader))
            .and_then(|leader| leader.follow(offset!(task_parent)))
            .and_then(|parent| parent.read(offset!(task_tgid)))
            .unwrap_or(0)
    }

    /// Id of the task's cgroup in the unified hierarchy; 0 when not readable.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        self.follow(offset!(task_cgroups))
            .and_then(|set| set.follow(offset!(cset_dfl)))
            .map_or(0, Self::cgroup_own_id)
    }

    /// Id of a `struct cgroup`.
    #[inline(always)]
    pub(crate) fn cgroup_own_id(self) -> u64 {
        self.follow(offset!(cgroup_kn)).and_then(|node| node.read(offset!(kn_id))).unwrap_or(0)
    }

    /// The task's name.
    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        self.read(offset!(task_comm)).unwrap_or([0; COMM_LEN])
    }

    /// Slots of the task's descriptor table; 0 when not readable.
    #[inline(always)]
    pub(crate) fn fd_slots(self) -> u64 {
        self.follow(offset!(task_files))
            .and_then(|files| files.follow(offset!(files_fdt)))
            .and_then(|table| table.read::<u32>(offset!(fdt_max)))
            .map_or(0, u64::from)
    }
}
