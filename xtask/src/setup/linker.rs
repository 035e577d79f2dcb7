//! Installs bpf-linker below the target folder, built for the LLVM of the compiler it serves.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, report};

/// The release that is installed.
const VERSION: &str = "0.13.0";

/// The LLVM versions that release can be built for: its features are named after them.
pub(crate) const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// Gives the path of a bpf-linker for `llvm_major`, installing it first when it is not there.
///
/// # Errors
/// No release for that LLVM, or the installation failed.
pub(crate) fn installed(dir: &Path, libraries: &Path, llvm_major: u32) -> Result<PathBuf> {
    if !LLVM_MAJORS.contains(&llvm_major) {
        bail!(
            "the compiler is built with LLVM {llvm_major}, bpf-linker {VERSION} knows {LLVM_MAJORS:?}: \
             raise bpf-linker's version in xtask/src/setup/linker.rs"
        );
    }
    // The LLVM is part of the name: after an upgrade of the compiler the old linker must not be taken.
    let root = dir.join(format!("bpf-linker-{VERSION}-llvm-{llvm_major}"));
    let program = root.join("bin/bpf-linker");
    let answers =
        process::output(Command::new(&program).arg("--version").env("LD_LIBRARY_PATH", libraries)).is_ok();
    if !answers {
        install(&root, libraries, llvm_major)?;
    }
    Ok(program)
}

fn install(root: &Path, libraries: &Path, llvm_major: u32) -> Result<()> {
    report::step(&format!(
        "installing bpf-linker {VERSION} for LLVM {llvm_major} in {} (it links the kernel side; about a minute)",
        root.display()
    ));
    let llvm = llvm_prefix(root, libraries, llvm_major)?;
    let build = root.join("build");
    // Where it comes to is no place that a person needs on PATH, which cargo would ask for.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(root.join("bin")).chain(std::env::split_paths(&paths));
    let paths = std::env::join_paths(paths).context("PATH cannot be extended")?;
    let feature = format!("llvm-{llvm_major}");
    process::run(
        process::cargo()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--no-track"])
            .args(["--no-default-features", "--features", &feature, "--root"])
            .arg(root)
            .env("LLVM_PREFIX", &llvm)
            .env("PATH", &paths)
            .env("CARGO_TARGET_DIR", &build)
            .env("LD_LIBRARY_PATH", libraries)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )
    .context("cannot install bpf-linker: is crates.io reachable?")?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

/// Makes a folder that looks like an LLVM installation to bpf-linker's build: all it needs is the library.
fn llvm_prefix(root: &Path, libraries: &Path, llvm_major: u32) -> Result<PathBuf> {
    let prefix = root.join("llvm");
    let lib = prefix.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    let library = shared_library(libraries, llvm_major)?;
    let link = lib.join("libLLVM.so");
    let _absent = fs::remove_file(&link);
    symlink(&library, &link)
        .with_context(|| format!("cannot link {} to {}", link.display(), library.display()))?;
    Ok(prefix)
}

/// Finds `libLLVM.so.<major>.<minor>`.
fn shared_library(libraries: &Path, llvm_major: u32) -> Result<PathBuf> {
    let wanted = format!("libLLVM.so.{llvm_major}.");
    let entries = fs::read_dir(libraries).with_context(|| format!("cannot list {}", libraries.display()))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&wanted))
        .map(|entry| entry.path())
        .with_context(|| {
            format!("no {wanted}* in {}: remove that folder and set up again", libraries.display())
        })
}
