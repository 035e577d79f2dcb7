//! Whether a program is static: an ELF file that names no interpreter needs no shared library.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

/// The program header that names the dynamic linker (`PT_INTERP`, elf.h).
const INTERPRETER: u32 = 3;

/// Refuses a program that needs shared libraries.
///
/// # Errors
/// The file cannot be read, is no 64-bit little-endian ELF file, or is not static.
pub(crate) fn check(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    match names_interpreter(&bytes) {
        Some(false) => Ok(()),
        Some(true) => bail!("{} is not static: it names a dynamic linker", program.display()),
        None => bail!("{} is no 64-bit little-endian ELF file", program.display()),
    }
}

/// Walks the program headers; `None` for what is no ELF file of this machine's kind.
fn names_interpreter(elf: &[u8]) -> Option<bool> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let offset = usize::try_from(u64::from_le_bytes(field(elf, 32)?)).ok()?;
    let size = usize::from(u16::from_le_bytes(field(elf, 54)?));
    let count = usize::from(u16::from_le_bytes(field(elf, 56)?));
    let mut found = false;
    for index in 0..count {
        let kind = u32::from_le_bytes(field(elf, offset.checked_add(index.checked_mul(size)?)?)?);
        found |= kind == INTERPRETER;
    }
    Some(found)
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header followed by program headers of these kinds.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(u16::try_from(kinds.len()).unwrap()).to_le_bytes());
        for kind in kinds {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn an_interpreter_is_seen() {
        assert_eq!(names_interpreter(&elf(&[1, 2, 1])), Some(false));
        assert_eq!(names_interpreter(&elf(&[6, 3, 1])), Some(true));
    }

    #[test]
    fn what_is_no_elf_file_is_none() {
        assert_eq!(names_interpreter(b"#!/bin/sh\n"), None);
        assert_eq!(names_interpreter(&elf(&[1])[..66]), None);
    }
}
