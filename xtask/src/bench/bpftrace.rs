//! The distribution's bpftrace, counting the same hooks per process: the tool memwatch is compared with.
//!
//! It is unpacked below the target folder and not installed. It needs tracefs, which is mounted for it alone, in a mount
//! namespace of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::tracer;
use crate::{
    archive::{Suite, machine_suite},
    process, report, rootfs, workspace,
};

/// Counts the hooks of memwatch's default set per process.
pub(super) const HOOKS: &str = include_str!("bpftrace/hooks.bt");

/// Programs that do nothing, on the same system calls: no tool that attaches there costs less.
pub(super) const FLOOR: &str = include_str!("bpftrace/floor.bt");

/// What a script prints over and over once it runs.
const RUNNING: &str = "running";

/// The probes are attached one after the other, the one that prints not always last.
const SETTLE: Duration = Duration::from_millis(300);

/// Mounts what bpftrace looks for, and becomes it.
const IN_NAMESPACE: &str = "mount -t tracefs tracefs /sys/kernel/tracing; \
     mount -t debugfs debugfs /sys/kernel/debug && mount -t tracefs tracefs /sys/kernel/debug/tracing; exec \"$@\"";

/// How bpftrace is started.
pub(super) struct Bpftrace {
    command: Vec<PathBuf>,
    version: String,
}

/// A bpftrace that counts; killed when dropped.
pub(super) struct Counting(Child);

impl Bpftrace {
    /// The one that is installed, or the distribution's, fetched when it is missing.
    ///
    /// # Errors
    /// The package cannot be had.
    pub(super) fn ensure() -> Result<Self> {
        let command = match process::find("bpftrace") {
            Some(installed) => vec![installed],
            None => with_its_libraries(&unpacked()?)?,
        };
        let mut bpftrace = Self { command, version: String::new() };
        bpftrace.version = process::output(bpftrace.program()?.arg("--version"))?.trim().to_owned();
        Ok(bpftrace)
    }

    /// Its name and version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Starts it with a script and waits until that runs.
    ///
    /// # Errors
    /// It ends instead; its own message is part of the error.
    pub(super) fn start(&self, script: &str) -> Result<Counting> {
        let mut child = Command::new("unshare")
            .args(["--mount", "sh", "-c", IN_NAMESPACE, "sh"])
            .args(&self.command)
            .args(["-e", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start bpftrace in a mount namespace: is util-linux installed?")?;
        let output = child.stdout.take().context("bpftrace has no output")?;
        let mut counting = Counting(child);
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        while line.trim() != RUNNING {
            line.clear();
            if lines.read_line(&mut line).context("cannot read what bpftrace prints")? == 0 {
                let mut message = String::new();
                if let Some(complaints) = &mut counting.0.stderr {
                    complaints.read_to_string(&mut message).context("cannot read bpftrace's message")?;
                }
                bail!("bpftrace ended before it counted: {}", message.trim_end());
            }
        }
        // Nobody else may let the pipe run full.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        thread::sleep(SETTLE);
        Ok(counting)
    }

    fn program(&self) -> Result<Command> {
        let (program, arguments) = self.command.split_first().context("bpftrace has no path")?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

impl Counting {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn end(mut self) -> Result<()> {
        tracer::interrupt(&self.0)?;
        self.0.wait().map(drop).context("cannot wait for bpftrace")
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // After `end` there is nothing left to kill, which is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder the package and all it needs are unpacked in.
fn unpacked() -> Result<PathBuf> {
    let root = workspace::target()?.join("bpftrace");
    if !root.is_dir() {
        report::step(&format!("fetching the distribution's bpftrace into {}", root.display()));
        let suite = Suite::open(&rootfs::guest_dir()?, &machine_suite()?)?;
        suite.unpack(&suite.resolve(&["bpftrace"])?, &root)?;
    }
    Ok(root)
}

/// The unpacked program by its own dynamic linker and libraries, so that the machine's need not fit.
fn with_its_libraries(root: &Path) -> Result<Vec<PathBuf>> {
    let linker = root.join("lib64/ld-linux-x86-64.so.2");
    let linker = if linker.exists() { linker } else { root.join("usr/lib64/ld-linux-x86-64.so.2") };
    if !linker.exists() {
        bail!("the packages of bpftrace brought no dynamic linker: remove {} and try again", root.display());
    }
    let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/llvm-14/lib"];
    let libraries = std::env::join_paths(libraries.map(|part| root.join(part)))?;
    Ok(vec![linker, "--library-path".into(), libraries.into(), root.join("usr/bin/bpftrace")])
}
