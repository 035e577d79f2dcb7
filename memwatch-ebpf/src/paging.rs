//! Whether an address of the current process lies in a huge page, by its page tables (x86-64:
//! arch/x86/include/asm/pgtable_types.h).

use memwatch_ebpf::abi::offsets::ABSENT;

use crate::maps::{offset, page_offset_base, pgdir_shift};
use crate::resident;
use crate::task::Kptr;

/// What an entry at the level of the huge pages maps.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;

/// What [`paging_look`] gives: the tables cannot be read, as the kernel's symbols are hidden or memory is encrypted.
const UNKNOWN: u32 = 0;
const SMALL: u32 = 1;
const HUGE: u32 = 2;

/// Bits of an entry: `_PAGE_PRESENT`, `_PAGE_PSE`, `_PAGE_PROTNONE`, and the address.
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const NO_ACCESS: u64 = 1 << 8;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// `pgdir_shift` with five levels.
const FIVE_LEVELS: u32 = 48;

/// `MMF_VM_HUGEPAGE` (include/linux/mm_types.h): set before the first huge page of an address space is made.
const EVER_HUGE: u64 = 1 << 17;

/// Whether the address lies in a huge page; `None` when the page tables cannot be read.
#[inline(always)]
pub(crate) fn is_huge(address: u64) -> Option<bool> {
    match paging_look(address) {
        HUGE => Some(true),
        SMALL => Some(false),
        _ => None,
    }
}

/// A global function: the verifier walks through it once, and its stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn paging_look(address: u64) -> u32 {
    let mm = Kptr(resident::current_mm());
    if offset!(mm_flags) != ABSENT && mm.peek::<u64>(offset!(mm_flags)) & EVER_HUGE == 0 {
        return SMALL;
    }
    if page_offset_base() == 0 || offset!(mm_pgd) == ABSENT {
        return UNKNOWN;
    }
    let base = Kptr(page_offset_base()).peek::<u64>(0);
    let mut table = mm.peek_at(offset!(mm_pgd));
    for shift in [48, 39, 30] {
        if shift == FIVE_LEVELS && (pgdir_shift() == 0 || Kptr(pgdir_shift()).peek::<u32>(0) != FIVE_LEVELS) {
            continue;
        }
        let entry = entry(table, address, shift);
        if entry & PRESENT == 0 {
            return UNKNOWN;
        }
        table = Kptr(base.wrapping_add(entry & ADDRESS));
    }
    let entry = entry(table, address, 21);
    if entry & LARGE != 0 && entry & (PRESENT | NO_ACCESS) != 0 { HUGE } else { SMALL }
}

#[inline(always)]
fn entry(table: Kptr, address: u64, shift: u32) -> u64 {
    table.peek((address >> shift & 511) as u32 * 8)
}
