//! `brk(2)`: bytes by which the heap moved.
//!
//! Ways: fexit on `__x64_sys_brk`, tracepoint `syscalls:sys_exit_brk`, kretprobe. Lane: counters in maps; the ring
//! for what is large or matches. Without it: heap growth is not counted. The first call seen of a process only
//! tells where its break is.

use memwatch_ebpf::abi::event::{Kind, Mapping, SOURCE_BRK};

use crate::emit::{emit, knobs, wanted};
use crate::maps::add;
use crate::regs::Regs;
use crate::{process, tables};

syscall_exit!(12, handle, tracepoint brk_tracepoint, fexit brk_fexit, kretprobe brk_kretprobe);

#[inline(always)]
fn handle(regs: &Regs, result: i64) {
    let Some(process) = process::current() else { return };
    let (asked, before, now) = (regs.di(), process.brk, result as u64);
    process.brk = now;
    if before == 0 || asked == 0 {
        return;
    }
    let refused = asked > before && now == before;
    let moved = if refused { asked - before } else { now.abs_diff(before) };
    if moved == 0 {
        return;
    }
    if now > before {
        add(&raw mut process.counters.brk_grown_bytes, moved);
    } else if !refused {
        add(&raw mut process.counters.brk_shrunk_bytes, moved);
    }
    let Some(knobs) = knobs() else { return };
    if moved >= knobs.min_bytes && wanted(knobs, Kind::Brk) {
        emit::<Mapping>(Kind::Brk, process, |body| {
            *body = Mapping { addr: asked, length: moved, old: before, result, prot: 0, flags: 0 };
        });
    }
    if process.learned[0].limit == 0 {
        return;
    }
    if refused || now > before {
        // The call itself returns the old break where others return ENOMEM.
        let result = if refused { -tables::ENOMEM } else { before as i64 };
        tables::consider(process, SOURCE_BRK, moved, 0, result);
    } else {
        tables::released(process, now, moved);
    }
}
