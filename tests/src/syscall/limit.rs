//! Resource limits by each of the calls that read or set them.

use std::io;

use super::checked;

/// Soft and hard value of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Value in force.
    pub soft: u64,
    /// Value up to which the soft one may be raised.
    pub hard: u64,
}

/// `RLIMIT_NOFILE`.
pub const NOFILE: u32 = libc::RLIMIT_NOFILE;
/// `RLIMIT_AS` as a number.
pub const ADDRESS_SPACE: u32 = libc::RLIMIT_AS;
/// `RLIMIT_CORE` as a number.
pub const CORE: u32 = libc::RLIMIT_CORE;
/// Resources a kernel knows.
pub const RESOURCES: u32 = 16;

/// Reads a limit by `getrlimit(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn get(resource: u32) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one struct rlimit, to which the pointer is valid.
    checked(unsafe { libc::syscall(libc::SYS_getrlimit, resource, &raw mut limit) })?;
    Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Sets a limit by `setrlimit(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn set(resource: u32, limit: Limit) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: the kernel reads one struct rlimit, to which the pointer is valid.
    checked(unsafe { libc::syscall(libc::SYS_setrlimit, resource, &raw const limit) }).map(drop)
}

/// Asks to set a limit to what stands at an address where nothing is, by `setrlimit(2)`.
///
/// # Errors
/// The kernel's errno: it always refuses.
pub fn set_from_nowhere(resource: u32) -> io::Result<()> {
    // In the first page, which nobody has.
    let nowhere = std::ptr::without_provenance::<libc::rlimit>(16);
    // SAFETY: the kernel checks the address before it reads there, and this program reads nothing.
    checked(unsafe { libc::syscall(libc::SYS_setrlimit, resource, nowhere) }).map(drop)
}

/// Reads, and sets when `new` is given, a limit of a process (0: the caller) by `prlimit64(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn of_process(pid: i32, resource: u32, new: Option<Limit>) -> io::Result<Limit> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.map(|limit| libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard });
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or points to a struct that outlives the call; `old` is valid for writing.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, &raw mut old) })?;
    Ok(Limit { soft: old.rlim_cur, hard: old.rlim_max })
}

/// Swaps a limit of the caller by `prlimit64(2)` with one buffer for the new and the old one.
///
/// # Errors
/// The kernel's errno.
pub fn swap(resource: u32, new: Limit) -> io::Result<Limit> {
    let mut both = libc::rlimit { rlim_cur: new.soft, rlim_max: new.hard };
    let buffer = &raw mut both;
    // SAFETY: the kernel reads one struct rlimit before it writes one to the same place, which is valid for both.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, buffer, buffer) })?;
    Ok(Limit { soft: both.rlim_cur, hard: both.rlim_max })
}

/// Sets a limit of a process, or of the process of a thread, without asking for the old one by `prlimit64(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn set_of_process(pid: i32, resource: u32, new: Limit) -> io::Result<()> {
    let new = libc::rlimit { rlim_cur: new.soft, rlim_max: new.hard };
    let nowhere = std::ptr::null::<libc::rlimit>();
    // SAFETY: `new` is valid for reading; the kernel writes nothing to a null pointer.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const new, nowhere) }).map(drop)
}

/// Reads the number of descriptors as portable programs do, by `sysconf(3)`.
#[must_use]
pub fn open_max() -> u64 {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let value = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    u64::try_from(value).unwrap_or(u64::MAX)
}
