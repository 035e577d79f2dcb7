//! Groups of the unified hierarchy, or of the memory controller, that belong to a test.

use std::os::unix::fs::MetadataExt as _;
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
        Self::below(&need::unified().context("no unified hierarchy")?, name)
    }

    /// Makes a group below the root of the hierarchy that has the memory controller.
    ///
    /// # Errors
    /// There is no such hierarchy, or it cannot be made.
    pub fn with_memory(name: &str) -> anyhow::Result<Self> {
        Self::below(&need::memory_hierarchy().context("no hierarchy has the memory controller")?, name)
    }

    fn below(root: &Path, name: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
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

    /// Its id, as the kernel knows it.
    ///
    /// # Errors
    /// Its folder is gone.
    pub fn id(&self) -> anyhow::Result<u64> {
        let folder = std::fs::metadata(&self.path);
        Ok(folder.with_context(|| format!("look at the group {}", self.path.display()))?.ino())
    }

    /// Bounds the memory of its processes and of those below.
    ///
    /// # Errors
    /// The kernel refuses, or the group is of a hierarchy without the memory controller.
    pub fn limit_memory(&self, bytes: u64) -> anyhow::Result<()> {
        let first = self.path.join("memory.limit_in_bytes");
        let file = if first.exists() { first } else { self.path.join("memory.max") };
        set(&file, &bytes.to_string())
    }

    /// Has the kernel slow its processes down that hold more memory together; nobody is killed for it.
    ///
    /// # Errors
    /// The kernel refuses, or the group is of a hierarchy without the memory controller, or of the first version.
    pub fn slow_memory(&self, bytes: u64) -> anyhow::Result<()> {
        set(&self.path.join("memory.high"), &bytes.to_string())
    }

    /// Kills its processes, which are all the test's own, until there are none.
    pub fn kill(&self) {
        // It removes itself on drop, which fails when somebody is left.
        let _ = eventually(Duration::from_secs(10), "the group is empty", || {
            let members = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
            let pids: Vec<u32> = members.lines().filter_map(|line| line.parse().ok()).collect();
            for pid in &pids {
                drop(crate::syscall::process::signal(*pid, libc::SIGKILL));
            }
            pids.is_empty()
        });
    }

    /// Has groups below it count memory of their own, which is always so in the first version of the controller.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hand_down_memory(&self) -> anyhow::Result<()> {
        let file = self.path.join("cgroup.subtree_control");
        if file.exists() { set(&file, "+memory") } else { Ok(()) }
    }

    /// Has the kernel kill all its processes when it kills one for lack of memory.
    ///
    /// # Errors
    /// The kernel refuses, or the hierarchy is of the first version.
    pub fn kill_as_one(&self) -> anyhow::Result<()> {
        set(&self.path.join("memory.oom.group"), "1")
    }

    /// Moves a process of the test's own into it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take(&self, pid: u32) -> anyhow::Result<()> {
        set(&self.path.join("cgroup.procs"), &pid.to_string())
    }
}

fn set(file: &Path, value: &str) -> anyhow::Result<()> {
    std::fs::write(file, value).with_context(|| format!("write {value} to {}", file.display()))
}

impl Drop for Group {
    fn drop(&mut self) {
        // An ended process leaves its group a moment after it was waited for.
        let _ = eventually(Duration::from_secs(5), "the group is empty", || {
            std::fs::remove_dir(&self.path).is_ok()
        });
    }
}
