//! Arguments of the system call that the current task is in, read after the call.
//!
//! x86-64 keeps the argument registers of a system call untouched in `struct pt_regs` until it returns
//! (arch/x86/entry/entry_64.S), so one program at the exit sees the arguments and the result, and no state has to
//! be carried from an entry program. The layout is user-space ABI (arch/x86/include/uapi/asm/ptrace.h).

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::offsets::ABSENT;

use crate::maps::{count, offset};
use crate::task::{self, Kptr};

/// The `struct pt_regs` of the current task. Its fields are read one by one where they are used: a copy of them takes room on a
/// stack that has little.
pub(crate) struct Regs {
    place: *const u8,
}

/// Reads fields of `struct pt_regs` by their number in it.
macro_rules! fields {
    ($($name:ident $number:literal)*) => {$(
        #[inline(always)]
        pub(crate) fn $name(&self) -> u64 {
            self.field($number)
        }
    )*};
}

impl Regs {
    fields!(r10 7 dx 12 si 13 di 14 orig_ax 15);

    #[inline(always)]
    fn field(&self, number: usize) -> u64 {
        if offset!(regs_from_stack) != ABSENT {
            return Kptr(self.place as u64).peek(number as u32 * 8);
        }
        // The verifier knows what the helper returned, so its fields are plain loads.
        unsafe { self.place.add(number * 8).cast::<u64>().read_volatile() }
    }

    /// Registers of the current task, which is in any system call.
    #[inline(always)]
    pub(crate) fn of_any_call() -> Option<Self> {
        let from_stack = offset!(regs_from_stack);
        Some(Self {
            place: if from_stack != ABSENT {
                let stack = task::current().read::<u64>(offset!(task_stack))?;
                (stack + u64::from(from_stack)) as *const u8
            } else {
                (unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) }) as *const u8
            },
        })
    }

    /// Registers of the current task, which is in this system call. A wrong place (another stack layout, a 32-bit call) shows
    /// as another system call's number.
    #[inline(always)]
    pub(crate) fn current(syscall: u64) -> Option<Self> {
        let regs = Self::of_any_call()?;
        if regs.orig_ax() != syscall {
            count(FaultCode::Registers);
            return None;
        }
        Some(regs)
    }
}
