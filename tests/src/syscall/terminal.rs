//! A terminal that a test types at.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::FromRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::checked;

/// Both ends of a pseudo-terminal.
pub struct Terminal {
    keyboard: File,
    screen: File,
}

impl Terminal {
    /// Opens one.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn open() -> io::Result<Self> {
        let (mut keyboard, mut screen) = (-1, -1);
        let nothing = std::ptr::null_mut();
        // SAFETY: the kernel writes two descriptors, to which the pointers are valid; the others may be null.
        checked(i64::from(unsafe {
            libc::openpty(&raw mut keyboard, &raw mut screen, nothing, nothing.cast(), nothing.cast())
        }))?;
        // SAFETY: both descriptors have just been opened, and nobody else knows them.
        Ok(unsafe { Self { keyboard: File::from_raw_fd(keyboard), screen: File::from_raw_fd(screen) } })
    }

    /// Has a command start as the leader of a session that this terminal controls.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn control(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(self.screen.try_clone()?);
        // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor locks.
        unsafe {
            command.pre_exec(|| {
                checked(i64::from(libc::setsid()))?;
                checked(i64::from(libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0))).map(drop)
            })
        };
        Ok(())
    }

    /// Types Ctrl-C.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn interrupt(&self) -> io::Result<()> {
        (&self.keyboard).write_all(b"\x03")
    }
}
