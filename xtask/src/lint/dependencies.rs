//! Licences, sources, duplicates and known vulnerabilities of the dependencies, by cargo-deny.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{process, report, workspace};

/// The release that is installed where there is none.
const VERSION: &str = "0.20.2";

/// Checks the dependencies against deny.toml.
///
/// # Errors
/// A dependency is refused, or cargo-deny cannot be installed.
pub(super) fn check() -> Result<()> {
    let deny = installed()?;
    let checks: &[&str] = match process::output(&mut in_repository(&deny, &["fetch", "db"])) {
        Ok(_) => &["advisories", "bans", "licenses", "sources"],
        Err(error) => {
            let reason = format!("{error:#}");
            report::step(&format!(
                "known vulnerabilities are NOT checked, the advisory database cannot be fetched: {}",
                reason.lines().last().unwrap_or_default()
            ));
            &["bans", "licenses", "sources"]
        }
    };
    process::run(in_repository(&deny, &["check", "--hide-inclusion-graph"]).args(checks))
}

fn in_repository(deny: &PathBuf, args: &[&str]) -> Command {
    let mut command = Command::new(deny);
    command.args(["--locked", "--all-features"]).args(args).current_dir(workspace::root());
    command
}

/// The cargo-deny on `PATH`, or one below the target folder.
fn installed() -> Result<PathBuf> {
    if let Some(present) = process::find("cargo-deny") {
        return Ok(present);
    }
    let root = workspace::target()?.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if process::output(Command::new(&program).arg("--version")).is_err() {
        report::step(&format!(
            "installing cargo-deny {VERSION} in {} (it checks the dependencies; some minutes)",
            root.display()
        ));
        let build = root.join("build");
        process::run(
            process::cargo()
                .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--force", "--no-track"])
                .args(["--no-default-features", "--root"])
                .arg(&root)
                .env("CARGO_TARGET_DIR", &build)
                // Its own profile aims at a small fast program and takes twice as long to build.
                .env("CARGO_PROFILE_RELEASE_LTO", "false")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        )
        .context("cannot install cargo-deny: is crates.io reachable?")?;
        std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    Ok(program)
}
