//! A folder of a test's own, gone when the test is.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// A folder that is removed with everything in it on drop.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a new folder below the one for temporary files.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// Makes a new folder beside the test program: on a disk, where temporary files may be in memory.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn on_disk() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find the folder of the test")?;
        Self::below(own.parent().context("a program lies in a folder")?)
    }

    fn below(folder: &Path) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("memwatch-tests-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        // Triggers that gave up root write their reports here too.
        std::fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on the removal; a failed one leaves an empty name under the temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
