//! `mmap(2)`: bytes mapped, an event at or above the floor, and the fd-table detector's main source.
//!
//! Ways: fexit on `__x64_sys_mmap(const struct pt_regs *)`, tracepoint `syscalls:sys_exit_mmap`, kretprobe.
//! Lane: counters in maps; the ring for what is large or matches. Without it: fd tables are seen only where
//! `mremap` or `brk` made them.

use memwatch_ebpf::abi::event::{Kind, Mapping, SOURCE_MMAP};
use memwatch_ebpf::table::is_candidate;

use crate::emit::{emit, knobs, wanted};
use crate::maps::{add, offset};
use crate::regs::Regs;
use crate::{process, resident, tables, touched};

syscall_exit!(9, handle, tracepoint mmap_tracepoint, fexit mmap_fexit, kretprobe mmap_kretprobe);

/// `MAP_FIXED`: whatever lay there is gone.
const MAP_FIXED: u32 = 0x10;

/// Whole pages of a length.
#[inline(always)]
pub(super) fn pages(length: u64) -> u64 {
    let page = u64::from(offset!(page_size));
    length.wrapping_add(page - 1) & !(page - 1)
}

/// Whether a result is a negative errno.
#[inline(always)]
pub(super) fn failed(result: i64) -> bool {
    (-4095..0).contains(&result)
}

#[inline(always)]
fn handle(regs: &Regs, result: i64) {
    let Some(process) = process::current() else { return };
    let length = pages(regs.si());
    let (prot, flags) = (regs.dx() as u32, regs.r10() as u32);
    if !failed(result) {
        add(&raw mut process.counters.mmap_bytes, length);
    }
    let Some(knobs) = knobs() else { return };
    if length >= knobs.min_bytes && wanted(knobs, Kind::Mmap) {
        emit::<Mapping>(Kind::Mmap, process, |body| {
            *body = Mapping { addr: regs.di(), length: regs.si(), old: 0, result, prot, flags };
        });
    }
    if process.tables.total != 0 {
        if flags & MAP_FIXED != 0 && !failed(result) {
            tables::released(process, result as u64, length);
        }
        touched::looked_at(process, resident::current_mm());
    }
    // Slot 0 is filled first: an empty one means that no limit was learned.
    if process.learned[0].limit != 0 && is_candidate(prot, flags) {
        tables::consider(process, SOURCE_MMAP, length, flags, result);
    }
}
