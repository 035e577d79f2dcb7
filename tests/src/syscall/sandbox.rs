//! A program's private surroundings: its own mounts, process ids and loopback network, inside another root.

use std::ffi::CString;
use std::io;
use std::path::Path;

use super::checked;

/// Gives the caller mounts and a network of its own, and its next child process ids of their own.
///
/// # Errors
/// The kernel's errno.
pub fn unshare() -> io::Result<()> {
    // SAFETY: the caller has one thread; only its own view of the system changes.
    checked(i64::from(unsafe {
        libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET)
    }))?;
    // Without this, mounts made here would propagate to the host.
    mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Gives the caller's next child process ids of its own.
///
/// # Errors
/// The kernel's errno.
pub fn unshare_pids() -> io::Result<()> {
    // SAFETY: only what the caller's children see of the system changes.
    checked(i64::from(unsafe { libc::unshare(libc::CLONE_NEWPID) })).map(drop)
}

/// Gives the caller mounts of its own.
///
/// # Errors
/// The kernel's errno.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: the caller has one thread; only its own view of the system changes.
    checked(i64::from(unsafe { libc::unshare(libc::CLONE_NEWNS) }))?;
    // Without this, mounts made here would propagate to the host.
    mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Mounts `source` (or a file system of type `kind`) at `target`.
///
/// # Errors
/// The kernel's errno.
pub fn mount(source: Option<&Path>, target: &Path, kind: Option<&str>, flags: u64) -> io::Result<()> {
    let source = source.map(path).transpose()?;
    let target = path(target)?;
    let kind = kind.map(CString::new).transpose()?;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: every pointer is null or a zero-ended string that outlives the call.
    checked(i64::from(unsafe {
        libc::mount(pointer(&source), target.as_ptr(), pointer(&kind), flags, std::ptr::null())
    }))
    .map(drop)
}

/// Makes `root` the caller's root directory and enters it.
///
/// # Errors
/// The kernel's errno.
pub fn enter(root: &Path) -> io::Result<()> {
    let root = path(root)?;
    // SAFETY: a zero-ended string that outlives the calls; the caller resolves no path relative to the old root after.
    unsafe {
        checked(i64::from(libc::chroot(root.as_ptr())))?;
        checked(i64::from(libc::chdir(c"/".as_ptr()))).map(drop)
    }
}

/// Brings the loopback interface of the caller's network up.
///
/// # Errors
/// The kernel's errno.
pub fn raise_loopback() -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid; the kernel reads and writes one, to which the pointer is valid.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        let socket =
            checked(i64::from(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)))?;
        let raised =
            checked(i64::from(libc::ioctl(socket as i32, libc::SIOCSIFFLAGS as _, &raw mut request)));
        libc::close(socket as i32);
        raised.map(drop)
    }
}

fn path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
