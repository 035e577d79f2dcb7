//! `memwatch daemon` as a service, and where nobody hears it or everybody forks.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::daemon::{NEEDS, POOL, Stage, children, policy, pool};
use super::load::status_kib;
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::tracer::eventually;

pub(super) const CASES: &[Case] = &[
    Case::new("service::nobody_reads_what_it_says", NEEDS, unread),
    Case::alone("service::others_fork_without_end", NEEDS, beside_a_burst),
    Case::alone(
        "service::systemd_knows_how_it_is",
        &[Need::Root, Need::Tracing, Need::Systemd],
        under_systemd,
    ),
];

const MIB: u64 = 1 << 20;

/// More than a pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// A pipe that is full from the start: the pool is kept below its bound all the same.
fn unread() -> anyhow::Result<()> {
    let pool = pool(8 * MIB, 200 * MIB, &[])?;
    let root = pool.pid();
    let (reader, mut writer) = std::io::pipe().context("make a pipe")?;
    writer.write_all(&[b'\n'; PIPE_BYTES]).context("fill the pipe")?;
    let scratch = Scratch::new()?;
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, policy("enforce", root, POOL)).context("write the policy")?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["daemon", "--output", "json", "--config"]).arg(&config).stdin(Stdio::null());
    command.arg("--socket").arg(scratch.path().join("run/daemon.sock"));
    let mut daemon = Running::start_with(&mut command, Stdio::from(writer))?;
    daemon.wait_for_error_line("processes known", PATIENCE)?;
    for _ in 0..4 {
        let before = children(root);
        eventually(PATIENCE, "a worker is asked to leave", || !before.is_subset(&children(root)))?;
    }
    daemon.signal(libc::SIGTERM)?;
    ensure!(daemon.wait(PATIENCE)?.success(), "{}", daemon.errors());
    drop(reader);
    Ok(())
}

/// Processes that come and go by the thousand hide no worker and cost the daemon no memory for good.
fn beside_a_burst() -> anyhow::Result<()> {
    let pool = pool(8 * MIB, 200 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("enforce", root, POOL), &[])?;
    let mut bomb = Command::new(locate::trigger()?);
    let mut bomb = Running::start(bomb.args(["burst", "--count", "10000"]).stdin(Stdio::null()))?;
    for _ in 0..4 {
        let closing = stage.wait_for("closing", |_| true)?;
        ensure!(!closing.is("memwatch.closing.ending", "failed"), "{closing:?}");
    }
    ensure!(bomb.wait(PATIENCE)?.success(), "{}", bomb.errors());
    let peak = stage.peak_kib()?;
    ensure!(peak <= 64 << 10, "the daemon took {peak} KiB");
    stage.end().map(drop)
}

/// What systemd says of a unit.
fn property(unit: &str, name: &str) -> String {
    let output = Command::new("systemctl").args(["show", "--value", "--property", name, unit]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// A transient unit; reset and stopped on drop.
struct Service(&'static str);

impl Drop for Service {
    fn drop(&mut self) {
        for order in ["stop", "reset-failed"] {
            // One that has ended is gone already.
            let _ = Command::new("systemctl").args([order, self.0]).output();
        }
    }
}

fn under_systemd() -> anyhow::Result<()> {
    const UNIT: &str = "memwatch-test-daemon.service";
    let scratch = Scratch::new()?;
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"observe\"\n").context("write the policy")?;
    let memwatch = locate::memwatch()?;
    let service = Service(UNIT);
    let mut run = Command::new("systemd-run");
    run.args(["--quiet", "--unit", UNIT, "--service-type=notify"]);
    run.args(["--property=WatchdogSec=20s", "--property=WatchdogSignal=SIGKILL"]);
    run.arg(&memwatch).args(["daemon", "--config"]).arg(&config);
    run.arg("--socket").arg(scratch.path().join("run/daemon.sock"));
    // It returns when the daemon has said that it is ready.
    let started = run.output().context("run systemd-run")?;
    ensure!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    ensure!(property(UNIT, "ActiveState") == "active", "it is {}", property(UNIT, "ActiveState"));
    eventually(PATIENCE, "a status in words", || property(UNIT, "StatusText").contains("processes"))?;
    let pid: u32 = property(UNIT, "MainPID").parse().context("its process")?;
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).context("its score")?;
    ensure!(score.trim().parse::<i32>()? < 0, "its oom_score_adj is {score}");
    ensure!(status_kib(pid, "VmLck:")? > 0, "it has locked no memory");
    // One that hangs is noticed by the watchdog, which a living one keeps quiet.
    std::thread::sleep(std::time::Duration::from_secs(25));
    ensure!(property(UNIT, "ActiveState") == "active", "the watchdog ended one that lives");
    crate::syscall::process::signal(pid, libc::SIGSTOP).context("stop the daemon")?;
    eventually(PATIENCE, "the watchdog ends it", || property(UNIT, "Result") == "watchdog")?;
    eventually(PATIENCE, "it is gone", || !Path::new(&format!("/proc/{pid}")).exists())?;
    drop(service);
    Ok(())
}
