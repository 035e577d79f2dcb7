//! Descriptors and the page cache.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::checked;

/// Closes a descriptor number, open or not, and says whether it was open.
#[must_use]
pub fn close_number(fd: i32) -> bool {
    // SAFETY: callers sweep numbers above those that Rust owns; closing a number that is not open does nothing.
    unsafe { libc::syscall(libc::SYS_close, fd) == 0 }
}

/// Closes every descriptor from `first` on by `close_range(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn close_above(first: i32) -> io::Result<()> {
    // SAFETY: callers own no descriptor that high.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Makes `to` a copy of standard error; the kernel grows the descriptor table when it is too small.
///
/// # Errors
/// The kernel's errno.
pub fn duplicate_to(to: i32) -> io::Result<()> {
    // SAFETY: `to` is a number that no Rust object owns.
    checked(unsafe { libc::syscall(libc::SYS_dup3, libc::STDERR_FILENO, to, 0) }).map(drop)
}

/// Drops a file's clean pages from the page cache.
///
/// # Errors
/// The kernel's errno.
pub fn drop_cache(file: &File) -> io::Result<()> {
    // SAFETY: advice about an open file touches no memory of ours.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
