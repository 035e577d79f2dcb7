//! One file per subject: where it attaches, what it records, what it costs, what is lost without it.
//!
//! A system call's handler runs after the call, with the registers and the result. [`syscall_exit`] offers it three
//! ways to attach; all three see the same registers and give the same record. 32-bit calls are not seen.

use aya_ebpf::EbpfContext;
use aya_ebpf::programs::TracePointContext;

// Inlined, as the macros put a function around each, whose frame would count too (see `tables::explain`).
macro_rules! syscall_exit {
    ($number:literal, $handler:path, tracepoint $tracepoint:ident, fexit $fexit:ident, kretprobe $kretprobe:ident) => {
        #[aya_ebpf::macros::tracepoint]
        #[inline(always)]
        pub(crate) fn $tracepoint(ctx: aya_ebpf::programs::TracePointContext) -> u32 {
            if let Some(regs) = $crate::regs::Regs::current($number) {
                $handler(&regs, $crate::hook::result(&ctx));
            }
            0
        }

        #[aya_ebpf::macros::fexit]
        #[inline(always)]
        pub(crate) fn $fexit(ctx: aya_ebpf::programs::FExitContext) -> i32 {
            // Not by the call's own argument: some kernels' types know `pt_regs` by name only in some of these functions
            // (5.10: mremap), and their verifiers then refuse to read it.
            if let Some(regs) = $crate::regs::Regs::current($number) {
                $handler(&regs, ctx.arg::<i64>(1));
            }
            0
        }

        #[aya_ebpf::macros::kretprobe]
        #[inline(always)]
        pub(crate) fn $kretprobe(ctx: aya_ebpf::programs::RetProbeContext) -> u32 {
            if let Some(regs) = $crate::regs::Regs::current($number) {
                $handler(&regs, ctx.ret::<i64>());
            }
            0
        }
    };
}

/// The result in the record of a sys_exit event: it lies behind the common fields and `int __syscall_nr`
/// (kernel/trace/trace_syscalls.c); user space checks that against the event's format at load. A plain load: aya's
/// `read_at` would call a helper.
#[inline(always)]
pub(crate) fn result(ctx: &TracePointContext) -> i64 {
    unsafe { ctx.as_ptr().cast::<i64>().add(2).read() }
}

mod brk;
mod cgroup;
mod close;
mod fault;
mod fdtable;
mod life;
mod mmap;
mod mremap;
mod munmap;
pub(crate) mod oom;
mod refuse;
mod rlimit;
mod rss;
mod touch;
