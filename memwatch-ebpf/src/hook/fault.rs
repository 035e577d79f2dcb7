//! Page faults: major ones exactly, minor ones by a sample every [`crate::maps::fault_period`] per CPU, scaled.
//!
//! Ways: perf software events `page-faults-maj` (period 1) and `page-faults-min`. Lane: counters in maps; major faults also
//! give a record when asked for. Each sample also looks at the process's RSS and descriptor table, which spares
//! polling /proc. Faults taken inside the kernel on behalf of `MAP_POPULATE` or `mlock` are not counted by these events
//! (mm/memory.c, mm_account_fault). Without it: no fault counts, and RSS is seen only where it is watched.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_perf_event_data;
use aya_ebpf::macros::perf_event;
use aya_ebpf::programs::PerfEventContext;
use memwatch_ebpf::abi::event::{Fault, Kind};

use super::fdtable;
use crate::emit::{emit, knobs, wanted};
use crate::maps::{add, fault_period};
use crate::{process, resident};

#[perf_event]
pub(crate) fn fault_minor_perf(_ctx: PerfEventContext) -> u32 {
    if let Some(process) = process::current() {
        add(&raw mut process.counters.minor_faults, fault_period());
        resident::look(process);
        fdtable::look(process);
    }
    0
}

#[perf_event]
pub(crate) fn fault_major_perf(ctx: PerfEventContext) -> u32 {
    let Some(process) = process::current() else { return 0 };
    add(&raw mut process.counters.major_faults, 1);
    resident::look(process);
    let Some(knobs) = knobs() else { return 0 };
    if wanted(knobs, Kind::Fault) {
        let addr = unsafe { (*ctx.as_ptr().cast::<bpf_perf_event_data>()).addr };
        emit::<Fault>(Kind::Fault, process, |body| {
            *body =
                Fault { addr, major: process.counters.major_faults, minor: process.counters.minor_faults };
        });
    }
    0
}
