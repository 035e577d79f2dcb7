//! Real programs, run from a root file system of their own.

use std::path::PathBuf;

/// The root file system that `MEMWATCH_ROOTFS` names, or the one that the workspace has built. A guest that is one
/// itself names `/`.
#[must_use]
pub fn root() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MEMWATCH_ROOTFS") {
        return Some(named.into());
    }
    let own = std::env::current_exe().ok()?;
    own.ancestors().map(|folder| folder.join("guest/rootfs/full")).find(|folder| folder.is_dir())
}

/// A database that receives metrics by OpenTelemetry's protocol: the program that `MEMWATCH_VICTORIA_METRICS` names.
#[must_use]
pub fn victoria_metrics() -> Option<PathBuf> {
    std::env::var_os("MEMWATCH_VICTORIA_METRICS").map(PathBuf::from).filter(|path| path.is_file())
}

/// Why a program cannot be run; `None` when it can.
#[must_use]
pub fn missing(path: &str) -> Option<String> {
    let Some(root) = root() else {
        return Some("no root file system of programs: `cargo xtask rootfs full` builds it, MEMWATCH_ROOTFS names another".to_owned());
    };
    (!root.join(path).exists()).then(|| format!("no /{path} in the root file system of programs"))
}
