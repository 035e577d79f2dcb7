//! Cargo tools: the one on `PATH`, or a pinned release built below the target folder.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{process, report, workspace};

/// A tool that comes as a package of crates.io.
pub(crate) struct Tool {
    /// Package and program.
    pub(crate) name: &'static str,
    /// The release that is installed where there is none.
    pub(crate) version: &'static str,
    /// What it does here, for whoever waits.
    pub(crate) purpose: &'static str,
}

impl Tool {
    /// Gives the program, installing it first when it is not there.
    ///
    /// # Errors
    /// It cannot be installed.
    pub(crate) fn installed(&self) -> Result<PathBuf> {
        let Self { name, version, purpose } = self;
        if let Some(present) = process::find(name) {
            return Ok(present);
        }
        let root = workspace::target()?.join("tools").join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if process::output(Command::new(&program).arg("--version")).is_err() {
            report::step(&format!(
                "installing {name} {version} in {} ({purpose}; some minutes)",
                root.display()
            ));
            let build = root.join("build");
            process::run(
                process::cargo()
                    .args(["install", name, "--version", version, "--locked", "--force", "--no-track"])
                    .args(["--no-default-features", "--root"])
                    .arg(&root)
                    .env("CARGO_TARGET_DIR", &build)
                    // Profiles of their own aim at a small fast program and take twice as long to build.
                    .env("CARGO_PROFILE_RELEASE_LTO", "false")
                    .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
            )
            .with_context(|| format!("cannot install {name}: is crates.io reachable?"))?;
            std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        }
        Ok(program)
    }
}
