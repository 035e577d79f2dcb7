//! `memwatch daemon` on pools of the test's own: enforced in the process tree of the pool, and nowhere else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::tracer::eventually;
use crate::{locate, syscall};

pub(super) const NEEDS: &[Need] = &[Need::Root, Need::Tracing, Need::InitialPids];

const CGROUP_NEEDS: &[Need] = &[Need::Root, Need::Tracing, Need::InitialPids, Need::Unified];

pub(super) const CASES: &[Case] = &[
    Case::new("daemon::the_largest_worker_is_asked_to_leave", NEEDS, recycled),
    Case::new("daemon::observing_touches_nobody", NEEDS, observed),
    Case::new("daemon::who_does_not_leave_is_killed", NEEDS, deaf),
    Case::new("daemon::the_kernel_keeps_a_limit", NEEDS, limited),
    Case::new("daemon::a_pool_of_another_tree_is_left_alone", NEEDS, neighbour),
    Case::new("daemon::a_bad_configuration_changes_nothing", NEEDS, reloaded),
    Case::new("daemon::a_changed_file_is_read_again", NEEDS, changed),
    Case::new("daemon::an_emptied_configuration_changes_nothing", NEEDS, emptied),
    Case::new("daemon::a_full_disk_behind_its_errors", NEEDS, unheard),
    Case::new("daemon::a_recording_can_be_played", NEEDS, recorded),
    Case::new("daemon::a_recording_is_made_without_a_policy", NEEDS, taken_down),
    Case::new("daemon::a_recording_of_one_cgroup_has_no_other_process", CGROUP_NEEDS, taken_down_of_one),
    Case::new("daemon::a_recording_that_lacks_something_says_so", NEEDS, lacking),
    Case::new("daemon::an_orphan_stays_in_its_tree", NEEDS, orphaned),
    Case::new("daemon::a_worker_without_its_main_thread_is_one", NEEDS, headless),
    Case::new("daemon::a_hook_ends_with_the_daemon", NEEDS, hooked),
    Case::new("daemon::the_whole_host_has_to_be_spelled_out", NEEDS, unbounded),
];

const MIB: u64 = 1 << 20;

/// A pool, and a daemon with a policy for it.
pub(super) struct Stage<Pool = Running> {
    pool: Pool,
    daemon: Running,
    scratch: Scratch,
    lines: Vec<Line>,
}

/// Starts a pool of two workers.
pub(super) fn pool(step: u64, most: u64, more: &[&str]) -> anyhow::Result<Running> {
    let mut command = Command::new(locate::trigger()?);
    command.args(["pool", "--workers", "2", "--step", &step.to_string(), "--most", &most.to_string()]);
    Running::start(command.args(more).stdin(Stdio::null()))
}

/// A policy for the tree of a process; `rest` goes below it.
pub(super) fn policy(mode: &str, root: u32, rest: &str) -> String {
    format!(
        "mode = \"{mode}\"\nreturned_within = \"2s\"\n[[scope]]\nname = \"pool\"\ntree = {root}\n\
         memory = \"1GiB\"\nlower = \"20%\"\nupper = \"90%\"\n{rest}"
    )
}

/// The pool of the trigger.
pub(super) const POOL: &str = "[[pool]]\nname = \"trigger\"\nmatch = { exe = \"memwatch-trigger\" }\nsignal = \"SIGHUP\"\n\
                    deadline = \"1s\"\nmin_lifetime = \"1ms\"\nmin_alive = 1\nrounds = 100\n";

impl<Pool> Stage<Pool> {
    /// Starts a daemon with a policy and these arguments, and waits until it is at work.
    pub(super) fn new(pool: Pool, policy: &str, more: &[&str]) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let config = scratch.path().join("policy.toml");
        std::fs::write(&config, policy).context("write the policy")?;
        let mut command = Command::new(locate::memwatch()?);
        command.args(["daemon", "--output", "json", "--config"]).arg(&config).args(more).stdin(Stdio::null());
        // One that is killed leaves its socket behind, which is not to be the usual one.
        command.arg("--socket").arg(scratch.path().join("run/daemon.sock"));
        let mut daemon = Running::start(&mut command)?;
        daemon.wait_for_error_line("processes known", PATIENCE)?;
        Ok(Self { pool, daemon, scratch, lines: Vec::new() })
    }

    /// The next line of this name that fits.
    pub(super) fn wait_for(&mut self, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<Line> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let text = self.daemon.next_line(left).with_context(|| format!("waiting for {name}"))?;
            let line = Line::parse(&text)?;
            self.lines.push(line);
            if let Some(line) = self.lines.last().filter(|line| line.name() == name && fits(line)) {
                return Ok(Line::clone(line));
            }
        }
    }

    /// Whether it said this on the way to what was waited for last.
    pub(super) fn has_said(&self, text: &str) -> bool {
        self.daemon.has_said(text)
    }

    /// The daemon's process id.
    pub(super) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Ends it as nobody can prepare for.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.daemon.signal(libc::SIGKILL)?;
        self.daemon.wait(PATIENCE).map(drop)
    }

    /// Waits until it says so on standard error, once more than before.
    pub(super) fn wait_for_error_line(&mut self, text: &str) -> anyhow::Result<()> {
        self.daemon.wait_for_another_error_line(text, PATIENCE)
    }

    /// What it is about.
    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The most that the daemon had resident, in KiB.
    pub(super) fn peak_kib(&self) -> anyhow::Result<u64> {
        super::load::peak_kib(self.daemon.pid())
    }

    /// Puts another policy in force. The daemon has to tell of that: `-v`.
    pub(super) fn change(&mut self, policy: &str) -> anyhow::Result<()> {
        std::fs::write(self.scratch.path().join("policy.toml"), policy).context("write the policy")?;
        self.daemon.signal(libc::SIGHUP)?;
        self.daemon.wait_for_another_error_line("in force", PATIENCE)
    }

    /// What `memwatch explain` says for people.
    pub(super) fn explained(&self) -> anyhow::Result<String> {
        let mut command = Command::new(locate::memwatch()?);
        command.arg("explain").arg("--socket").arg(self.scratch.path().join("run/daemon.sock"));
        let output = command.stdin(Stdio::null()).output().context("run memwatch explain")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it; gives every line that it wrote.
    pub(super) fn end(mut self) -> anyhow::Result<Vec<Line>> {
        self.daemon.signal(libc::SIGTERM)?;
        for text in self.daemon.rest(PATIENCE)? {
            self.lines.push(Line::parse(&text)?);
        }
        let status = self.daemon.wait(PATIENCE)?;
        ensure!(status.success(), "the daemon ended with {status}: {}", self.daemon.errors());
        Ok(std::mem::take(&mut self.lines))
    }
}

fn is(key: &'static str, value: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.is(key, value)
}

/// Living children of a process.
pub(super) fn children(pid: u32) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn recycled() -> anyhow::Result<()> {
    let pool = pool(8 * MIB, 200 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("enforce", root, POOL), &[])?;
    let decision = stage.wait_for("decision", |_| true)?;
    ensure!(decision.is("memwatch.decision.rule", "host_bounds"), "{decision:?}");
    ensure!(decision.is("memwatch.decision.signal", "SIGHUP"), "{decision:?}");
    let chosen = decision.pid();
    let id = decision.number("memwatch.decision.id")?;
    let closing =
        stage.wait_for("closing", |line| line.number("memwatch.decision.id").is_ok_and(|it| it == id))?;
    ensure!(closing.pid() == chosen, "{closing:?}");
    ensure!(closing.is("memwatch.closing.was_killed", false), "{closing:?}");
    ensure!(Path::new(&format!("/proc/{root}")).exists(), "the master is gone");
    // The master starts another worker, and that goes in its turn.
    stage.wait_for("decision", |line| line.pid() != chosen)?;
    stage.end().map(drop)
}

fn observed() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("observe", root, POOL), &[])?;
    let decision = stage.wait_for("decision", |_| true)?;
    ensure!(decision.is("memwatch.decision.mode", "observe"), "{decision:?}");
    let closing = stage.wait_for("closing", |_| true)?;
    ensure!(closing.is("memwatch.closing.ending", "observed"), "{closing:?}");
    let workers = children(root);
    ensure!(workers.len() == 2, "{workers:?} live");
    ensure!(workers.contains(&u32::try_from(decision.pid())?), "the one that would be asked has ended");
    stage.end().map(drop)
}

fn deaf() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &["--deaf"])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("enforce", root, POOL), &[])?;
    let closing = stage.wait_for("closing", |_| true)?;
    ensure!(closing.is("memwatch.closing.was_killed", true), "{closing:?}");
    stage.end().map(drop)
}

fn limited() -> anyhow::Result<()> {
    const LIMIT: u64 = 96 * MIB;
    // The limit lies within the second step, which is taken at full speed.
    let pool = pool(64 * MIB, 512 * MIB, &["--every-ms", "300"])?;
    let root = pool.pid();
    let limit =
        "[[process_limit]]\nname = \"hog\"\nmatch = { exe = \"memwatch-trigger\" }\nlimit = \"96MiB\"\n";
    let mut stage = Stage::new(pool, &policy("enforce", root, limit), &[])?;
    // Those of before may be above the limit already.
    let first = children(root);
    let decision = stage.wait_for("decision", |line| {
        line.is("memwatch.decision.rule", "process_limit")
            && u32::try_from(line.pid()).is_ok_and(|pid| !first.contains(&pid))
    })?;
    let bytes = decision.number("memwatch.decision.bytes")?;
    ensure!((LIMIT..LIMIT + 2 * MIB).contains(&bytes), "{bytes} bytes when it was killed");
    let chosen = u32::try_from(decision.pid())?;
    eventually(PATIENCE, "the process ends", || !children(root).contains(&chosen))?;
    stage.end().map(drop)
}

fn neighbour() -> anyhow::Result<()> {
    let outside = pool(16 * MIB, 300 * MIB, &[])?;
    eventually(PATIENCE, "both workers run", || children(outside.pid()).len() == 2)?;
    let before = children(outside.pid());
    let inside = pool(16 * MIB, 300 * MIB, &[])?;
    let root = inside.pid();
    let mut stage = Stage::new(inside, &policy("enforce", root, POOL), &[])?;
    for _ in 0..3 {
        stage.wait_for("closing", |_| true)?;
    }
    ensure!(children(outside.pid()) == before, "a worker of another tree has ended");
    stage.end().map(drop)
}

fn reloaded() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("observe", root, POOL), &[])?;
    let config = stage.scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"enforce\"\nnonsense = 1\n").context("write the policy")?;
    stage.daemon.signal(libc::SIGHUP)?;
    stage.daemon.wait_for_error_line("the policy stays as it was", PATIENCE)?;
    let decision = stage.wait_for("decision", |_| true)?;
    ensure!(decision.is("memwatch.decision.mode", "observe"), "{decision:?}");
    std::fs::write(&config, policy("enforce", root, POOL)).context("write the policy")?;
    stage.daemon.signal(libc::SIGHUP)?;
    stage.wait_for("decision", is("memwatch.decision.mode", "enforce"))?;
    stage.end().map(drop)
}

/// Without a signal: the daemon looks at the file by itself, and keeps the old policy over a bad one.
fn changed() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("observe", root, POOL), &[])?;
    let config = stage.scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"enforce\"\n").context("write a bad policy")?;
    stage.daemon.wait_for_error_line("the policy stays as it was", PATIENCE)?;
    stage.wait_for("decision", is("memwatch.decision.mode", "observe"))?;
    // Replaced as a whole, as editors and configuration management do.
    let new = stage.scratch.path().join("new.toml");
    std::fs::write(&new, policy("enforce", root, POOL)).context("write the policy")?;
    std::fs::rename(&new, &config).context("replace the policy")?;
    stage.wait_for("decision", is("memwatch.decision.mode", "enforce"))?;
    stage.end().map(drop)
}

fn emptied() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 32 * MIB, &[])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("observe", root, POOL), &[])?;
    std::fs::write(stage.scratch.path().join("policy.toml"), "").context("empty the policy")?;
    stage.daemon.signal(libc::SIGHUP)?;
    stage.daemon.wait_for_error_line("the file is empty", PATIENCE)?;
    stage.end().map(drop)
}

/// `memwatch record`, until it is interrupted.
fn record(
    arguments: &[&OsStr],
    during: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(locate::memwatch()?);
    let mut recorder = Running::start(command.arg("record").args(arguments).stdin(Stdio::null()))?;
    recorder.wait_for_error_line("recording until", PATIENCE)?;
    during()?;
    recorder.signal(libc::SIGINT)?;
    let status = recorder.wait(PATIENCE)?;
    Ok((status.success(), recorder.errors()))
}

fn taken_down() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let path = scratch.path().join("inputs.jsonl");
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let (root, is_recorded) = (pool.pid(), || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let workers = children(pool.pid());
        // A look closer than RSS at a worker that has grown, of this pool: those of other tests are seen too.
        text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).any(|line| {
            let number = |path| line.pointer(path).and_then(serde_json::Value::as_u64);
            let tgid = number("/input/figures/key/tgid").and_then(|tgid| u32::try_from(tgid).ok());
            tgid.is_some_and(|tgid| workers.contains(&tgid))
                && number("/input/figures/figures/private") > Some(130 * MIB)
        })
    });
    let (is_done, errors) =
        record(&[path.as_os_str()], || eventually(PATIENCE, "a worker is looked at", is_recorded))?;
    ensure!(is_done && errors.contains("inputs in "), "{errors}");
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, policy("observe", root, POOL)).context("write the policy")?;
    let mut command = Command::new(locate::memwatch()?);
    let output = command.args(["replay", "--output", "json", "--config"]).arg(&config).arg(&path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout);
    ensure!(lines.contains("memwatch.decision"), "nothing was decided in the play");
    Ok(())
}

fn taken_down_of_one() -> anyhow::Result<()> {
    let group = Group::new("record")?;
    let (inside, outside) = (pool(MIB, 4 * MIB, &[])?, pool(MIB, 4 * MIB, &[])?);
    group.take(inside.pid())?;
    let name = group.path().file_name().context("the group has no name")?.to_string_lossy().into_owned();
    let scratch = Scratch::new()?;
    let path = scratch.path().join("inputs.jsonl");
    let cgroup = format!("/{name}");
    let arguments = [path.as_os_str(), OsStr::new("--cgroup"), OsStr::new(&cgroup)];
    let (is_done, errors) = record(&arguments, || {
        let has_looked = || std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"host\""));
        eventually(PATIENCE, "the host is looked at", has_looked)
    })?;
    ensure!(is_done, "{errors}");
    let text = std::fs::read_to_string(&path).context("read the recording")?;
    let has = |pid: u32| text.contains(&format!("\"tgid\":{pid},"));
    ensure!(!has(outside.pid()), "a process of another cgroup is recorded");
    ensure!(has(inside.pid()), "the process of the cgroup is not: {errors}");
    drop((inside, outside));
    Ok(())
}

fn lacking() -> anyhow::Result<()> {
    let (is_done, errors) = record(&[OsStr::new("/dev/full")], || Ok(()))?;
    ensure!(!is_done && errors.contains("missing from /dev/full: No space left on device"), "{errors}");
    Ok(())
}

/// Workers whose parent has ended belong to the tree that they were started in, also after a reload.
fn orphaned() -> anyhow::Result<()> {
    let mut pool = Command::new(locate::trigger()?);
    pool.args(["--on-stdin", "pool", "--workers", "2", "--orphaned"]);
    pool.args(["--step", &(16 * MIB).to_string(), "--most", &(160 * MIB).to_string()]);
    let mut pool = Running::start(pool.stdin(Stdio::piped()))?;
    let root = pool.pid();
    let mut input = pool.take_input().context("the pool has no input")?;
    let bounded = |lower| policy("enforce", root, "any_process = true\n").replace("lower = \"20%\"", lower);
    let mut stage = Stage::new(pool, &bounded("lower = \"85%\""), &[])?;
    // The forks happen before the daemon's eyes.
    input.write_all(b"x").context("start the workers")?;
    eventually(PATIENCE, "the workers are nobody's children", || {
        orphans(root).len() == 2 && children(root).iter().all(|pid| !is_alive(*pid))
    })?;
    std::fs::write(stage.scratch.path().join("policy.toml"), bounded("lower = \"20%\"")).context("write")?;
    stage.daemon.signal(libc::SIGHUP)?;
    let decision = stage.wait_for("decision", |_| true)?;
    ensure!(u32::try_from(decision.pid())? != root, "{decision:?}");
    let closing = stage.wait_for("closing", |_| true)?;
    ensure!(!closing.is("memwatch.closing.ending", "failed"), "{closing:?}");
    ensure!(!closing.is("memwatch.closing.ending", "gone"), "{closing:?}");
    let chosen = u32::try_from(closing.pid())?;
    eventually(PATIENCE, "the orphan ends", || !is_alive(chosen))?;
    let left = orphans(root);
    let lines = stage.end();
    for pid in left {
        drop(syscall::process::signal(pid, libc::SIGKILL));
    }
    lines.map(drop)
}

/// Processes that run the trigger in the group of `root` and are no children of it.
fn orphans(root: u32) -> Vec<u32> {
    let stat = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.to_owned();
        let parent: u32 = fields.next()?.parse().ok()?;
        let group: u32 = fields.next()?.parse().ok()?;
        Some((state, parent, group))
    };
    let Some((_, _, group)) = stat(root) else { return Vec::new() };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_orphan = |pid: &u32| {
        let runs_trigger = |pid: u32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("memwatch-trigger"))
        };
        runs_trigger(*pid) && stat(*pid).is_some_and(|(_, parent, of)| of == group && !runs_trigger(parent))
    };
    pids.filter(|pid| *pid > root).filter(is_orphan).collect()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn headless() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &["--headless"])?;
    let root = pool.pid();
    let mut stage = Stage::new(pool, &policy("enforce", root, POOL), &[])?;
    let closing = stage.wait_for("closing", |_| true)?;
    ensure!(closing.is("memwatch.closing.ending", "returned"), "{closing:?}");
    ensure!(closing.number("memwatch.closing.returned_bytes")? > 0, "{closing:?}");
    stage.end().map(drop)
}

fn hooked() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let root = pool.pid();
    let scratch = Scratch::new()?;
    let told = scratch.path().join("pid");
    let hook = format!(
        "{}before = [\"/bin/sh\", \"-c\", \"echo $$ > {}; exec sleep 300\"]\nhook_deadline = \"5min\"\n",
        POOL.replace("deadline = \"1s\"", "deadline = \"5min\""),
        told.display()
    );
    let mut stage = Stage::new(pool, &policy("enforce", root, &hook), &[])?;
    stage.wait_for("decision", |_| true)?;
    let hook = || std::fs::read_to_string(&told).ok()?.trim().parse::<u32>().ok();
    eventually(PATIENCE, "the hook runs", || hook().is_some_and(is_alive))?;
    stage.daemon.signal(libc::SIGKILL)?;
    eventually(PATIENCE, "the hook ends", || hook().is_some_and(|pid| !is_alive(pid)))
}

fn unbounded() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"enforce\"\n").context("write the policy")?;
    for subcommand in [&["check"][..], &["daemon", "--config"]] {
        let mut command = Command::new(locate::memwatch()?);
        let output = command.args(subcommand).arg(&config).stdin(Stdio::null()).output().context("run it")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && errors.contains("whole_host = true"), "{subcommand:?}: {errors}");
    }
    Ok(())
}

fn unheard() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let config = scratch.path().join("policy.toml");
    std::fs::write(&config, "mode = \"observe\"\n").context("write the policy")?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["daemon", "--duration", "1s", "--config"]).arg(&config).stdin(Stdio::null());
    let full = std::fs::File::options().write(true).open("/dev/full").context("open /dev/full")?;
    let status = command.stdout(Stdio::null()).stderr(full).status().context("run the daemon")?;
    ensure!(status.success(), "the daemon ended with {status}");
    Ok(())
}

fn recorded() -> anyhow::Result<()> {
    let pool = pool(16 * MIB, 160 * MIB, &[])?;
    let root = pool.pid();
    let recording = Scratch::new()?;
    let path = recording.path().join("inputs.jsonl");
    let record = path.to_string_lossy().into_owned();
    let mut stage = Stage::new(pool, &policy("observe", root, POOL), &["--record", &record])?;
    stage.wait_for("closing", |_| true)?;
    let config = stage.scratch.path().join("policy.toml");
    std::thread::sleep(Duration::from_millis(200));
    let play = || {
        let mut command = Command::new(locate::memwatch()?);
        command.args(["replay", "--output", "json", "--config"]).arg(&config).arg(&path);
        let output = command.stdin(Stdio::null()).output().context("play the recording")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    stage.daemon.signal(libc::SIGTERM)?;
    stage.daemon.wait(PATIENCE)?;
    let (one, two) = (play()?, play()?);
    ensure!(one == two, "two plays differ");
    ensure!(String::from_utf8_lossy(&one).contains("memwatch.decision"), "nothing was decided in the play");
    drop(syscall::process::signal(stage.pool.pid(), libc::SIGKILL));
    Ok(())
}
