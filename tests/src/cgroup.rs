//! Groups of the unified hierarchy that belong to a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use crate::need;
use crate::tracer::eventually;

/// A group, removed on drop.
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes a group below the root of the hierarchy.
    ///
    /// # Errors
    /// There is no hierarchy, or it cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = need::unified().context("no unified hierarchy")?;
        Self::make(root.join(format!("memwatch-tests-{}-{number}-{name}", std::process::id())))
    }

    /// Makes a group below this one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn child(&self, name: &str) -> anyhow::Result<Self> {
        Self::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir(&path).with_context(|| format!("make the group {}", path.display()))?;
        Ok(Self { path })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process of the test's own into it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take(&self, pid: u32) -> anyhow::Result<()> {
        let file = self.path.join("cgroup.procs");
        std::fs::write(&file, pid.to_string()).with_context(|| format!("move {pid} to {}", file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // An ended process leaves its group a moment after it was waited for.
        let _ = eventually(Duration::from_secs(5), "the group is empty", || {
            std::fs::remove_dir(&self.path).is_ok()
        });
    }
}
