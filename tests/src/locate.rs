//! Finds the programs under test: by environment, beside this one, or where the workspace builds them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// The tracer: `MEMWATCH_BIN`, or the build output that this test lies in.
///
/// # Errors
/// It is nowhere; the message names the remedy.
pub fn memwatch() -> anyhow::Result<PathBuf> {
    find("MEMWATCH_BIN", "memwatch")
}

/// The trigger: `MEMWATCH_TRIGGER`, or the build output that this test lies in.
///
/// # Errors
/// It is nowhere; the message names the remedy.
pub fn trigger() -> anyhow::Result<PathBuf> {
    find("MEMWATCH_TRIGGER", "memwatch-trigger")
}

fn find(variable: &str, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from) {
        return path.canonicalize().with_context(|| format!("find {} of {variable}", path.display()));
    }
    // A test binary lies in target/<profile>/deps, the programs one folder up; in a guest all lie in one folder.
    let own = std::env::current_exe().context("find this program")?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    match beside {
        Some(path) => Ok(path),
        None => bail!("no {name} beside {}: build it or set {variable}", own.display()),
    }
}
