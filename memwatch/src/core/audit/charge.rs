//! What the kernel charged a cgroup for.

/// Counters of memory.stat in bytes. Unknown is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// Memory without a file.
    pub anon: Option<u64>,
    /// Page cache, files in memory included.
    pub file: Option<u64>,
    /// Files in memory.
    pub shmem: Option<u64>,
    /// Memory of the kernel on its behalf.
    pub kernel: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
}

impl Charged {
    /// Each counter by a function of two.
    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        let join = |a: Option<u64>, b: Option<u64>| Some(join(a?, b?));
        Self {
            anon: join(self.anon, other.anon),
            file: join(self.file, other.file),
            shmem: join(self.shmem, other.shmem),
            kernel: join(self.kernel, other.kernel),
            swap: join(self.swap, other.swap),
        }
    }

    /// What is left of these when the others are taken away; the counters are not read at one moment, so no less than 0.
    #[must_use]
    pub fn less(self, others: Self) -> Self {
        self.with(others, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Nothing, and known to be.
    pub const NOTHING: Self =
        Self { anon: Some(0), file: Some(0), shmem: Some(0), kernel: Some(0), swap: Some(0) };

    /// Pages of user space and memory of the kernel; what is not known counts nothing.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.anon, self.file, self.kernel].into_iter().flatten().sum()
    }

    /// The page cache of files on disks.
    #[must_use]
    pub fn disk_file(&self) -> Option<u64> {
        Some(self.file?.saturating_sub(self.shmem.unwrap_or(0)))
    }
}
