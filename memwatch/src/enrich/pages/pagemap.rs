//! `/proc/PID/pagemap`: 64 bits for each page of an address space (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zerocopy::IntoBytes;

/// Entries read at once: 256 KiB.
const CHUNK: usize = 1 << 15;

/// What stands for one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

/// Bits that are of interest: what was written of late, or is watched for writing, breaks no row.
const KEPT: u64 = !(1 << 55 | 1 << 57 | 1 << 58);

impl Entry {
    const fn new(bits: u64) -> Self {
        Self(bits & KEPT)
    }

    /// Whether the page is in memory.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 >> 63 & 1 == 1
    }

    /// Whether it is of a file or shared memory, not anonymous.
    #[must_use]
    pub const fn is_of_file(self) -> bool {
        self.0 >> 61 & 1 == 1
    }

    /// Whether it is mapped nowhere else.
    #[must_use]
    pub const fn is_alone(self) -> bool {
        self.0 >> 56 & 1 == 1
    }

    /// Whether it is like the first of a row of so many pages, and its frame the next.
    #[must_use]
    pub const fn follows(self, first: Self, pages: u32) -> bool {
        self.0 == first.0 + pages as u64
    }

    /// Number of the page frame; 0 when the reader may not see it.
    #[must_use]
    pub const fn frame(self) -> u64 {
        self.0 & ((1 << 55) - 1)
    }
}

/// An open pagemap.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

impl Pagemap {
    /// Of this file.
    #[must_use]
    pub const fn new(file: File) -> Self {
        Self { file }
    }

    /// The entry of one page; `None` beyond the address space and when the process is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn entry(&self, page: u64) -> io::Result<Option<Entry>> {
        let mut entry = [0_u64];
        let read = self.file.read_at(entry.as_mut_bytes(), page * 8)?;
        Ok((read == 8).then_some(Entry::new(entry[0])))
    }

    /// Gives the present ones among these pages, with their numbers. `buffer` is only for the memory it has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn each_present(
        &self,
        pages: Range<u64>,
        buffer: &mut Vec<u64>,
        mut give: impl FnMut(Entry),
    ) -> io::Result<()> {
        buffer.resize(CHUNK, 0);
        let mut at = pages.start;
        while at < pages.end {
            let want = usize::try_from(pages.end - at).unwrap_or(CHUNK).min(CHUNK);
            let Some(part) = buffer.get_mut(..want) else { return Ok(()) };
            let read = self.file.read_at(part.as_mut_bytes(), at * 8)? / 8;
            if read == 0 {
                return Ok(());
            }
            for entry in part.iter().take(read).map(|&entry| Entry::new(entry)).filter(|it| it.is_present()) {
                give(entry);
            }
            at += read as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_this_process_is_there() {
        let value = Box::new([1_u8; 4096]);
        let pagemap = Pagemap::new(File::open("/proc/self/pagemap").unwrap());
        let page = value.as_ptr() as u64 / crate::sys::page_size();
        let entry = pagemap.entry(page).unwrap().unwrap();
        assert!(entry.is_present() && !entry.is_of_file());
        let mut seen = Vec::new();
        pagemap.each_present(page..page + 1, &mut Vec::new(), |entry| seen.push(entry)).unwrap();
        assert_eq!(seen, [entry]);
    }
}
