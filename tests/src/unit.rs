//! A transient unit of systemd's, as an administrator would start a program with `LimitNOFILE=`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};

use crate::child::PATIENCE;
use crate::scratch::Scratch;
use crate::tracer::eventually;

/// A unit, stopped on drop. It waits for the order to start its program, so that a tracer can be there first.
pub struct Unit {
    name: String,
    scratch: Scratch,
}

impl Unit {
    /// Starts a unit in which a shell waits to run the script.
    ///
    /// # Errors
    /// systemd refuses.
    pub fn waiting(name: &str, descriptors: u64, script: &str) -> anyhow::Result<Self> {
        Self::with(name, descriptors, script, &[])
    }

    /// The same with a loopback network of its own: a second one of a program may have the first one's ports.
    ///
    /// # Errors
    /// systemd refuses.
    pub fn apart(name: &str, descriptors: u64, script: &str) -> anyhow::Result<Self> {
        Self::with(name, descriptors, script, &["PrivateNetwork=yes"])
    }

    /// The same, started again by systemd whenever it ends.
    ///
    /// # Errors
    /// systemd refuses.
    pub fn returning(name: &str, descriptors: u64, script: &str) -> anyhow::Result<Self> {
        let always = ["Restart=always", "RestartSec=100ms", "StartLimitIntervalSec=0"];
        Self::with(name, descriptors, script, &always)
    }

    fn with(name: &str, descriptors: u64, script: &str, more: &[&str]) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let go = scratch.path().join("go");
        let script = format!("until [ -e {} ]; do sleep 0.1; done; {script}", go.display());
        let name = format!("memwatch-test-{name}.service");
        let mut run = Command::new("systemd-run");
        run.args(["--quiet", "--collect", "--unit", &name, "--service-type=exec"]);
        let descriptors = format!("LimitNOFILE={descriptors}");
        for property in [&descriptors, "OOMPolicy=continue", "SendSIGKILL=yes"].iter().chain(more) {
            run.args(["--property", property]);
        }
        output(run.args(["/bin/sh", "-c", &script]))?;
        Ok(Self { name, scratch })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of its group below the root of the unified hierarchy.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("/system.slice/{}", self.name)
    }

    /// Has it run its script.
    ///
    /// # Errors
    /// The file it waits for cannot be made.
    pub fn go(&self) -> anyhow::Result<()> {
        std::fs::write(self.scratch.path().join("go"), "").context("tell the unit to start")
    }

    /// Its processes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup{}", self.cgroup()));
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The most that one of its processes has resident.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.most(1)
    }

    /// The most address space that one of its processes has.
    #[must_use]
    pub fn mapped(&self) -> u64 {
        self.most(0)
    }

    /// The largest figure of this column of `/proc/PID/statm` among its processes, in bytes.
    fn most(&self, column: usize) -> u64 {
        let pages = |pid: u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            text.split(' ').nth(column)?.parse::<u64>().ok()
        };
        self.pids().into_iter().filter_map(pages).max().unwrap_or(0) * crate::syscall::memory::PAGE
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // A unit whose program has ended is gone already. Some programs take a polite signal for another order.
        let kill = ["kill", "--signal=KILL", self.name.as_str()];
        let _ = Command::new("systemctl").args(kill).output();
        let folder = format!("/sys/fs/cgroup{}", self.cgroup());
        let _ = eventually(PATIENCE, "the unit is gone", || {
            let _ = Command::new("systemctl").args(["stop", self.name.as_str()]).output();
            !Path::new(&folder).exists()
        });
    }
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.output().with_context(|| format!("run {:?}", command.get_program()))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
