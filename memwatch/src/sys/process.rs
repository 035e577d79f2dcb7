//! System calls about another process, through a descriptor of it (pidfd): whatever its id is given to, they reach the
//! process that was opened or none.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal.
///
/// # Errors
/// What `pidfd_send_signal(2)` says: `ESRCH` when the process has ended and was waited for.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without a siginfo the call takes integers only.
    done(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, nothing, 0) })
}

/// Frees the memory of a process that is being killed, in this thread and before the process gets to run for it.
///
/// # Errors
/// What `process_mrelease(2)` says: `ENOSYS` before Linux 5.15, `EINVAL` when the process is not being killed, `EAGAIN` when
/// its memory map is in use, `ESRCH` when the memory is gone already.
pub fn release_memory(process: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: integers only.
    done(unsafe { libc::syscall(libc::SYS_process_mrelease, process.as_raw_fd(), 0) })
}

/// Has the kernel kill the process that a command starts when the thread that starts it ends, with its process or alone.
/// What that process starts is not concerned, nor is a program that changes its user (`prctl(2)`, `PR_SET_PDEATHSIG`).
pub fn die_with_parent(command: &mut tokio::process::Command) {
    let parent = std::process::id();
    let tie = move || {
        // SAFETY: integers only; both calls may be made between fork and exec.
        let is_tied = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
                // The parent may have ended before it was asked for.
                && u32::try_from(libc::getppid()) == Ok(parent)
        };
        if is_tied { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(tie) };
}

/// Kills the process group whose leader is a child of this process that has not been waited for: its id cannot be another's.
pub fn kill_group(leader: u32) {
    // 0 would be the caller's own group.
    let Some(group) = libc::pid_t::try_from(leader).ok().filter(|group| *group > 1) else { return };
    // SAFETY: integers only.
    unsafe { libc::killpg(group, libc::SIGKILL) };
}
