//! An index as a search engine maps it, in memory and without a name, and how fast the kernel itself tells its pages.
#![expect(unsafe_code, reason = "mappings of a file in memory, made as a server makes them")]

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, bail};

const PAGE: u64 = 4096;
/// Pages that are in memory or not together, in a sparse index.
const STRETCH: u64 = 64;
/// Bytes read at once of pagemap and kpagecgroup.
const CHUNK: usize = 256 << 10;
/// Reads of the whole, of which the fastest counts.
const TRIES: usize = 3;
/// The first frame beyond the hole below 4 GiB that PCs have.
const ABOVE_THE_HOLE: u64 = 1 << 20;

/// A file in memory, mapped.
pub(crate) struct Index {
    addresses: Vec<u64>,
    bytes: u64,
    /// Pages that are in memory.
    pub(crate) pages: u64,
}

impl Index {
    /// Makes a file of so many bytes, has part of them in memory, and maps and reads them as often as asked for.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn new(bytes: u64, resident: u64, times: u32) -> Result<Self> {
        // SAFETY: the name is a string of C.
        let fd = unsafe { libc::memfd_create(c"index".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            bail!(Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(bytes)?;
        let stretches = stretches(bytes / PAGE, resident.min(bytes) / PAGE);
        for (first, length) in &stretches {
            let (offset, length) = ((first * PAGE).cast_signed(), (length * PAGE).cast_signed());
            // SAFETY: integers only.
            if unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, length) } != 0 {
                return Err(Error::last_os_error()).context("cannot have the index in memory");
            }
        }
        let mut index = Self { addresses: Vec::new(), bytes, pages: 0 };
        for _ in 0..times {
            index.addresses.push(map(&file, bytes)?);
        }
        for (first, length) in &stretches {
            for page in *first..first + length {
                for address in &index.addresses {
                    // SAFETY: the page is one of a mapping of this value, readable and in the file.
                    unsafe { ((address + page * PAGE) as *const u8).read_volatile() };
                }
            }
            index.pages += length;
        }
        Ok(index)
    }

    /// Entries per second of CPU time that the kernel gives of pagemap and of kpagecgroup, read in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn kernel_rates(&self) -> Result<(f64, f64)> {
        let pages = self.bytes / PAGE;
        let address = self.addresses.first().context("the index is not mapped")?;
        let pagemap = File::open("/proc/self/pagemap").context("cannot open pagemap")?;
        let owners = File::open("/proc/kpagecgroup").context("cannot open kpagecgroup")?;
        Ok((rate(&pagemap, address / PAGE, pages)?, rate(&owners, ABOVE_THE_HOLE, pages)?))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        for address in &self.addresses {
            // SAFETY: the mapping is this value's own, and nothing borrows from it.
            unsafe { libc::munmap(*address as *mut libc::c_void, self.bytes as usize) };
        }
    }
}

fn map(file: &File, bytes: u64) -> Result<u64> {
    let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: asks for a fresh mapping anywhere.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes as usize, prot, flags, file.as_raw_fd(), 0) };
    if at == libc::MAP_FAILED {
        return Err(Error::last_os_error()).with_context(|| format!("cannot map {bytes} bytes"));
    }
    Ok(at as u64)
}

/// First page and length of what is in memory: all, or stretches that a fixed chance chooses.
fn stretches(pages: u64, resident: u64) -> Vec<(u64, u64)> {
    if resident == pages {
        return vec![(0, pages)];
    }
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    let chosen = (0..pages / STRETCH).filter(|_| {
        // xorshift64
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % pages < resident
    });
    chosen.map(|stretch| (stretch * STRETCH, STRETCH)).collect()
}

/// Entries per second of CPU time, the best of a few reads.
fn rate(file: &File, first: u64, entries: u64) -> Result<f64> {
    let mut buffer = vec![0; CHUNK];
    let mut best = 0.0_f64;
    for _ in 0..TRIES {
        let started = cpu_seconds();
        let mut at = first * 8;
        let end = (first + entries) * 8;
        while at < end {
            let length = (end - at).min(CHUNK as u64) as usize;
            match file.read_at(buffer.get_mut(..length).unwrap_or_default(), at) {
                Ok(0) => break,
                Ok(read) => at += read as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read entries of pages"),
            }
        }
        let read = (at / 8).saturating_sub(first);
        best = best.max(read as f64 / (cpu_seconds() - started));
    }
    Ok(best)
}

/// CPU time of this process: what else runs on the machine is no part of it.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
