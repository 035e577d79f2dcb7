//! Descriptors and the page cache.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use clap::ValueEnum;

use super::checked;

/// A system call that copies a descriptor to a number.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Duplicate {
    /// `dup2(2)`.
    Dup2,
    /// `dup3(2)`.
    Dup3,
    /// `fcntl(2)` with `F_DUPFD`.
    Fcntl,
}

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
pub fn duplicate_to(to: i32, by: Duplicate) -> io::Result<()> {
    let error = libc::STDERR_FILENO;
    // SAFETY: `to` is a number that no Rust object owns.
    checked(unsafe {
        match by {
            Duplicate::Dup2 => libc::syscall(libc::SYS_dup2, error, to),
            Duplicate::Dup3 => libc::syscall(libc::SYS_dup3, error, to, 0),
            Duplicate::Fcntl => libc::syscall(libc::SYS_fcntl, error, libc::F_DUPFD, to),
        }
    })
    .map(drop)
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
