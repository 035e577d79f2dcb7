//! A cgroup that reads more than it may keep, again and again: the daemon tells while everything still answers.

mod others;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::scratch::Scratch;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "thrash::of_a_cgroup_is_told",
        &[Need::Root, Need::Tracing, Need::InitialPids, Need::Memory],
        told,
    ),
    Case::alone(
        "thrash::is_told_before_others_would_act",
        &[
            Need::Root,
            Need::Tracing,
            Need::Systemd,
            Need::UnifiedMemory,
            Need::Pressure,
            Need::Program("usr/bin/earlyoom"),
            Need::Program("lib/systemd/systemd-oomd"),
        ],
        others::speak_later,
    ),
];

const MIB: u64 = 1 << 20;
/// What the cgroup may keep, and what it reads.
const LIMIT: u64 = 32 * MIB;
const READ: u64 = 96 * MIB;

fn told() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let group = Group::with_memory("thrash")?;
    group.limit_memory(LIMIT)?;
    let name = group.path().file_name().context("a group has a name")?.to_string_lossy().into_owned();
    let config = scratch.path().join("policy.toml");
    let policy = format!(
        "mode = \"observe\"\n[[scope]]\nname = \"index\"\ncgroup = \"/{name}\"\nmemory = \"32MiB\"\n\
         [thrash]\nrefaults = 50\nstalled = \"1%\"\nwindow = \"2s\"\n"
    );
    std::fs::write(&config, policy).context("write the policy")?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["daemon", "--output", "json", "--config"]).arg(&config).stdin(Stdio::null());
    let mut daemon = Running::start(&mut command)?;
    daemon.wait_for_error_line("processes known", PATIENCE)?;
    // Temporary files may be in memory; the test itself is on a disk.
    let disk = std::env::current_exe().context("find the folder of the test")?;
    let file = disk.with_file_name(format!("memwatch-thrash-{}", std::process::id()));
    let mut command = Command::new("sh");
    command.args(["-c", "echo 0 > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"]).arg(group.path());
    command.arg(locate::trigger()?).arg("hold").arg("--file").arg(&file);
    command.args(["--bytes", &READ.to_string(), "--unlink", "--again"]).stdin(Stdio::null());
    let reader = Running::start(&mut command)?;
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let text = daemon.next_line(deadline.saturating_duration_since(Instant::now()));
        let line = Line::parse(&text.context("nothing is told of thrash")?)?;
        if line.is("memwatch.warning.kind", "thrashing") {
            break line;
        }
    };
    let text = told.text("memwatch.warning.text")?;
    ensure!(text.contains("scope index thrashes"), "{told}");
    told.expect(&[("memwatch.thrash.scope", "index".into())])?;
    let (refaults, faults) =
        (told.number("memwatch.thrash.refaults")?, told.number("memwatch.thrash.major_faults")?);
    ensure!(text.contains(&format!("{refaults} pages a second")) && faults > 0, "{told}");
    ensure!(std::path::Path::new(&format!("/proc/{}", reader.pid())).exists(), "the reader is gone");
    Ok(())
}
