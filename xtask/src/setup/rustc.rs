//! What a compiler says about itself: the LLVM it was built with decides which linker fits.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::process;

/// The part of `rustc -vV` that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) llvm_major: u32,
    /// The machine the compiler runs on, and builds for unless told otherwise.
    pub(crate) host: String,
}

/// Asks a compiler for its version.
///
/// # Errors
/// It cannot run (libraries missing), or says nothing of LLVM.
pub(crate) fn version(rustc: &Path, libraries: Option<&Path>) -> Result<Version> {
    let mut command = Command::new(rustc);
    command.arg("-vV");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let text = process::output(&mut command)?;
    parse(&text).with_context(|| format!("{} names no LLVM version and host in: {text}", rustc.display()))
}

/// Reads the output of `rustc -vV`.
pub(crate) fn parse(text: &str) -> Option<Version> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let llvm_major = value("LLVM version:")?.split('.').next()?.parse().ok()?;
    Some(Version { llvm_major, host: value("host:")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        let text = "rustc 1.96.0 (ac68faa20 2026-06-01)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                    release: 1.96.0\nLLVM version: 22.1.8\n";
        let expected = Version { llvm_major: 22, host: "x86_64-unknown-linux-gnu".to_owned() };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("rustc 1.96.0\nhost: x\n"), None);
    }
}
