//! Loads and attaches a modify-return program, which aya does not offer.

use std::os::fd::OwnedFd;

use aya::Ebpf;

use super::code::Code;
use crate::sys;

/// A program that was attached by hand. It detaches when this goes.
pub(super) struct Attached {
    pub(super) program: OwnedFd,
    pub(super) link: OwnedFd,
}

/// Loads `program` from the object for the function with the BTF id `function`, and attaches it.
///
/// # Errors
/// When the object does not hold it, or the kernel refuses it: with the verifier's last lines.
pub(super) fn attach(object: &[u8], ebpf: &Ebpf, program: &str, function: u32) -> Result<Attached, String> {
    let code = Code::of(object, ebpf)?.program(program)?;
    let loaded = sys::load_tracing(program, &code, sys::Trampoline::ModifyReturn, function)?;
    let link = sys::attach_tracing(&loaded).map_err(|e| format!("attach: {e}"))?;
    Ok(Attached { program: loaded, link })
}
