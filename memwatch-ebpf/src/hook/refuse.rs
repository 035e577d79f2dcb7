//! Refusal of an fd table with ENOMEM, before it is mapped.
//!
//! Way: modify-return on `security_vm_enough_memory_mm(mm, pages)`, which every accounted mapping passes (mm/util.c,
//! mm/mmap.c). So do a fork, for each mapping of the parent (kernel/fork.c, dup_mmap), shared memory (mm/shmem.c) and memory
//! made writable (mm/mprotect.c): the system call and its arguments tell what asks. No other place that may be made to fail
//! knows the length. Attached only when a rule refuses. Lane: the ring, on a refusal. Without it: rules that refuse do
//! nothing.
//!
//! aya knows no modify-return programs: this one is written as an entry trampoline and loaded by
//! `memwatch/src/probe/modify_return.rs`.

use aya_ebpf::cty::c_void;
use aya_ebpf::programs::FEntryContext;
use memwatch_ebpf::abi::event::{ACTION_REFUSE, SOURCE_BRK, SOURCE_MMAP};
use memwatch_ebpf::table::{is_asked_again, is_candidate};

use super::mmap::pages;
use crate::emit::knobs;
use crate::maps::{PROCESSES, offset};
use crate::regs::Regs;
use crate::{process, resident, rule, tables};

const ENOMEM: i32 = 12;

/// Numbers of the system calls that ask for tables.
const MMAP: u64 = 9;
const BRK: u64 = 12;
const MREMAP: u64 = 25;

/// Spelled out: aya's macro for entry programs returns 0 whatever the function returned.
#[unsafe(no_mangle)]
#[unsafe(link_section = "fentry/security_vm_enough_memory_mm")]
extern "C" fn refuse_modify_return(ctx: *mut c_void) -> i32 {
    handle(&FEntryContext::new(ctx))
}

#[inline(always)]
fn handle(ctx: &FEntryContext) -> i32 {
    let Some(knobs) = knobs() else { return 0 };
    if knobs.rules == 0 {
        return 0;
    }
    let charged = (ctx.arg::<i64>(1) as u64).wrapping_mul(u64::from(offset!(page_size)));
    let Some(regs) = Regs::of_any_call() else { return 0 };
    let call = regs.orig_ax();
    let length = match call {
        MMAP if is_candidate(regs.dx() as u32, regs.r10() as u32) => charged,
        BRK => charged,
        // Charged is what it grows by.
        MREMAP => pages(regs.dx()),
        _ => return 0,
    };
    let Some(process) = PROCESSES.get_ptr_mut(process::current_tgid()) else { return 0 };
    let process = unsafe { &mut *process };
    // Memory charged to another address space is not this process's request, and who learned no limit asks for no table.
    if process.learned[0].limit == 0 || ctx.arg::<u64>(0) != resident::current_mm() {
        return 0;
    }
    let is_again = is_asked_again(process.refused, length);
    let explained = || {
        if is_again {
            return rule::ASKED_AGAIN;
        }
        let flags = if call == MMAP { regs.r10() as u32 } else { 0 };
        match tables::fd_table_explain(SOURCE_MMAP, length, flags) {
            0 if call != MREMAP => tables::fd_table_explain(SOURCE_BRK, length, 0),
            explained => explained,
        }
    };
    let Some((_, rule)) = rule::find(knobs, ACTION_REFUSE, length, explained) else { return 0 };
    if !is_again {
        process.refused = length;
    }
    rule::report(process, rule.id, ACTION_REFUSE, 0, length, rule.min_table, 0);
    -ENOMEM
}
