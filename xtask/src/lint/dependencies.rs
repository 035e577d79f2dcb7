//! Licences, sources, duplicates and known vulnerabilities of the dependencies, by cargo-deny.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{process, report, tool::Tool, workspace};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", purpose: "it checks the dependencies" };

/// Checks the dependencies against deny.toml.
///
/// # Errors
/// A dependency is refused, or cargo-deny cannot be installed.
pub(super) fn check() -> Result<()> {
    let deny = DENY.installed()?;
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
