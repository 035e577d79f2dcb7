//! Processes: fork, wait, names, signals.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::checked;
use super::limit::{self, Limit};

/// Which side of a fork is running.
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(i32),
}

/// Makes a child by `fork(2)`.
///
/// The callers are single-threaded programs of the tests; a child runs ordinary code and ends by [`exit_now`].
///
/// # Errors
/// The kernel's errno.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the caller has one thread, so that no lock is held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(Forked::Parent(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a child with a chosen process id by `clone3(2)`: the id must be free.
///
/// # Errors
/// The kernel's errno: `EEXIST` when the id is taken, `EPERM` without `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN`.
pub fn fork_as(pid: i32) -> io::Result<Forked> {
    let ids = [pid];
    fork_with(&libc::clone_args { set_tid: ids.as_ptr() as u64, set_tid_size: 1, ..PLAIN_FORK })
}

/// Makes a child inside a group of the unified hierarchy, whose folder is open, by `clone3(2)`.
///
/// # Errors
/// The kernel's errno.
pub fn fork_into(group: &File) -> io::Result<Forked> {
    let cgroup = u64::try_from(group.as_raw_fd()).map_err(io::Error::other)?;
    fork_with(&libc::clone_args { flags: CLONE_INTO_CGROUP, cgroup, ..PLAIN_FORK })
}

/// `CLONE_INTO_CGROUP` (include/uapi/linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// What `fork(2)` asks for.
const PLAIN_FORK: libc::clone_args = libc::clone_args {
    flags: 0,
    pidfd: 0,
    child_tid: 0,
    parent_tid: 0,
    exit_signal: libc::SIGCHLD as u64,
    stack: 0,
    stack_size: 0,
    tls: 0,
    set_tid: 0,
    set_tid_size: 0,
    cgroup: 0,
};

fn fork_with(request: &libc::clone_args) -> io::Result<Forked> {
    let request: *const libc::clone_args = request;
    // SAFETY: without CLONE_VM this is a fork; the caller has one thread, and the arguments outlive the call.
    match unsafe { libc::syscall(libc::SYS_clone3, request, size_of::<libc::clone_args>()) } {
        0 => Ok(Forked::Child),
        child if child > 0 => Ok(Forked::Parent(child as i32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a child, or a thread that was [`seize`]d, and returns its wait status.
///
/// # Errors
/// The kernel's errno.
pub fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int, to which the pointer is valid.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } >= 0 {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Becomes the tracer of a thread of a child: it is not gone at its end before it was waited for.
///
/// # Errors
/// The kernel's errno.
pub fn seize(tid: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers only; nothing stops the thread.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, 0) }).map(drop)
}

/// Minor page faults of the children that were waited for, and theirs, by the kernel's count.
///
/// # Errors
/// The kernel's errno.
pub fn faults_of_children() -> io::Result<u64> {
    // SAFETY: numbers only, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `rusage`, to which the pointer is valid.
    checked(i64::from(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) }))?;
    Ok(u64::try_from(usage.ru_minflt).unwrap_or(0))
}

/// Reaps one ended child, any, without waiting.
#[must_use]
pub fn reap_any() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the kernel writes one int, to which the pointer is valid.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Ends the process at once, without destructors.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ending the process needs no invariant of it.
    unsafe { libc::_exit(code) }
}

/// The exit code that passes a wait status on as a shell does: 128 + signal for a death by signal.
#[must_use]
pub fn code_of(status: i32) -> ExitCode {
    let code =
        if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Sets the calling thread's name to any bytes, of which the kernel keeps 15.
///
/// # Errors
/// The kernel's errno.
pub fn set_name(name: &[u8]) -> io::Result<()> {
    let mut buffer = [0u8; 16];
    for (to, from) in buffer.iter_mut().take(15).zip(name) {
        *to = *from;
    }
    // SAFETY: the kernel reads at most 16 bytes of a buffer that holds 16.
    checked(i64::from(unsafe { libc::prctl(libc::PR_SET_NAME, buffer.as_ptr()) })).map(drop)
}

/// Sends a signal to a child of the caller, or to the caller itself.
///
/// # Errors
/// The kernel's errno.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: a signal to a process that the caller started and has not reaped: the id cannot be another's.
    checked(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// What a process does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It ends with status 0.
    Leave,
    /// It has a handler, which does nothing.
    Nothing,
}

/// Chooses what the caller does about a signal.
///
/// # Errors
/// The kernel's errno.
pub fn hear(signal: i32, hearing: Hearing) -> io::Result<()> {
    extern "C" fn leave(_: libc::c_int) {
        exit_now(0);
    }
    extern "C" fn stay(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = match hearing {
        Hearing::Leave => leave,
        Hearing::Nothing => stay,
    };
    // SAFETY: the handlers make one system call at most, which may be made in a handler.
    match unsafe { libc::signal(signal, handler as libc::sighandler_t) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has an interrupt end the caller and what it starts, as ever: a shell ignores it for what runs in its background.
///
/// # Errors
/// The kernel's errno.
pub fn heed_interrupts() -> io::Result<()> {
    // SAFETY: the default, which runs no code of the caller's.
    match unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has the kernel kill the caller when its parent ends.
///
/// # Errors
/// The kernel's errno.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: sets a number in the caller's own task.
    checked(i64::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })).map(drop)
}

/// Ends the calling thread, and its process only with the last one.
pub fn end_thread() -> ! {
    // SAFETY: the thread holds nothing that others wait for, and runs no more.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    exit_now(1)
}

/// Has the caller ended by a signal after this time.
pub fn end_after(time: std::time::Duration) {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    // SAFETY: integers only; nobody handles the signal.
    unsafe { libc::alarm(seconds) };
}

/// Has a command start with this number of descriptors as its soft and its hard limit.
pub fn limit_descriptors(command: &mut Command, number: u64) {
    let limit = Limit { soft: number, hard: number };
    // SAFETY: between fork and exec the closure makes one system call and neither allocates nor locks.
    unsafe { command.pre_exec(move || limit::set(limit::NOFILE, limit)) };
}

/// Has a command start in the control group of a folder: not moved there when it runs already, which nobody is told of.
///
/// # Errors
/// The group cannot be opened.
pub fn start_in_group(command: &mut Command, folder: &Path) -> io::Result<()> {
    let members = File::options().write(true).open(folder.join("cgroup.procs"))?;
    // SAFETY: between fork and exec the closure makes one system call and neither allocates nor locks.
    unsafe { command.pre_exec(move || (&members).write_all(b"0")) };
    Ok(())
}

/// Has a command start with a signal ignored.
pub fn ignore(command: &mut Command, signal: i32) {
    // SAFETY: between fork and exec the closure makes one system call and neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            if libc::signal(signal, libc::SIG_IGN) == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    };
}

/// Has a command start without these capabilities, whoever runs it: they leave its bounding set.
pub fn withhold_capabilities(command: &mut Command, numbers: &'static [u32]) {
    // SAFETY: between fork and exec the closure makes system calls and neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            numbers.iter().try_for_each(|number| {
                checked(i64::from(libc::prctl(libc::PR_CAPBSET_DROP, *number, 0, 0, 0))).map(drop)
            })
        })
    };
}

/// Has a command find these folders empty. One that there is not is hidden already.
pub fn hide(command: &mut Command, folders: &'static [&'static CStr]) {
    let mount = |kind: Option<&CStr>, target: &CStr, flags| {
        let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: every pointer is null or a zero-ended string that outlives the call.
        checked(i64::from(unsafe { libc::mount(kind, target.as_ptr(), kind, flags, std::ptr::null()) }))
    };
    // SAFETY: between fork and exec the closure makes system calls and neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            checked(i64::from(libc::unshare(libc::CLONE_NEWNS)))?;
            // Without this, the mounts would propagate to the host.
            mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE)?;
            folders.iter().try_for_each(|folder| match mount(Some(c"tmpfs"), folder, 0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(_) | Err(_) => Ok(()),
            })
        })
    };
}

/// Gives up the caller's user id for another, for good.
///
/// # Errors
/// The kernel's errno.
pub fn become_user(uid: u32) -> io::Result<()> {
    // SAFETY: changes numbers in the caller's own credentials.
    checked(i64::from(unsafe { libc::setresuid(uid, uid, uid) })).map(drop)
}
