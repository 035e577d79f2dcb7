//! The tools that decide, and how each is told not to act.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    archive::{Suite, machine_suite},
    bench::{Bench, daemon},
    process, report, rootfs, workspace,
};

/// Memory from which on a tool is to act.
pub(super) struct Bound {
    /// All memory of the host.
    pub(super) total: u64,
    /// Available memory at or below which it acts.
    pub(super) available: u64,
    /// Or resident memory of one process.
    pub(super) of_process: u64,
    /// Whose children are processes that may be chosen.
    pub(super) parent: u32,
}

/// How a tool is started with a bound.
type Start = dyn Fn(&Bound) -> Result<Command>;

/// A tool, ready to be started.
pub(super) struct Tool {
    pub(super) name: String,
    /// Rounds it takes part in.
    pub(super) rounds: usize,
    /// How long a decision is waited for.
    pub(super) patience: Duration,
    /// Whether its bound is that of a process.
    pub(super) is_of_process: bool,
    /// What stands in the line that tells of a decision.
    told: &'static str,
    command: Box<Start>,
    load: PathBuf,
}

/// How a tool is made ready.
pub(super) struct Row {
    pub(super) prepare: fn(&Bench) -> Result<Tool>,
}

/// All tools, memwatch first.
pub(super) const TOOLS: [Row; 4] = [
    Row { prepare: memwatch },
    Row { prepare: earlyoom },
    Row { prepare: systemd_oomd },
    Row { prepare: psutil_loop },
];

const PATIENCE: Duration = Duration::from_secs(10);
/// The loop of the incident slept for half of a time-out of 90 s.
const LOOP_SECONDS: u64 = 45;
const LOOP_ROUNDS: usize = 3;
const LOOP: &str = include_str!("psutil_loop.py");

fn memwatch(bench: &Bench) -> Result<Tool> {
    let memwatch = bench.memwatch.clone();
    let version = process::output(Command::new(&memwatch).arg("--version"))?;
    Ok(Tool {
        name: version.trim().to_owned(),
        rounds: usize::MAX,
        patience: PATIENCE,
        is_of_process: false,
        told: "memwatch.decision",
        command: Box::new(move |bound| {
            let upper = (bound.total - bound.available) >> 10;
            let policy = format!(
                "mode = \"observe\"\n[growth]\nenabled = false\n[[scope]]\nname = \"host\"\nany_process = true\n\
                 lower = \"{}KiB\"\nupper = \"{upper}KiB\"\n",
                upper - 1
            );
            daemon::command(&memwatch, &policy)
        }),
        load: bench.load.clone(),
    })
}

fn earlyoom(bench: &Bench) -> Result<Tool> {
    let unpacked = Unpacked::ensure("earlyoom")?;
    Ok(Tool {
        name: format!("earlyoom {}", unpacked.version),
        rounds: usize::MAX,
        patience: PATIENCE,
        is_of_process: false,
        told: "low memory!",
        command: Box::new(move |bound| {
            let mut command = unpacked.program("usr/bin/earlyoom")?;
            // The size at which it asks and the one at which it kills; swap is no reason to wait.
            let sizes = format!("{},{}", bound.available >> 10, bound.available >> 11);
            command.args(["--dryrun", "-r", "0", "-s", "100,100", "-M", &sizes]);
            Ok(command)
        }),
        load: bench.load.clone(),
    })
}

fn systemd_oomd(bench: &Bench) -> Result<Tool> {
    let unpacked = Unpacked::ensure("systemd-oomd")?;
    Ok(Tool {
        name: format!("systemd-oomd {}", unpacked.version),
        rounds: usize::MAX,
        patience: PATIENCE,
        is_of_process: false,
        told: "Would have tried to kill",
        command: Box::new(move |_| {
            let mut command = unpacked.program("lib/systemd/systemd-oomd")?;
            command.arg("--dry-run");
            Ok(command)
        }),
        load: bench.load.clone(),
    })
}

fn psutil_loop(bench: &Bench) -> Result<Tool> {
    let unpacked = Unpacked::ensure("python3-psutil")?;
    Ok(Tool {
        name: format!("psutil {}, every {LOOP_SECONDS} s", unpacked.version),
        rounds: LOOP_ROUNDS,
        patience: Duration::from_secs(2 * LOOP_SECONDS),
        is_of_process: true,
        told: "would be sent SIGTERM",
        command: Box::new(move |bound| {
            let mut command = unpacked.program("usr/bin/python3.11")?;
            command.env("PYTHONHOME", unpacked.root.join("usr")).args(["-c", LOOP]);
            command.args([bound.of_process, LOOP_SECONDS, u64::from(bound.parent)].map(|it| it.to_string()));
            Ok(command)
        }),
        load: bench.load.clone(),
    })
}

/// Has errors told where decisions are.
const AS_ONE: &str = "exec \"$@\" 2>&1";

/// A tool at work, and the clock at its lines; both killed when dropped.
pub(super) struct Watching {
    tool: Child,
    clock: Child,
    told: &'static str,
    lines: Receiver<String>,
}

impl Watching {
    /// Starts a tool.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(tool: &Tool, bound: &Bound) -> Result<Self> {
        let asked = (tool.command)(bound)?;
        let mut command = Command::new("sh");
        command.args(["-c", AS_ONE, "sh"]).arg(asked.get_program()).args(asked.get_args());
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", tool.name))?;
        let mut clock = Command::new(&tool.load)
            .arg("told")
            .stdin(child.stdout.take().context("a tool has no output")?)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start memwatch-load")?;
        let told = BufReader::new(clock.stdout.take().context("memwatch-load has no output")?).lines();
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Until nobody waits for one any more.
            for line in told.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { tool: child, clock, told: tool.told, lines })
    }

    /// The boot clock when it told of its first decision, or why there was none.
    pub(super) fn told(&self, patience: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + patience;
        let mut last = String::from("it ended");
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let (time, line) = line.split_once(' ').unwrap_or_default();
                    if line.contains(self.told)
                        && let Ok(time) = time.parse()
                    {
                        return Ok(time);
                    }
                    last = line.trim().to_owned();
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("no decision within {} s", patience.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(last),
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for child in [&mut self.tool, &mut self.clock] {
            // One that has ended by itself is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A package of the distribution's with all it needs, unpacked below the target folder and not installed.
struct Unpacked {
    root: PathBuf,
    version: String,
}

impl Unpacked {
    /// Fetches it when it is missing.
    ///
    /// # Errors
    /// The package cannot be had.
    fn ensure(name: &str) -> Result<Self> {
        let root = workspace::target()?.join("peers").join(name);
        let suite = Suite::open(&rootfs::guest_dir()?, &machine_suite()?)?;
        let packages = suite.resolve(&[name])?;
        let version =
            packages.iter().find(|package| package.name == name).map(|package| package.version.clone());
        if !root.is_dir() {
            report::step(&format!("fetching the distribution's {name} into {}", root.display()));
            suite.unpack(&packages, &root)?;
        }
        Ok(Self { root, version: version.with_context(|| format!("apt names no version of {name}"))? })
    }

    /// A program of it by its own dynamic linker and libraries.
    fn program(&self, path: &str) -> Result<Command> {
        let linkers = ["lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"];
        let linker = linkers.map(|linker| self.root.join(linker)).into_iter().find(|linker| linker.exists());
        let linker = linker.with_context(|| {
            format!("the packages brought no dynamic linker: remove {} and try again", self.root.display())
        })?;
        let folders = [
            "lib/x86_64-linux-gnu",
            "usr/lib/x86_64-linux-gnu",
            "lib/systemd",
            "usr/lib/systemd",
            "usr/lib/x86_64-linux-gnu/systemd",
        ];
        let folders = std::env::join_paths(folders.map(|folder| self.root.join(folder)))?;
        let mut command = Command::new(linker);
        command.arg("--library-path").arg(folders).arg(self.root.join(Path::new(path)));
        Ok(command)
    }
}
