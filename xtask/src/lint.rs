//! Format, lints, documentation, manifests and dependencies: what a change must pass besides the tests.

use anyhow::{Result, bail};

use crate::{Task, manifests, process, report, setup};

mod dependencies;
mod kernel_side;

pub(crate) const TASK: Task = Task {
    name: "lint",
    about: "Check format, lints, rustdoc, manifests and dependencies; warnings are errors",
    arguments: |command| command,
    run: |_| every(),
};

/// A check: its name, and what it does.
struct Check {
    name: &'static str,
    run: fn() -> Result<()>,
}

/// Every check, the quick ones first.
const CHECKS: [Check; 6] = [
    Check {
        name: "format (to mend: cargo fmt --all)",
        run: || process::run(process::cargo().args(["fmt", "--all", "--check"])),
    },
    Check { name: "lints of the user side", run: user_side },
    Check { name: "lints of the kernel side", run: kernel_side::check },
    Check { name: "documentation", run: documentation },
    Check { name: "Kubernetes manifests (to mend: cargo xtask manifests)", run: manifests::check },
    Check { name: "dependencies", run: dependencies::check },
];

/// Runs every check, also after one has failed, so that one run shows all there is to mend.
fn every() -> Result<()> {
    setup::ensure()?;
    let mut failed = Vec::new();
    for check in &CHECKS {
        report::step(&format!("checking {}", check.name));
        if let Err(error) = (check.run)() {
            report::step(&format!("failed: {error:#}"));
            failed.push(check.name);
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} checks failed: {}", failed.len(), CHECKS.len(), failed.join(", "));
    }
    report::step(&format!("all {} checks passed", CHECKS.len()));
    Ok(())
}

fn user_side() -> Result<()> {
    process::run(process::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn documentation() -> Result<()> {
    process::run(
        process::cargo()
            .args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
