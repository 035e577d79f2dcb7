//! Fetches Debian's `rustc-web` and `rust-web-src` and unpacks them below the target folder.
//!
//! Debian keeps a recent compiler, its library source and its LLVM for building browsers; unpacked they work
//! from any folder. Nothing is installed on the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{choice::REMEDIES, linker::LLVM_MAJORS, rustc};
use crate::{process, report};

mod packages;

/// What must be there besides a compiler that runs: its library's source and its lints.
const PARTS: [&str; 2] = ["usr/lib/rustlib/src/rust/library/core", "usr/bin/cargo-clippy"];

/// Gives the folder the packages are unpacked in, fetching them first when it is not complete.
///
/// # Errors
/// Debian offers no fitting packages here, or they cannot be fetched or unpacked.
pub(crate) fn unpacked(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("root");
    if !is_complete(&root) {
        let packages = fitting_packages()?;
        let archives = dir.join("archives");
        download(&packages, &archives)?;
        unpack(&archives, &root)?;
        if !is_complete(&root) {
            bail!(
                "the compiler unpacked in {} does not run or lacks parts: remove {} and try again; \
                 or {REMEDIES}",
                root.display(),
                dir.display()
            );
        }
    }
    Ok(root)
}

/// The folder of shared libraries in an unpacked root.
///
/// # Errors
/// There is none with an LLVM in it.
pub(crate) fn library_dir(root: &Path) -> Result<PathBuf> {
    let lib = root.join("usr/lib");
    fs::read_dir(&lib)
        .with_context(|| format!("cannot list {}", lib.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .with_context(|| format!("no folder of shared libraries in {}", lib.display()))
}

/// Whether the compiler runs and all parts are there: asked of the thing itself, as a folder may have been moved,
/// cut short or emptied since.
fn is_complete(root: &Path) -> bool {
    PARTS.iter().all(|part| root.join(part).exists())
        && library_dir(root)
            .is_ok_and(|libraries| rustc::version(&root.join("usr/bin/rustc"), Some(&libraries)).is_ok())
}

/// The packages to fetch; refreshes apt's lists only when they offer none that fit.
fn fitting_packages() -> Result<Vec<String>> {
    if let Some(packages) = packages::listed()? {
        return Ok(packages);
    }
    report::step("apt-get update (apt's lists offer no recent rustc-web)");
    process::run(Command::new("apt-get").arg("update"))
        .context("cannot refresh apt's lists: run `apt-get update` as root, then try again")?;
    packages::listed()?.with_context(|| {
        format!(
            "Debian's archives set up on this machine have no rustc-web and rust-web-src with LLVM \
             {LLVM_MAJORS:?} (Debian 12 has them in its security archive); {REMEDIES}"
        )
    })
}

/// Downloads the packages; once more when that fails, as mirrors do drop connections.
fn download(packages: &[String], archives: &Path) -> Result<()> {
    report::step(&format!(
        "downloading {} (about 140 MB; compiler and library source for the kernel side) to {}",
        packages.join(" "),
        archives.display()
    ));
    fs::create_dir_all(archives).with_context(|| format!("cannot create {}", archives.display()))?;
    // `apt-get download` needs no root, takes no lock and checks the archive's hashes.
    let attempt = || {
        process::run(
            Command::new("apt-get")
                .args(["-o", "APT::Sandbox::User=root", "download"])
                .args(packages)
                .current_dir(archives),
        )
    };
    attempt()
        .or_else(|error| {
            report::step(&format!("downloading once more: {error:#}"));
            attempt()
        })
        .context("cannot download the packages: is Debian's archive reachable, are apt's lists fresh?")
}

/// Unpacks every archive into a fresh root, then drops the archives.
fn unpack(archives: &Path, root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    report::step(&format!("unpacking them in {} (nothing is installed on the machine)", root.display()));
    let entries = fs::read_dir(archives).with_context(|| format!("cannot list {}", archives.display()))?;
    for archive in entries.flatten().map(|entry| entry.path()) {
        if archive.extension().is_some_and(|extension| extension == "deb") {
            process::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(root))?;
        }
    }
    fs::remove_dir_all(archives).with_context(|| format!("cannot remove {}", archives.display()))
}
