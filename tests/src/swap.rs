//! Gives a machine that belongs to the tests room to swap.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::scratch::Scratch;

/// A swap file, which is used no more and removed on drop.
pub struct Swap {
    scratch: Scratch,
}

impl Swap {
    /// Has the kernel swap to a file of this length, whole mebibytes.
    ///
    /// # Errors
    /// The file cannot be written, or the kernel does not take it.
    pub fn new(bytes: u64) -> anyhow::Result<Self> {
        // A file in memory cannot be one.
        let swap = Self { scratch: Scratch::on_disk()? };
        let path = swap.path();
        let mut file = File::create(&path).context("make the swap file")?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let piece = vec![0; 1 << 20];
        for _ in 0..bytes >> 20 {
            file.write_all(&piece).context("fill the swap file")?;
        }
        for program in ["mkswap", "swapon"] {
            let output = Command::new(program).arg(&path).stdin(Stdio::null()).output();
            let output = output.with_context(|| format!("run {program}"))?;
            ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(swap)
    }

    fn path(&self) -> std::path::PathBuf {
        self.scratch.path().join("swap")
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // One that was never used is refused, and goes all the same.
        let _ = Command::new("swapoff").arg(self.path()).output();
    }
}
