//! Builds the release binary: one static file with the kernel side embedded.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{Task, process, report, setup, static_file, workspace};

pub(crate) const TASK: Task = Task {
    name: "build",
    about: "Build the release binary, one static file (sets up what is missing)",
    arguments: |command| command,
    run: |_| {
        let binary = release()?;
        let bytes = binary.metadata().with_context(|| format!("cannot look at {}", binary.display()))?.len();
        report::step(&format!("{}: {bytes} bytes, static", binary.display()));
        Ok(())
    },
};

/// Sets up what is missing, builds the release binary and gives its path.
///
/// # Errors
/// The build failed, or its result is not static.
pub(crate) fn release() -> Result<PathBuf> {
    setup::ensure()?;
    static_program("memwatch", "memwatch")
}

/// Builds one program of a package as a static file and gives its path; the toolchain must be set up.
///
/// # Errors
/// The build failed, or its result is not static.
pub(crate) fn static_program(package: &str, name: &str) -> Result<PathBuf> {
    let host = host()?;
    // An explicit target keeps the flags from the build scripts and macros, which cannot be static.
    process::run(
        process::cargo()
            .args(["build", "--release", "--locked", "--package", package, "--bin", name, "--target", &host])
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", static_flags()),
    )?;
    let binary = workspace::target()?.join(&host).join("release").join(name);
    static_file::check(&binary)?;
    Ok(binary)
}

/// The user's own flags, and a C library linked in.
fn static_flags() -> String {
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    format!("{own} -Ctarget-feature=+crt-static").trim_start().to_owned()
}

/// The machine that builds, which is the one memwatch runs on.
fn host() -> Result<String> {
    let text = process::output(Command::new("rustc").arg("-vV").current_dir(workspace::root()))?;
    let version = setup::rustc::parse(&text)
        .context("rustc -vV names no host: is rustup's stable toolchain set up?")?;
    Ok(version.host)
}
