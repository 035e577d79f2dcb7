//! Whether the kernel still holds a BPF program, map or link, by its id.

use std::io;

/// Something the kernel numbers; the value is the `bpf(2)` command that opens it by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Object {
    /// `BPF_PROG_GET_FD_BY_ID`.
    Program = 13,
    /// `BPF_MAP_GET_FD_BY_ID`.
    Map = 14,
    /// `BPF_LINK_GET_FD_BY_ID`.
    Link = 30,
}

/// Whether an object of this id exists. Ids grow, so that a freed one is not given again soon.
///
/// # Errors
/// The kernel's errno, `ENOENT` apart.
pub fn exists(object: Object, id: u32) -> io::Result<bool> {
    // The first field of union bpf_attr for these commands is the id; the rest is zero.
    let mut attributes = [0u32; 32];
    if let Some(first) = attributes.first_mut() {
        *first = id;
    }
    // SAFETY: the kernel reads at most the size passed, which is the array's.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, object as u32, attributes.as_ptr(), size_of_val(&attributes)) };
    if fd >= 0 {
        // SAFETY: the descriptor was just returned to us and nobody else knows it.
        unsafe { libc::close(fd as i32) };
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(false) } else { Err(error) }
}
