//! The programs that run in the kernel. They observe, count, and obey a rule that user space has set; they judge nothing.
//!
//! One file per subject under `hook/`; each offers its programs once per way to attach. The rows that name them
//! are in `memwatch/src/probe.rs`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    unsafe_code,
    reason = "every helper call and map access of a BPF program is unsafe; the verifier checks them"
)]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the one safety argument, that the kernel's verifier admits the access, would stand at every block"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "a map's value is handed over by reference: by value it would pass through the stack, which has 512 bytes"
)]

mod emit;
mod hook;
mod limits;
mod maps;
mod paging;
mod process;
mod regs;
mod resident;
mod rule;
mod tables;
mod task;
mod touched;

/// The kernel gates most tracing helpers on a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
