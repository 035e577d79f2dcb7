//! Where things are: the repository and cargo's target folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{process, setup::record::target_dir};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir)
}

/// The tree's revision as git tells it in short, with `-dirty` where files differ from it; none where git does not tell.
pub(crate) fn revision() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude", "*"]).current_dir(root());
    process::output(&mut git).ok().map(|revision| revision.trim().to_owned())
}

/// Cargo's target folder: the one this program was built in, so that `CARGO_TARGET_DIR` counts.
///
/// # Errors
/// The program has been taken out of its target folder.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    target_dir(&program)
        .map(Path::to_path_buf)
        .with_context(|| format!("no target folder above {}: run it as `cargo xtask`", program.display()))
}
