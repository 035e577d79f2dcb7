//! System calls with exact arguments, as safe functions that return the kernel's errno.
//!
//! The standard library and the allocator add calls of their own and round lengths; a test that asserts exact
//! records makes its calls here.
#![expect(unsafe_code, reason = "every function here is one system call; its safety is argued at the call")]

pub mod bpf;
pub mod file;
pub mod limit;
pub mod memory;
pub mod process;
pub mod sandbox;
pub mod terminal;

use std::io;

/// Turns the C convention (-1 and errno) into a result.
fn checked(returned: i64) -> io::Result<u64> {
    u64::try_from(returned).map_err(|_| io::Error::last_os_error())
}
