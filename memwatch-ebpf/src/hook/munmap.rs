//! `munmap(2)`: bytes given back, and an event at or above the floor.
//!
//! Ways: fexit on `__x64_sys_munmap`, tracepoint `syscalls:sys_exit_munmap`, kretprobe. Lane: counters in maps; the
//! ring for what is large. Without it: given-back bytes are not known, and a freed fd table still counts.

use memwatch_ebpf::abi::event::{Kind, Mapping};

use super::mmap::pages;
use crate::emit::{emit, knobs, wanted};
use crate::maps::add;
use crate::regs::Regs;
use crate::{process, tables};

syscall_exit!(11, handle, tracepoint munmap_tracepoint, fexit munmap_fexit, kretprobe munmap_kretprobe);

#[inline(always)]
fn handle(regs: &Regs, result: i64) {
    let Some(process) = process::current() else { return };
    let length = pages(regs.si());
    if result == 0 {
        add(&raw mut process.counters.munmap_bytes, length);
        tables::unmapped(process, regs.di(), length);
    }
    let Some(knobs) = knobs() else { return };
    if length >= knobs.min_bytes && wanted(knobs, Kind::Munmap) {
        emit::<Mapping>(Kind::Munmap, process, |body| {
            *body = Mapping { addr: regs.di(), length: regs.si(), old: 0, result, prot: 0, flags: 0 };
        });
    }
}
