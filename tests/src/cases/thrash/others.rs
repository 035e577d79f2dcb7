//! Who speaks first when the host begins to thrash: memwatch, before earlyoom and systemd-oomd would do anything.
//!
//! All three run at once with the settings they come with, and act on nothing. In a slice that systemd-oomd guards two services
//! read files over and over while a third takes memory, slowly, until hardly any is available on the host and the slice is held
//! at `MemoryHigh=`. What each writes goes to a file that is looked at often.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::need;
use crate::program;
use crate::scratch::Scratch;

const MIB: u64 = 1 << 20;
/// What the readers read.
const FILE: u64 = 256 * MIB;
const READERS: u64 = 2;
/// Taken in a step, and the time between two.
const STEP: u64 = 4 * MIB;
const STEP_MS: u64 = 200;
/// How long the others are waited for: systemd-oomd looks at pressure for half a minute.
const ALL: Duration = Duration::from_secs(600);

const SLICE: &str = "memwatchthrash.slice";
/// Where units stand that end with the machine.
const UNITS: &str = "/run/systemd/system";

/// One who might speak.
struct Voice {
    name: &'static str,
    /// Its output.
    file: PathBuf,
    /// What stands in the line that counts.
    says: &'static str,
    heard: Option<Duration>,
}

impl Voice {
    fn new(scratch: &Scratch, name: &'static str, says: &'static str) -> Self {
        Self { name, file: scratch.path().join(name), says, heard: None }
    }

    /// Starts its program, with errors told where its lines are.
    fn start(&self, command: &[&str]) -> anyhow::Result<Running> {
        let output = File::create(&self.file).context("make a file for the output")?;
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&1", "sh"]).args(command).stdin(Stdio::null());
        Running::start_with(&mut shell, output.into())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.file).unwrap_or_default()).into_owned()
    }

    fn listen(&mut self, begun: Instant) {
        if self.heard.is_none() && self.text().contains(self.says) {
            self.heard = Some(begun.elapsed());
        }
    }
}

/// Units of the test's own, and systemd-oomd, which would say what it would do. Both end on drop.
struct Units {
    running: Vec<String>,
}

impl Units {
    /// Memory of the slice beyond `high` is taken back again at once.
    fn new(guard: &Voice, high: u64) -> anyhow::Result<Self> {
        let units = Self { running: vec!["systemd-oomd.service".to_owned()] };
        let oomd = program::root().context("no root file system")?.join("lib/systemd/systemd-oomd");
        let folder = Path::new(UNITS).join("systemd-oomd.service.d");
        std::fs::create_dir_all(&folder).context("make the folder of a drop-in")?;
        let drop_in = format!(
            "[Service]\nExecStart=\nExecStart={} --dry-run\nEnvironment=SYSTEMD_LOG_TARGET=console\nStandardError=file:{}\n",
            oomd.display(),
            guard.file.display()
        );
        std::fs::write(folder.join("memwatch.conf"), drop_in).context("write a drop-in")?;
        let slice = format!("[Slice]\nManagedOOMMemoryPressure=kill\nMemoryHigh={high}\n");
        std::fs::write(Path::new(UNITS).join(SLICE), slice).context("write a slice")?;
        run("systemctl", &["daemon-reload"])?;
        run("systemctl", &["start", "systemd-oomd.service"])?;
        Ok(units)
    }

    fn start(&mut self, slice: &str, name: &str, command: &[&str]) -> anyhow::Result<()> {
        let unit = format!("memwatch-thrash-{name}.service");
        let slice = format!("--slice={slice}");
        run("systemd-run", &[&["--quiet", "--collect", &slice, "--unit", &unit][..], command].concat())?;
        self.running.push(unit);
        Ok(())
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        for unit in &self.running {
            // One that has ended is gone already.
            let _ = run("systemctl", &["kill", "--signal=KILL", unit]);
            let _ = run("systemctl", &["stop", unit]);
        }
        let _ = std::fs::remove_dir_all(Path::new(UNITS).join("systemd-oomd.service.d"));
        let _ = std::fs::remove_file(Path::new(UNITS).join(SLICE));
        let _ = run("systemctl", &["daemon-reload"]);
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// `MemTotal` and `MemAvailable`.
fn memory() -> anyhow::Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    };
    bytes("MemTotal:").zip(bytes("MemAvailable:")).context("no memory in /proc/meminfo")
}

pub(super) fn speak_later() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"observe\"\n[found_pools]\nenabled = false\n")
        .context("write a policy")?;
    let mut first = Voice::new(&scratch, "memwatch", "thrashes");
    let mut others = [
        Voice::new(&scratch, "earlyoom", "low memory!"),
        Voice::new(&scratch, "systemd-oomd", "Would have tried to kill"),
    ];
    let (memwatch, trigger) = (locate::memwatch()?, locate::trigger()?);
    let (memwatch, trigger) = (memwatch.to_string_lossy(), trigger.to_string_lossy());
    let mut units = Units::new(&others[1], READERS * FILE)?;
    let earlyoom = program::root().context("no root file system")?.join("usr/bin/earlyoom");
    let _earlyoom = others[0].start(&[&earlyoom.to_string_lossy(), "--dryrun", "-r", "0"])?;
    let socket = scratch.path().join("run/daemon.sock");
    let (config, socket) = (config.to_string_lossy(), socket.to_string_lossy());
    let daemon = ["daemon", "--output", "text", "--config", &config, "--socket", &socket];
    let mut daemon = first.start(&[&[memwatch.as_ref()], &daemon[..]].concat())?;
    crate::tracer::eventually(PATIENCE, "memwatch is at work", || first.text().contains("processes known"))?;

    let (total, available) = memory()?;
    // The files fit beside what stays free at the end: a sixteenth, which is less than earlyoom bears.
    let rest = available.saturating_sub(READERS * FILE + total / 16).to_string();
    let hold = ["pool", "--workers", "1", "--step", &rest, "--most", &rest];
    units.start("system.slice", "rest", &[&[trigger.as_ref()], &hold[..]].concat())?;
    for reader in 0..READERS {
        let file = std::env::current_exe()?.with_file_name(format!("memwatch-read-{reader}"));
        let (file, bytes) = (file.to_string_lossy(), FILE.to_string());
        let options = ["hold", "--file", &file, "--bytes", &bytes, "--unlink", "--again"];
        units.start(SLICE, &format!("reader-{reader}"), &[&[trigger.as_ref()], &options[..]].concat())?;
    }
    let held = need::unified().context("no unified hierarchy")?.join(SLICE).join("memory.current");
    crate::tracer::eventually(3 * PATIENCE, "the files are in memory", || {
        let text = std::fs::read_to_string(&held).unwrap_or_default();
        text.trim().parse::<u64>().is_ok_and(|held| held >= READERS * FILE / 10 * 8)
    })?;
    let (step, most, every) = (STEP.to_string(), (2 * READERS * FILE).to_string(), STEP_MS.to_string());
    let grow = ["pool", "--workers", "1", "--step", &step, "--most", &most, "--every-ms", &every];
    units.start(SLICE, "grower", &[&[trigger.as_ref()], &grow[..]].concat())?;

    let begun = Instant::now();
    while begun.elapsed() < ALL && others.iter().any(|other| other.heard.is_none()) {
        for voice in others.iter_mut().chain([&mut first]) {
            voice.listen(begun);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(units);
    daemon.signal(libc::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let when = |voice: &Voice| match voice.heard {
        Some(heard) => format!("{} after {:.1} s", voice.name, heard.as_secs_f64()),
        None => format!("{} never: {}", voice.name, voice.text()),
    };
    let all: Vec<String> = [&first].into_iter().chain(&others).map(when).collect();
    if let Some(folder) = std::env::var_os("MEMWATCH_OUT") {
        let told = Path::new(&folder).join("thrash.txt");
        std::fs::write(told, all.join("\n")).context("keep what was heard")?;
    }
    let heard = first.heard.with_context(|| all.join("\n"))?;
    for other in &others {
        ensure!(other.heard.is_some_and(|other| heard < other), "{}", all.join("\n"));
    }
    Ok(())
}
