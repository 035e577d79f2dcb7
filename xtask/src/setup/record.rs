//! Where the target folder is, and what set-up left in it: `toolchain/env`, lines of `KEY=VALUE`.
//!
//! Set-up writes the record, `memwatch/build.rs` reads it; both compile this file, so that they agree on it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The toolchain that builds the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// A cargo of the same toolchain; without one, the cargo that asks is good enough.
    pub(crate) cargo: Option<PathBuf>,
    /// A compiler with the source of its library.
    pub(crate) rustc: PathBuf,
    /// Whether the compiler is a stable one, which offers `build-std` only when told to.
    pub(crate) bootstrap: bool,
    /// The linker that turns the compiler's bitcode into a BPF object.
    pub(crate) bpf_linker: PathBuf,
    /// A folder of shared libraries both of them need and the system does not have.
    pub(crate) libraries: Option<PathBuf>,
}

impl Toolchain {
    /// Reads back what [`Toolchain::to_text`] wrote; `None` when a needed line is missing.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.split_once('=').filter(|(k, _)| *k == key)).map(|(_, v)| v)
        };
        Some(Self {
            cargo: value("CARGO").map(PathBuf::from),
            rustc: value("RUSTC")?.into(),
            bootstrap: value("RUSTC_BOOTSTRAP") == Some("1"),
            bpf_linker: value("BPF_LINKER")?.into(),
            libraries: value("LD_LIBRARY_PATH").map(PathBuf::from),
        })
    }

    /// Reads the record below a target folder; `None` when there is none, or it names what is gone.
    ///
    /// # Errors
    /// The record exists and cannot be read.
    pub(crate) fn read(target: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(record_path(target)) {
            Ok(text) => Ok(Self::from_text(&text).filter(Self::is_in_place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether every path still exists: a target folder may have been moved, a rustup toolchain removed.
    fn is_in_place(&self) -> bool {
        [Some(&self.rustc), Some(&self.bpf_linker), self.cargo.as_ref(), self.libraries.as_ref()]
            .into_iter()
            .flatten()
            .all(|path| path.exists())
    }
}

/// The record's path.
pub(crate) fn record_path(target: &Path) -> PathBuf {
    target.join("toolchain/env")
}

/// The target folder that holds `inside`: cargo tags the one it makes, and with `--target` a folder in it as well; in one that
/// was there before it leaves what it knows of the compiler.
pub(crate) fn target_dir(inside: &Path) -> Option<&Path> {
    let is_tagged =
        |dir: &&Path| ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|name| dir.join(name).exists());
    let nearest = inside.ancestors().find(is_tagged)?;
    Some(nearest.parent().filter(is_tagged).unwrap_or(nearest))
}
