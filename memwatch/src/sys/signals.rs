//! Signals through a descriptor, with where they come from, and handed down to a child as they were found.
//!
//! No handler is set: a signal that is ignored stays so in what this program executes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{is_ignored, owned};

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub signal: libc::c_int,
    /// Whether the kernel sent it, as it does for a terminal, and no process.
    pub by_kernel: bool,
}

/// Signals that are read instead of delivered.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    /// The mask as it was before.
    before: libc::sigset_t,
}

/// `struct signalfd_siginfo` (include/uapi/linux/signalfd.h): `ssi_signo` stands first, `ssi_code` third.
const RECORD: usize = 128;
const CODE: usize = 8;

impl Signals {
    /// Takes these signals from now on, in this thread and in those that it starts.
    ///
    /// # Errors
    /// What `sigprocmask(2)` or `signalfd(2)` says.
    pub fn listen(signals: &[libc::c_int]) -> io::Result<Self> {
        // SAFETY: integers only, and sets on the stack that are valid for the calls; all zeros is a valid set.
        unsafe {
            let mut mask: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut mask);
            for signal in signals {
                libc::sigaddset(&raw mut mask, *signal);
            }
            if libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, &raw mut before) != 0 {
                return Err(io::Error::last_os_error());
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let descriptor = owned(libc::signalfd(-1, &raw const mask, flags).into())?;
            Ok(Self { descriptor, before })
        }
    }

    /// The next one, if one has come.
    #[must_use]
    pub fn next(&self) -> Option<Told> {
        let mut record = [0; RECORD];
        rustix::io::read(&self.descriptor, &mut record).ok().filter(|read| *read == RECORD)?;
        let word = |at: usize| record.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
        Some(Told { signal: word(0)?, by_kernel: word(CODE)? == libc::SI_KERNEL })
    }

    /// Has a command start with the mask as it was before, and ignoring what this program was started ignoring.
    pub fn leave_as_found(&self, command: &mut tokio::process::Command) {
        let before = self.before;
        let ignores_pipe = PIPE_WAS_IGNORED.load(Ordering::Relaxed);
        let restore = move || {
            // SAFETY: the set is valid for the call; both calls may be made between fork and exec.
            let is_done = unsafe {
                libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) == 0
                    && (!ignores_pipe || libc::signal(libc::SIGPIPE, libc::SIG_IGN) != libc::SIG_ERR)
            };
            if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(restore) };
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Whether SIGPIPE was ignored when this program was started.
static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Rust's runtime ignores SIGPIPE before `main` and gives a child the default: what was before is known only here. By
/// hand, as the crates for this add a macro to one line.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn note() {
        PIPE_WAS_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    }
    note
};
