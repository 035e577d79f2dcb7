//! The record beside a root file system of what it was built from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::archive::Package;

/// Counts up with every change of the recipe that changes what comes out.
const FORMAT: u32 = 1;

/// What a root file system of these packages is built from.
pub(super) fn text(resolved: &[Package]) -> String {
    let packages = resolved.iter().map(|package| format!("{} {}\n", package.name, package.version));
    format!("format {FORMAT}\n{}", packages.collect::<String>())
}

/// Whether the root file system is there and was built from just this.
pub(super) fn is_current(dir: &Path, text: &str) -> bool {
    dir.is_dir() && read(dir).is_some_and(|present| present == text)
}

/// The record; `None` when there is none.
pub(super) fn read(dir: &Path) -> Option<String> {
    fs::read_to_string(path(dir)).ok()
}

/// Writes the record, after the build.
pub(super) fn write(dir: &Path, text: &str) -> Result<()> {
    let path = path(dir);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Drops the record, before the build: one that is cut short does not count.
pub(super) fn remove(dir: &Path) -> Result<()> {
    let path = path(dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.with_extension("stamp")
}
