//! Mappings and the program break, with lengths that reach the kernel unchanged.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::checked;

/// Bytes of a page as the tests assume it; the kernels of the matrix use no other on the architectures tested.
pub const PAGE: u64 = 4096;

/// A private, writable, anonymous mapping: what an allocator asks for.
pub const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
/// A shared one.
pub const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
/// A thread's stack.
pub const STACK: i32 = PRIVATE | libc::MAP_STACK;
/// Readable and writable.
pub const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Asks for a region by `mmap(2)` and returns its address.
///
/// # Errors
/// The kernel's errno.
pub fn map(bytes: u64, prot: i32, flags: i32, file: Option<&File>) -> io::Result<u64> {
    let fd = file.map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: without MAP_FIXED (which no caller passes) the kernel picks a free range; nothing of ours is replaced.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes as usize, prot, flags, fd, 0) };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address as u64) }
}

/// Gives a region back by `munmap(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn unmap(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: callers pass regions that `map` or `remap` returned and hold no reference into.
    checked(i64::from(unsafe { libc::munmap(address as *mut libc::c_void, bytes as usize) })).map(drop)
}

/// Changes a region's length by `mremap(2)`; it may move.
///
/// # Errors
/// The kernel's errno.
pub fn remap(address: u64, old: u64, new: u64) -> io::Result<u64> {
    let at = address as *mut libc::c_void;
    // SAFETY: callers pass a region that `map` returned and hold no reference into.
    let moved = unsafe { libc::mremap(at, old as usize, new as usize, libc::MREMAP_MAYMOVE) };
    if moved == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(moved as u64) }
}

/// Moves a region elsewhere by `mremap(2)` without changing its length, and returns where.
///
/// # Errors
/// The kernel's errno.
pub fn move_away(address: u64, bytes: u64) -> io::Result<u64> {
    move_onto(address, bytes, map(bytes, libc::PROT_NONE, PRIVATE, None)?)
}

/// Moves a region to where another lies, which is gone then, by `mremap(2)`; returns where.
///
/// # Errors
/// The kernel's errno.
pub fn move_onto(address: u64, bytes: u64, place: u64) -> io::Result<u64> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let (from, to) = (address as *mut libc::c_void, place as *mut libc::c_void);
    // SAFETY: callers pass regions that `map` returned and hold no reference into.
    let moved = unsafe { libc::mremap(from, bytes as usize, bytes as usize, flags, to) };
    if moved == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(moved as u64) }
}

/// Puts address space without access in the place of a region, as run-time systems give memory back.
///
/// # Errors
/// The kernel's errno.
pub fn replace(address: u64, bytes: u64) -> io::Result<()> {
    let flags = PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let at = address as *mut libc::c_void;
    // SAFETY: callers pass a region that `map` returned and hold no reference into.
    let placed = unsafe { libc::mmap(at, bytes as usize, libc::PROT_NONE, flags, -1, 0) };
    if placed == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves the program break up by `bytes` and returns it to where it was. Returns the break before.
///
/// # Errors
/// The kernel's errno, or `ENOMEM` when the break did not move.
pub fn grow_heap_and_back(bytes: u64) -> io::Result<u64> {
    let before = set_break(0)?;
    if set_break(before + bytes)? != before + bytes {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    set_break(before)?;
    Ok(before)
}

/// Moves the program break up by `bytes` for good and returns where it was.
///
/// # Errors
/// The kernel's errno, or `ENOMEM` when the break did not move.
pub fn grow_heap(bytes: u64) -> io::Result<u64> {
    let before = set_break(0)?;
    if set_break(before + bytes)? != before + bytes {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    Ok(before)
}

/// Moves the program break down to an address that [`grow_heap`] returned.
///
/// # Errors
/// The kernel's errno.
pub fn lower_heap(to: u64) -> io::Result<()> {
    set_break(to).map(drop)
}

fn set_break(to: u64) -> io::Result<u64> {
    // SAFETY: the break only moves above the one the allocator knows and back; malloc copes with a foreign break.
    checked(unsafe { libc::syscall(libc::SYS_brk, to) })
}

/// Writes one byte into each page of the first `bytes` of a region.
pub fn touch(address: u64, bytes: u64) {
    let mut at = address;
    while at < address + bytes {
        // SAFETY: callers pass a writable region of at least `bytes` that `map` returned and no reference points into.
        unsafe { (at as *mut u8).write_volatile(1) };
        at += PAGE;
    }
}

/// Has the kernel fill a region with what a file gives.
///
/// # Errors
/// The kernel's errno, or that the file ended.
pub fn fill(file: &File, address: u64, bytes: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes {
        let to = (address + done) as *mut libc::c_void;
        // SAFETY: callers pass a writable region of at least `bytes` that `map` returned and no reference points into.
        let read = checked(unsafe { libc::read(file.as_raw_fd(), to, (bytes - done) as usize) } as i64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += read as u64;
    }
    Ok(())
}

/// Asks the C library for memory at a multiple of `alignment`, which is a power of two of at least 8, and keeps it.
///
/// # Errors
/// `ENOMEM`.
pub fn allocate(alignment: u64, bytes: u64) -> io::Result<u64> {
    let mut place = std::ptr::null_mut();
    let errno = if alignment <= 16 {
        // SAFETY: nobody frees what it gives.
        place = unsafe { libc::malloc(bytes as usize) };
        if place.is_null() { libc::ENOMEM } else { 0 }
    } else {
        // SAFETY: the call writes to `place` only; nobody frees what it gives.
        unsafe { libc::posix_memalign(&raw mut place, alignment as usize, bytes as usize) }
    };
    if errno == 0 { Ok(place as u64) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// Reads one byte of each page of a readable region.
pub fn read_pages(address: u64, bytes: u64) {
    let mut at = address;
    while at < address + bytes {
        // SAFETY: callers pass a readable region of at least `bytes` that `map` returned.
        unsafe { (at as *const u8).read_volatile() };
        at += PAGE;
    }
}

/// Tells the kernel that a region is read at random: a fault then reads one page, not its neighbours.
///
/// # Errors
/// The kernel's errno.
pub fn expect_random(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: advice about a region that `map` returned changes none of its content.
    checked(i64::from(unsafe {
        libc::madvise(address as *mut libc::c_void, bytes as usize, libc::MADV_RANDOM)
    }))
    .map(drop)
}

/// Forbids huge pages in a region, so that touching a page makes exactly one resident.
///
/// # Errors
/// The kernel's errno.
pub fn forbid_huge_pages(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: advice about a region that `map` returned changes none of its content.
    checked(i64::from(unsafe {
        libc::madvise(address as *mut libc::c_void, bytes as usize, libc::MADV_NOHUGEPAGE)
    }))
    .map(drop)
}

/// Gives the pages of a region up, and keeps its address space.
///
/// # Errors
/// The kernel's errno.
pub fn give_up_pages(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: callers pass a region that `map` returned and hold no reference into; it reads as zeros afterwards.
    checked(i64::from(unsafe {
        libc::madvise(address as *mut libc::c_void, bytes as usize, libc::MADV_DONTNEED)
    }))
    .map(drop)
}

/// Asks for huge pages in a region.
///
/// # Errors
/// The kernel's errno.
pub fn want_huge_pages(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: advice about a region that `map` returned changes none of its content.
    checked(i64::from(unsafe {
        libc::madvise(address as *mut libc::c_void, bytes as usize, libc::MADV_HUGEPAGE)
    }))
    .map(drop)
}

/// Locks in memory what is mapped from here on.
///
/// # Errors
/// The kernel's errno.
pub fn lock_all_to_come() -> io::Result<()> {
    // SAFETY: locking changes no content.
    checked(i64::from(unsafe { libc::mlockall(libc::MCL_FUTURE) })).map(drop)
}

/// Locks a region in memory.
///
/// # Errors
/// The kernel's errno.
pub fn lock(address: u64, bytes: u64) -> io::Result<()> {
    // SAFETY: the region is one that `map` returned; locking changes none of its content.
    checked(i64::from(unsafe { libc::mlock(address as *const libc::c_void, bytes as usize) })).map(drop)
}
