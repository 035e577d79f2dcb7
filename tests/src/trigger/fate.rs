//! What becomes of a table once it is there.

use clap::ValueEnum;
use memwatch_tests::syscall::memory::{self, PAGE};

/// A change to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fate {
    /// All of it is given back.
    Free,
    /// Its first half is.
    FreeHead,
    /// Its second half is.
    FreeTail,
    /// Its middle half is.
    FreeMiddle,
    /// It moves elsewhere.
    Move,
    /// It moves elsewhere and is given back there.
    MoveAndFree,
    /// Address space without access is mapped over it.
    Replace,
    /// The same over its last page.
    ReplaceTail,
    /// Other memory is moved over it.
    Overlay,
    /// Tables like it come and go, more at once than are followed.
    Crowd,
    /// Its first mebibyte is written to and given up (`MADV_DONTNEED`) again and again.
    Reset,
    /// It is cut to its first half.
    Shrink,
    /// It grows to a table of elements twice as large, as `realloc` makes it.
    Double,
    /// The break goes down to where it lies.
    LowerBreak,
}

impl Fate {
    /// Does it; returns where the region lies then, and the bytes that are left of it. `double` is the length of the larger table.
    pub(crate) fn befall(self, address: u64, length: u64, double: u64) -> std::io::Result<(u64, u64)> {
        let half = (length / 2).next_multiple_of(PAGE);
        let quarter = (length / 4).next_multiple_of(PAGE);
        match self {
            Self::Free => memory::unmap(address, length).map(|()| (address, 0)),
            Self::FreeHead => memory::unmap(address, half).map(|()| (address + half, length - half)),
            Self::FreeTail => memory::unmap(address + half, length - half).map(|()| (address, half)),
            Self::FreeMiddle => memory::unmap(address + quarter, half).map(|()| (address, length - half)),
            Self::Move => memory::move_away(address, length).map(|moved| (moved, length)),
            Self::MoveAndFree => {
                let moved = memory::move_away(address, length)?;
                memory::unmap(moved, length).map(|()| (moved, 0))
            }
            Self::ReplaceTail => {
                memory::replace(address + length - PAGE, PAGE).map(|()| (address, length - PAGE))
            }
            Self::Replace => memory::replace(address, length).map(|()| (address, 0)),
            Self::Overlay => {
                // Not writable when it is asked for: no table itself.
                let other = memory::map(length, libc::PROT_READ, memory::PRIVATE, None)?;
                memory::move_onto(other, length, address).map(|_| (address, 0))
            }
            Self::Crowd => {
                for _ in 0..10 {
                    let others: Vec<u64> = (0..8)
                        .map(|_| memory::map(length, memory::READ_WRITE, memory::PRIVATE, None))
                        .collect::<Result<_, _>>()?;
                    for other in others {
                        memory::unmap(other, length)?;
                    }
                }
                Ok((address, length))
            }
            Self::Reset => {
                const PART: u64 = 1 << 20;
                memory::forbid_huge_pages(address, length)?;
                for _ in 0..length / PART {
                    memory::touch(address, PART.min(length));
                    memory::give_up_pages(address, length)?;
                }
                Ok((address, length))
            }
            Self::Shrink => memory::remap(address, length, half).map(|moved| (moved, half)),
            Self::Double => memory::remap(address, length, double).map(|moved| (moved, double)),
            Self::LowerBreak => memory::lower_heap(address).map(|()| (address, 0)),
        }
    }
}
