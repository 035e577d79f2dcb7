//! Does a region's length look like one slot per possible descriptor?
//!
//! In: a descriptor limit N and a length L. Out: the element size k and what is left over, or nothing. Pure and
//! allocation-free, so that the kernel side decides with the same code that user space explains with and that a
//! scan of a running host uses.

mod chance;

pub use chance::{Certainty, Chance, Shape};

/// Smallest element size considered, in bytes.
pub const ELEMENT_MIN: u64 = 4;
/// Largest element size considered, in bytes.
pub const ELEMENT_MAX: u64 = 1024;

const PAGE: u64 = 4096;
/// Allocator header in front of a region: 16 bytes in glibc, up to a cache line elsewhere.
const HEADER_MAX: u64 = 64;
/// What glibc adds when it grows the heap: `M_TOP_PAD` (128 KiB), a header and page rounding.
const HEAP_PAD: u64 = 128 * 1024 + PAGE + HEADER_MAX;
/// glibc 2.35 and later round the mapping that stands in for a heap up to this (`MMAP_AS_MORECORE_SIZE`).
const STAND_IN: u64 = 1 << 20;
/// Below this limit the heap's padding is larger than half an int table: no length says anything.
const HEAP_LIMIT_MIN: u64 = 1 << 17;
/// Erlang's run-time system sizes its poll table by the power of two above min(N, 2^27), 16 bytes each.
const CAP: u64 = 1 << 27;
const CAP_ELEMENT: u64 = 16;
/// What tables are aligned to that are: a page, those of other machines, and huge pages. An allocator asks for that much more,
/// to choose from (glibc: `posix_memalign`, `aligned_alloc`).
const ALIGNMENTS: [u64; 4] = [4 << 10, 16 << 10, 64 << 10, 2 << 20];

/// `PROT_WRITE` (include/uapi/asm-generic/mman-common.h), as all of the following.
const PROT_WRITE: u32 = 0x2;
const MAP_SHARED: u32 = 0x01;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_STACK: u32 = 0x2_0000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
/// jemalloc sets it on all that it maps, unless the host does not overcommit (os_overcommits in src/pages.c, 5.3).
pub const MAP_NORESERVE: u32 = 0x4000;

/// Whether a mapping can be a table at all: writable, private, anonymous, placed by the kernel, and not a stack.
///
/// Run-time systems reserve without write permission and commit with `MAP_FIXED`; thread stacks carry `MAP_STACK`.
/// `MAP_NORESERVE` does not clear a mapping: jemalloc sets it on ordinary memory.
#[must_use]
#[inline(always)]
pub const fn is_candidate(prot: u32, flags: u32) -> bool {
    const NEVER: u32 = MAP_SHARED | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_FIXED_NOREPLACE;
    prot & PROT_WRITE != 0 && flags & MAP_ANONYMOUS != 0 && flags & NEVER == 0
}

/// How a length follows from a limit. The order is the order of preference; numbers are wire numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Fit {
    /// L = N x k, plus an allocator header, rounded up to a page.
    Exact = 1,
    /// The same with the power of two above N.
    PowerOfTwo = 2,
    /// L is what jemalloc maps for the size class (four per doubling) that N x k falls into.
    SizeClass = 3,
    /// A heap that grew by N x k and malloc's top padding.
    Heap = 4,
    /// The power of two above min(N, 2^27), 16 bytes each.
    Capped = 5,
    /// L = N x k and what lies beside it: neighbouring mappings that the kernel shows as one. Never in a record.
    Merged = 6,
    /// L = N x k, and room to align it.
    Aligned = 7,
}

impl Fit {
    /// The fit behind a wire number, or `None` for a number nobody gave.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Exact),
            2 => Some(Self::PowerOfTwo),
            3 => Some(Self::SizeClass),
            4 => Some(Self::Heap),
            5 => Some(Self::Capped),
            7 => Some(Self::Aligned),
            _ => None,
        }
    }
}

/// A length explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Bytes per descriptor (k).
    pub element: u32,
    /// Bytes that the table itself does not need.
    pub overhead: u64,
    /// How L follows from N and k.
    pub fit: Fit,
}

impl Match {
    /// Fit and element size in one number that is never 0: the fit above bit 16, the element size below.
    #[must_use]
    #[inline(always)]
    pub const fn pack(&self) -> u32 {
        (self.fit as u32) << 16 | self.element
    }

    /// The bytes of `length` that the table does not need, for a packed explanation.
    #[must_use]
    #[inline(always)]
    pub const fn overhead_of(packed: u32, limit: u64, length: u64) -> u64 {
        let slots = if packed >> 16 == Fit::Capped as u32 { CAP } else { limit };
        // A heap may have grown by less.
        length.saturating_sub(slots.wrapping_mul((packed & 0xffff) as u64))
    }
}

/// Explains the length of a mapping (`mmap`, `mremap`) with these `MAP_*` bits by a descriptor limit.
#[must_use]
#[inline(always)]
pub fn explain_mapping(limit: u64, length: u64, flags: u32) -> Option<Match> {
    // Others do not round so, and what jemalloc rounds to is now and then a multiple of the limit as well.
    if flags & MAP_NORESERVE != 0
        && let Some(found) = padded_class(limit, length)
    {
        return Some(found);
    }
    match explain_plain(limit, length) {
        None => aligned(limit, length),
        found => found,
    }
}

#[inline(always)]
fn explain_plain(limit: u64, length: u64) -> Option<Match> {
    if limit < 2 || limit > length {
        return None;
    }
    if let Some(found) = multiple(limit, length, PAGE + HEADER_MAX, Fit::Exact) {
        return Some(found);
    }
    let rounded = power_of_two_above(limit);
    if rounded != limit
        && let Some(found) = multiple(rounded, length, PAGE + HEADER_MAX, Fit::PowerOfTwo)
    {
        return Some(Match { overhead: length - limit * u64::from(found.element), ..found });
    }
    if limit > CAP
        && let Some(found) = multiple(CAP, length, PAGE + HEADER_MAX, Fit::Capped)
        && u64::from(found.element) == CAP_ELEMENT
    {
        return Some(found);
    }
    match padded_class(limit, length) {
        None => size_class(limit, length),
        found => found,
    }
}

/// Explains the growth of a heap (`brk`) by a descriptor limit. glibc adds a pad and takes off what the heap has left at its end, which
/// is a pad at most where memory was not given back before (malloc/malloc.c, sysmalloc).
#[must_use]
#[inline(always)]
pub fn explain_heap(limit: u64, growth: u64) -> Option<Match> {
    if limit < HEAP_LIMIT_MIN || limit > growth {
        return None;
    }
    let found = multiple(limit, growth.saturating_add(HEAP_PAD), 2 * HEAP_PAD, Fit::Heap)?;
    Some(Match { overhead: found.overhead.saturating_sub(HEAP_PAD), ..found })
}

/// Whether a request is one for a table of `refused` bytes once more.
///
/// Refused a mapping, glibc asks for the same as heap (malloc/malloc.c, sysmalloc): the table and a pad, less what the heap has
/// left at its end, which may be more than the pad. Refused that, it maps the table, the pad and what rounding adds.
///
/// Refused its capped table, Erlang (erts 13.1) asks for it without the rounding to a power of two: for more than half.
#[must_use]
#[inline(always)]
pub const fn is_asked_again(refused: u64, length: u64) -> bool {
    if refused == 0 {
        return false;
    }
    let unrounded = refused == CAP * CAP_ELEMENT && length > refused / 2 && length < refused;
    unrounded || length.wrapping_add(HEAP_PAD).wrapping_sub(refused) < 2 * HEAP_PAD + STAND_IN
}

/// Explains the length of an area of `/proc/PID/maps`, of which up to `slack` bytes may be no part of the table: the
/// kernel joins neighbouring mappings of one kind (`vma_merge_new_range` of mm/vma.c, 6.18), and several tables with them.
#[must_use]
pub fn explain_area(limit: u64, length: u64, slack: u64) -> Option<Match> {
    if limit < 2 || limit > length {
        return None;
    }
    explain_plain(limit, length).or_else(|| multiple(limit, length, slack, Fit::Merged)).or_else(|| {
        let capped = multiple(CAP, length, slack, Fit::Capped).filter(|_| limit > CAP);
        capped.filter(|found| u64::from(found.element) == CAP_ELEMENT)
    })
}

/// Bytes of the kernel's own descriptor table with this many slots: pointers, two bitmaps of one bit each, and one of a
/// bit per word of those (`alloc_fdtable` of fs/file.c, 6.18).
#[must_use]
#[inline(always)]
pub const fn kernel_bytes(slots: u64) -> u64 {
    slots * 8 + slots / 4 + slots / 512
}

/// What passes for all of a process's tables when it is touched: RSS may lag behind by some pages.
#[must_use]
#[inline(always)]
pub const fn whole(total: u64) -> u64 {
    total - total / 64
}

#[inline(always)]
fn multiple(count: u64, length: u64, slack: u64, fit: Fit) -> Option<Match> {
    let element = length.checked_div(count)? & !(ELEMENT_MIN - 1);
    if !(ELEMENT_MIN..=ELEMENT_MAX).contains(&element) {
        return None;
    }
    let overhead = length - count * element;
    (overhead < slack).then_some(Match { element: element as u32, overhead, fit })
}

/// Room to align a table is whole pages beyond the header. Elements are whole words: others nobody aligns.
#[inline(always)]
fn aligned(limit: u64, length: u64) -> Option<Match> {
    if limit < 2 {
        return None;
    }
    for alignment in ALIGNMENTS {
        if length > alignment
            && let Some(found) = multiple(limit, length - alignment, PAGE + HEADER_MAX, Fit::Aligned)
            && found.element & 7 == 0
        {
            return Some(Match { overhead: found.overhead + alignment, ..found });
        }
    }
    None
}

/// jemalloc rounds a large request up to m x 2^e with m in 4..=7.
#[inline(always)]
fn size_class(limit: u64, length: u64) -> Option<Match> {
    of_class(limit, class_below(length)?, length, length)
}

/// jemalloc adds a page to a class, to place what is in it at another offset in its first page, and rounds once more: it maps the
/// next class (large_palloc in src/large.c and extent_grow_retained in src/extent.c, 5.3; `--disable-cache-oblivious` leaves that out).
#[inline(always)]
fn padded_class(limit: u64, length: u64) -> Option<Match> {
    let class = class_below(length)?;
    of_class(limit, class_below(class)?, class, length)
}

/// The class below a class; `None` for a length that is no class of large requests.
#[inline(always)]
const fn class_below(length: u64) -> Option<u64> {
    if length < 16 * PAGE {
        return None;
    }
    let step_bits = 61 - length.leading_zeros();
    let step = 1u64 << (step_bits & 63);
    if length & (step - 1) != 0 {
        return None;
    }
    Some(length - if length == step << 2 { step >> 1 } else { step })
}

/// A table of more than `below` bytes and up to `class`, for which `length` bytes are mapped.
#[inline(always)]
fn of_class(limit: u64, below: u64, class: u64, length: u64) -> Option<Match> {
    let element = class.checked_div(limit)? & !7;
    if !(8..=ELEMENT_MAX).contains(&element) {
        return None;
    }
    let need = limit * element;
    // One element size only may explain the class, or it explains nothing.
    (need > below && need - 8 * limit <= below).then_some(Match {
        element: element as u32,
        overhead: length - need,
        fit: Fit::SizeClass,
    })
}

/// The power of two at or above `limit`; `limit` itself when there is none in 63 bits.
#[inline(always)]
const fn power_of_two_above(limit: u64) -> u64 {
    if limit < 2 || limit > 1 << 62 {
        return limit;
    }
    1 << ((64 - (limit - 1).leading_zeros()) & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUGE: u64 = (1 << 30) - 8;

    fn malloc(bytes: u64) -> u64 {
        (bytes + 16).next_multiple_of(PAGE)
    }

    #[test]
    fn pointers_at_the_limit_of_the_incident() {
        let found = explain_mapping(HUGE, malloc(HUGE * 8), 0).expect("a match");
        assert_eq!((found.element, found.fit), (8, Fit::Exact));
        assert!(found.overhead < PAGE);
    }

    #[test]
    fn element_sizes_of_real_programs() {
        for limit in [20_000, 65_536, 1_000_003, 1 << 20, 1 << 26, HUGE] {
            for element in [4u64, 8, 12, 16, 32, 56, 64, 128, 136, 432, 664] {
                let found = explain_mapping(limit, malloc(limit * element), 0).expect("a match");
                assert_eq!(
                    (u64::from(found.element), found.fit),
                    (element, Fit::Exact),
                    "{limit} x {element}"
                );
            }
        }
    }

    #[test]
    fn aligned_tables() {
        // glibc: the alignment, a chunk's smallest size and a header, rounded up to a page.
        const LIMIT: u64 = 1_000_003;
        for alignment in ALIGNMENTS {
            for element in [8, 64, 1024] {
                let length = (LIMIT * element + alignment + 56).next_multiple_of(PAGE);
                let found = explain_mapping(LIMIT, length, 0).expect("a match");
                let expected = (element as u32, length - LIMIT * element, Fit::Aligned);
                assert_eq!((found.element, found.overhead, found.fit), expected, "at {alignment}");
            }
        }
        assert_eq!(explain_mapping(LIMIT, LIMIT * 8 + (1 << 20), 0).map(|found| found.fit), None);
    }

    #[test]
    fn rounded_up_to_a_power_of_two() {
        let found = explain_mapping(1_000_003, malloc((1 << 20) * 16), 0).expect("a match");
        assert_eq!((found.element, found.fit), (16, Fit::PowerOfTwo));
        assert_eq!(found.overhead, malloc((1 << 20) * 16) - 1_000_003 * 16);
    }

    #[test]
    fn erlang_caps_its_table() {
        let found = explain_mapping(HUGE, 16 << 27, 0).expect("a match");
        assert_eq!((found.element, found.fit), (16, Fit::Capped));
        assert_eq!(
            explain_mapping(HUGE, 32 << 27, 0).map(|found| found.fit),
            Some(Fit::Exact),
            "4 bytes each"
        );
    }

    #[test]
    fn jemalloc_size_classes() {
        // 1,000,003 x 8 = 8,000,024 falls into the class 8 MiB (4 x 2^21), above 7 MiB.
        let found = explain_mapping(1_000_003, 8 << 20, MAP_NORESERVE).expect("a match");
        assert_eq!((found.element, found.overhead), (8, (8 << 20) - 8_000_024));
        assert_eq!(found.fit, Fit::PowerOfTwo, "the power of two explains it first");
        let found = explain_mapping(1_100_003, 10 << 20, 0).expect("a match");
        assert_eq!((found.element, found.fit), (8, Fit::SizeClass));
    }

    /// As seen of malloc in jemalloc 5.3 on Debian 12: the class of the class and a page.
    #[test]
    fn jemalloc_maps_the_class_above() {
        for (limit, element, length) in [
            (HUGE, 8, 10 << 30),
            (HUGE, 16, 20 << 30),
            (1 << 30, 8, 10u64 << 30),
            (1_000_003, 8, 10 << 20),
            (50_000_017, 8, 448 << 20),
            (50_000_017, 16, 896 << 20),
        ] {
            let found = explain_mapping(limit, length, MAP_NORESERVE).expect("a match");
            let expected = (element, length - limit * u64::from(element), Fit::SizeClass);
            assert_eq!((found.element, found.overhead, found.fit), expected, "{limit}");
        }
        // Several elements fall into one class.
        assert_eq!(padded_class(19_997, 24 << 20), None);
    }

    #[test]
    fn areas_may_hold_more_than_the_table() {
        // As seen with slapd (56 + 664 bytes in one area) and rpcbind (five pages beside the table).
        let area = |length| explain_area(20_000, length, 32 << 10).expect("a match");
        let slapd = area(14_405_632);
        assert_eq!((slapd.element, slapd.overhead, slapd.fit), (720, 5632, Fit::Merged));
        assert_eq!(area(184_320).element, 8);
        assert_eq!(area(malloc(20_000 * 8)).fit, Fit::Exact);
        assert_eq!(explain_area(20_000, 184_320, 1 << 10), None);
        let erlang = explain_area(HUGE, (16 << 27) + (300 << 10), 1 << 20).expect("a match");
        assert_eq!((erlang.element, erlang.overhead, erlang.fit), (16, 300 << 10, Fit::Capped));
    }

    #[test]
    fn the_kernel_s_own_table() {
        assert_eq!(kernel_bytes(64), 512 + 16);
        assert_eq!(kernel_bytes(1 << 20), (8 << 20) + (256 << 10) + 2048);
    }

    #[test]
    fn packing_loses_nothing() {
        for (limit, length) in
            [(HUGE, malloc(HUGE * 8)), (HUGE, 16 << 27), (1_000_003, malloc((1 << 20) * 16))]
        {
            let found = explain_mapping(limit, length, 0).expect("a match");
            let packed = found.pack();
            assert_eq!(Fit::from_number(packed >> 16), Some(found.fit));
            assert_eq!(
                (packed & 0xffff, Match::overhead_of(packed, limit, length)),
                (found.element, found.overhead)
            );
        }
    }

    #[test]
    fn lengths_that_mean_nothing() {
        for (limit, length) in
            [(0, 4096), (1, 1 << 30), (HUGE, 1 << 30), (HUGE, 512 << 20), (u64::MAX, u64::MAX)]
        {
            assert_eq!(explain_mapping(limit, length, 0).map(|m| m.element).filter(|k| *k != 4), None);
        }
        assert_eq!(explain_mapping(1_000_003, 9_000_000, 0), None);
        assert_eq!(explain_heap(20_000, 160_000), None, "padding is larger than the table");
    }

    #[test]
    fn heap_growth_carries_padding() {
        let limit: u64 = 1_000_003;
        // Measured with glibc 2.36: up to a pad more, or less where the heap had something left.
        for more in [132 * 1024, 128 * 1024, 0, -536, -1_072, -128 * 1024i64] {
            let growth = (limit * 8).checked_add_signed(more).expect("a growth");
            let found = explain_heap(limit, growth).expect("a match");
            let overhead = u64::try_from(more).unwrap_or(0);
            assert_eq!((found.element, found.fit, found.overhead), (8, Fit::Heap, overhead), "{more}");
            assert_eq!(Match::overhead_of(found.pack(), limit, growth), overhead);
        }
    }

    #[test]
    fn a_refused_table_is_known_when_it_is_asked_for_again() {
        // Seen of uWSGI on Debian 12: mmap, brk, mmap.
        let refused = malloc(HUGE * 8);
        assert_eq!(refused, 8_589_934_592);
        for length in [refused, 8_589_942_784, 8_590_983_168, refused - 120 * 1024] {
            assert!(is_asked_again(refused, length), "{length}");
        }
        for length in [0, refused - (1 << 20), refused + (2 << 20), refused * 2, u64::MAX] {
            assert!(!is_asked_again(refused, length), "{length}");
        }
        assert!(!is_asked_again(0, 64));
        // Seen of Erlang on Debian 12: 2 GiB, then 12 bytes for each of 2^27 and what its allocator adds.
        for (length, again) in [(1_611_681_792, true), (1 << 30, false)] {
            assert_eq!(is_asked_again(1 << 31, length), again, "{length}");
        }
    }

    #[test]
    fn no_input_panics() {
        let edges =
            [0, 1, 2, 3, 4095, 4096, 1 << 20, (1 << 30) - 8, 1 << 62, (1 << 62) + 1, u64::MAX - 1, u64::MAX];
        for limit in edges {
            for length in edges {
                let _ = (explain_mapping(limit, length, 0), explain_heap(limit, length));
                let _ = explain_area(limit, length, limit / 64);
            }
        }
    }
}
