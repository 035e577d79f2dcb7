//! `mremap(2)`: bytes by which regions grew or shrank; `realloc` of a large array arrives here.
//!
//! Ways: fexit on `__x64_sys_mremap`, tracepoint `syscalls:sys_exit_mremap`, kretprobe. Lane: counters in maps; the
//! ring for what is large or matches. Without it: a table that grew by `realloc` is not seen.

use memwatch_ebpf::abi::event::{Kind, Mapping};

use super::mmap::{failed, pages};
use crate::emit::{emit, knobs, wanted};
use crate::maps::add;
use crate::regs::Regs;
use crate::{process, tables};

syscall_exit!(25, handle, tracepoint mremap_tracepoint, fexit mremap_fexit, kretprobe mremap_kretprobe);

#[inline(always)]
fn handle(regs: &Regs, result: i64) {
    let Some(process) = process::current() else { return };
    let (before, after) = (pages(regs.si()), pages(regs.dx()));
    if !failed(result) {
        if after > before {
            add(&raw mut process.counters.mremap_grown_bytes, after - before);
        } else {
            add(&raw mut process.counters.mremap_shrunk_bytes, before - after);
        }
    }
    let Some(knobs) = knobs() else { return };
    if (before >= knobs.min_bytes || after >= knobs.min_bytes) && wanted(knobs, Kind::Mremap) {
        emit::<Mapping>(Kind::Mremap, process, |body| {
            *body = Mapping {
                addr: regs.di(),
                length: regs.dx(),
                old: regs.si(),
                result,
                prot: 0,
                flags: regs.r10() as u32,
            };
        });
    }
    if process.learned[0].limit == 0 {
        return;
    }
    tables::remapped(process, (regs.di(), before), (result, after));
}
