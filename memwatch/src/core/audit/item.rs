//! What pages are pages of: a file, or nothing but memory.

use std::collections::HashMap;

/// How memory counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// No file behind it, or a private copy of a file's page.
    Anon,
    /// Page cache of a file on a disk.
    File,
    /// A file in memory: tmpfs, shared memory, memfd.
    Shmem,
    /// From the pool of huge pages, which the memory controller does not charge by default.
    Hugetlb,
}

impl Class {
    /// Its name in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::File => "file",
            Self::Shmem => "shmem",
            Self::Hugetlb => "hugetlb",
        }
    }
}

/// A file as mappings name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// Device.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
    /// Path as the first process that was met with it maps it: any bytes.
    pub path: Vec<u8>,
    /// That process.
    pub pid: u32,
}

/// Every file that was met, by number.
#[derive(Debug, Default)]
pub struct Items {
    items: Vec<Item>,
    by_file: HashMap<(u64, u64), u32>,
}

impl Items {
    /// Number of the file at (device, inode).
    pub fn number(&mut self, device: u64, inode: u64, path: &[u8], pid: u32) -> u32 {
        *self.by_file.entry((device, inode)).or_insert_with(|| {
            self.items.push(Item { device, inode, path: path.to_vec(), pid });
            u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The file of a number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Item> {
        self.items.get(number as usize)
    }
}
