//! Arguments of the system call that the current task is in, read after the call.
//!
//! x86-64 keeps the argument registers of a system call untouched in `struct pt_regs` until it returns
//! (arch/x86/entry/entry_64.S), so one program at the exit sees the arguments and the result, and no state has to
//! be carried from an entry program. The layout is user-space ABI (arch/x86/include/uapi/asm/ptrace.h).

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::offsets::ABSENT;

use crate::maps::{count, offset};
use crate::task;

/// The part of `struct pt_regs` from `r10` to `orig_ax`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Regs {
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) ax: u64,
    pub(crate) cx: u64,
    pub(crate) dx: u64,
    pub(crate) si: u64,
    pub(crate) di: u64,
    pub(crate) orig_ax: u64,
}

/// Offset of `r10` in `struct pt_regs`.
const R10: u64 = 7 * 8;

impl Regs {
    /// Registers at a `struct pt_regs *`.
    #[inline(always)]
    fn at(pointer: u64, syscall: u64) -> Option<Self> {
        let mut regs = Self::default();
        let read = unsafe {
            bpf_probe_read_kernel(
                (&raw mut regs).cast(),
                size_of::<Self>() as u32,
                (pointer + R10) as *const _,
            )
        };
        if read != 0 {
            count(FaultCode::Registers);
            return None;
        }
        regs.checked(syscall)
    }

    /// A wrong place (another stack layout, a 32-bit call) shows as another system call's number.
    #[inline(always)]
    fn checked(self, syscall: u64) -> Option<Self> {
        if self.orig_ax != syscall {
            count(FaultCode::Registers);
            return None;
        }
        Some(self)
    }

    /// Registers of the current task.
    #[inline(always)]
    pub(crate) fn current(syscall: u64) -> Option<Self> {
        let from_stack = offset!(regs_from_stack);
        if from_stack != ABSENT {
            let stack = task::current().read::<u64>(offset!(task_stack))?;
            return Self::at(stack + u64::from(from_stack), syscall);
        }
        // The verifier knows what this helper returns, so its fields are plain loads.
        let regs = unsafe {
            let regs = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const u8;
            regs.add(R10 as usize).cast::<Self>().read_volatile()
        };
        regs.checked(syscall)
    }
}
