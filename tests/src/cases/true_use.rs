//! An index that is charged to a cgroup of before: audit names it, the daemon tells of it when the service is started again, and
//! a policy that goes by true use acts where the cgroup's own limit does not.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::daemon::Stage;
use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::syscall::process;
use crate::trigger::Trigger;

const NEEDS: &[Need] = &[Need::Root, Need::Tracing, Need::InitialPids, Need::Memory];

pub(super) const CASES: &[Case] = &[
    Case::new("true_use::of_a_restarted_service_is_told", NEEDS, told),
    Case::new("true_use::near_the_limit_the_service_is_asked_to_leave", NEEDS, || {
        acted(SOFT, "graceful", libc::SIGTERM)
    }),
    Case::new("true_use::at_the_limit_the_service_is_killed", NEEDS, || acted(HARD, "kill", libc::SIGKILL)),
];

const MIB: u64 = 1 << 20;
/// The index, and what the service has of its own.
const INDEX: u64 = 96 * MIB;
const OWN: u64 = 32 * MIB;
/// What it has besides: its program, its stack, its heap, memory of the kernel.
const SLACK: u64 = 8 * MIB;
/// Limits of the cgroup: its true use of 128 MiB and a little is far below, between four fifths and 95 %, and above.
const WIDE: u64 = 1024 * MIB;
const SOFT: u64 = 150 * MIB;
const HARD: u64 = 120 * MIB;

/// Removed on drop.
struct Index(PathBuf);

impl Index {
    /// A file on a disk, whose pages are page cache; temporary files may be in memory.
    fn new() -> anyhow::Result<Self> {
        let disk = std::env::current_exe().context("find the folder of the test")?;
        let name = format!("memwatch-index-{}-{:?}", std::process::id(), std::thread::current().id());
        Ok(Self(disk.with_file_name(name)))
    }

    fn name(&self) -> anyhow::Result<&str> {
        self.0.to_str().context("a path in UTF-8")
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // A test that failed early has made none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The service as it runs: it maps its index and locks it.
fn service(group: &Group, index: &Index) -> anyhow::Result<Trigger> {
    let bytes = INDEX.to_string();
    let own = OWN.to_string();
    let arguments = ["hold", "--file", index.name()?, "--bytes", &bytes, "--lock", "--anon", &own];
    let mut is_in = Ok(());
    let mut trigger =
        Trigger::ready_as(&arguments, |command| is_in = process::start_in_group(command, group.path()))?;
    is_in.context("open the group")?;
    trigger.act_and_hold()?;
    Ok(trigger)
}

/// A service that was started again under the eyes of a daemon. Fields are dropped in this order.
struct Scene {
    stage: Stage<()>,
    service: Trigger,
    group: Group,
    slice: Group,
    index: Index,
    path: String,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let index = Index::new()?;
        let slice = Group::with_memory("slice")?;
        slice.hand_down_memory()?;
        let name = slice.path().file_name().context("a group has a name")?.to_string_lossy().into_owned();
        let path = format!("/{name}/search");
        let policy = format!(
            "mode = \"enforce\"\n[found_pools]\nenabled = false\n[audit]\nsettle = \"1s\"\n\
             [[scope]]\nname = \"search\"\ncgroup = \"{path}\"\nmeasure = \"true-use\"\nany_process = true\n\
             lower = \"80%\"\nupper = \"95%\"\n"
        );
        let first = slice.child("search")?;
        first.limit_memory(WIDE)?;
        let before = service(&first, &index)?;
        let mut stage = Stage::new((), &policy, &[])?;
        let honest = stage.wait_for("true_use", |line| line.is("memwatch.cgroup.path", path.as_str()))?;
        ensure!(honest.number("memwatch.true_use.missing_bytes")? < SLACK, "{honest}");
        let (status, _) = before.finish()?;
        ensure!(status.success(), "the first run ended with {status}");
        drop(first);
        let group = slice.child("search")?;
        group.limit_memory(WIDE)?;
        let service = service(&group, &index)?;
        Ok(Self { stage, service, group, slice, index, path })
    }

    fn wait_for_warning(&mut self) -> anyhow::Result<Line> {
        let path = self.path.clone();
        self.stage.wait_for("warning", |line| {
            line.is("memwatch.warning.kind", "under_charged")
                && line.is("memwatch.cgroup.path", path.as_str())
        })
    }

    /// What the kernel counts against the limit.
    fn counted(&self) -> anyhow::Result<u64> {
        let first = self.group.path().join("memory.usage_in_bytes");
        let file = if first.exists() { first } else { self.group.path().join("memory.current") };
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        text.trim().parse().context("a number of bytes")
    }
}

fn told() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    let warning = scene.wait_for_warning()?;
    let figure = |key: &str| warning.number(&format!("memwatch.true_use.{key}"));
    ensure!(figure("missing_bytes")?.abs_diff(INDEX) <= SLACK, "{warning}");
    ensure!(figure("bytes")?.abs_diff(INDEX + OWN) <= SLACK, "{warning}");
    ensure!(figure("charged_bytes")?.abs_diff(OWN) <= SLACK && figure("limit_bytes")? == WIDE, "{warning}");

    let mut command = Command::new(locate::memwatch()?);
    command.args(["audit", "--exact", "--output", "json", "--min-missing", "16MiB", "--cgroup"]);
    let mut audit = Running::start(command.arg(scene.slice.path()).stdin(Stdio::null()))?;
    let lines =
        audit.rest(PATIENCE)?.iter().map(|line| Line::parse(line)).collect::<anyhow::Result<Vec<_>>>()?;
    let id = scene.group.id()?;
    let finding = lines
        .iter()
        .find(|line| line.name() == "under_charged_cgroup" && line.is("memwatch.cgroup.id", id))
        .with_context(|| format!("audit finds nothing: {lines:?}"))?;
    finding.expect(&[
        ("file.path", scene.index.name()?.into()),
        ("memwatch.audit.class", "file".into()),
        ("memwatch.audit.owner.cgroup.id", scene.slice.id()?.into()),
    ])?;
    // Those of a kernel that hands the pages of a removed group up are charged above.
    let owner = finding.text("memwatch.audit.owner")?;
    ensure!(matches!(owner, "dying" | "above"), "charged to {owner}: {finding}");
    let missing = finding.number("memwatch.audit.missing")?;
    ensure!(missing.abs_diff(INDEX) <= SLACK, "{finding}");
    let held = lines.iter().find(|line| line.name() == "audit.cgroup" && line.is("memwatch.cgroup.id", id));
    let locked = held.context("no line of the group")?.number("memwatch.audit.held.locked")?;
    ensure!(locked.abs_diff(INDEX) <= SLACK, "{locked} bytes are locked");
    scene.stage.end().map(drop)
}

/// The kernel counts less than half of the limit, and the policy acts.
fn acted(limit: u64, gravity: &'static str, signal: i32) -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.wait_for_warning()?;
    scene.group.limit_memory(limit)?;
    let counted = scene.counted()?;
    ensure!(counted < limit / 2, "{counted} bytes are counted against {limit}");
    let pid = scene.service.pid();
    let decision = scene.stage.wait_for("decision", |line| line.pid() == u64::from(pid))?;
    decision.expect(&[
        ("memwatch.decision.rule", "host_bounds".into()),
        ("memwatch.decision.gravity", gravity.into()),
        ("memwatch.true_use.limit_bytes", limit.into()),
    ])?;
    ensure!(decision.number("memwatch.decision.bytes")?.abs_diff(INDEX + OWN) <= SLACK, "{decision}");
    ensure!(decision.text("memwatch.decision.reason")?.contains("that is its true use"), "{decision}");
    let (status, _) = scene.service.finish()?;
    let ended_by = std::os::unix::process::ExitStatusExt::signal(&status);
    ensure!(ended_by == Some(signal), "the service ended with {status}");
    scene.stage.end().map(drop)
}
