//! `memwatch audit` of groups and processes that a test makes: what they hold is known, whoever is charged.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use memwatch::core::audit::Thresholds;
use memwatch::core::audit::balance::balance;
use memwatch::enrich::proc::ProcFs;
use memwatch::enrich::survey::{Reading, survey, true_use};

use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::limit;
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::swap::Swap;
use crate::syscall::process;
use crate::trigger::Trigger;

const GROUP: &[Need] = &[Need::Root, Need::Memory];
const POOL: &[Need] = &[Need::Root, Need::Memory, Need::OwnMachine];

pub(super) const CASES: &[Case] = &[
    Case::new("audit::index_of_a_removed_group", GROUP, index_of_a_removed_group),
    Case::new("audit::index_of_a_living_group", GROUP, index_of_a_living_group),
    Case::new("audit::workers_count_once", GROUP, workers_count_once),
    Case::new("audit::huge_pages", GROUP, huge_pages),
    Case::new("audit::pool_of_huge_pages", POOL, pool_of_huge_pages),
    Case::alone("audit::memory_in_swap", POOL, swapped),
    Case::new("audit::a_sample_holds_the_truth", GROUP, sample),
    Case::new("audit::a_file_in_other_mounts", GROUP, file_in_other_mounts),
    Case::new("audit::a_deleted_file", GROUP, deleted_file),
    Case::new("audit::many_mappings", GROUP, many_mappings),
    Case::new("audit::groups_and_processes_vanish", GROUP, vanishing),
    Case::new("audit::missing_rights_are_named", GROUP, missing_rights),
    Case::new("audit::processes_that_may_not_be_read", GROUP, unreadable),
    Case::new("audit::a_kernel_that_tells_no_owners", GROUP, without_owners),
];

const MIB: u64 = 1 << 20;
/// The index.
const INDEX: u64 = 64 * MIB;
/// What a trigger holds besides: its program, its stack, its heap.
const SLACK: u64 = 8 * MIB;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;

/// Runs an audit of a group and what is below it; the status is 3 when something is found.
fn audit(group: &Group, options: &[&str]) -> anyhow::Result<(i32, Vec<Line>)> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(["audit", "--output", "json", "--min-missing", "16MiB", "--cgroup"]).arg(group.path());
    command.args(options).stdin(Stdio::null());
    let mut running = Running::start(&mut command)?;
    let lines = running.rest(PATIENCE)?;
    let status = running.wait(PATIENCE)?;
    let code = status.code().context("the audit was killed")?;
    ensure!(code == 0 || code == 3, "the audit ended with {status}: {}", running.errors());
    let lines = lines.iter().map(|line| Line::parse(line)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok((code, lines))
}

/// The line of this name that speaks of a group.
fn of<'a>(lines: &'a [Line], name: &str, group: &Group) -> anyhow::Result<&'a Line> {
    let id = group.id()?;
    let found = lines.iter().find(|line| line.name() == name && line.is("memwatch.cgroup.id", id));
    found.with_context(|| {
        let all: Vec<_> = lines.iter().map(ToString::to_string).collect();
        format!("no {name} of {} among {}", group.path().display(), all.join("\n"))
    })
}

fn figure(line: &Line, key: &str) -> anyhow::Result<u64> {
    line.number(&format!("memwatch.audit.{key}"))
}

/// Whether a figure is what was asked for, give or take what a trigger holds besides.
fn is_near(line: &Line, key: &str, expected: u64) -> anyhow::Result<()> {
    let found = figure(line, key)?;
    ensure!(found.abs_diff(expected) <= SLACK, "{key} is {found} and not about {expected}: {line}");
    Ok(())
}

/// A trigger in a group that has done what it holds.
fn holder(group: &Group, arguments: &[&str]) -> anyhow::Result<Trigger> {
    let mut trigger = Trigger::ready(&[&["hold"], arguments].concat())?;
    group.take(trigger.pid())?;
    trigger.act_and_hold()?;
    Ok(trigger)
}

/// A folder in memory, where a test's file is charged to whoever writes it.
fn in_memory(scratch: &Scratch) -> anyhow::Result<Shared> {
    let name = scratch.path().file_name().context("a scratch folder has a name")?;
    let path = Path::new("/dev/shm").join(name);
    std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(Shared(path))
}

/// What the library says of one group without a look at the others.
fn costs(group: &Group, bytes: u64, elsewhere: u64) -> anyhow::Result<()> {
    let proc = ProcFs::open(Path::new("/proc"))?;
    for reading in [Reading::Suiting, Reading::OneIn(16)] {
        let found = true_use(&proc, group.path(), reading)?;
        // An interval covers the chance of the sample, and the trigger has more than its index.
        ensure!(found.bytes.low <= bytes + SLACK && bytes <= found.bytes.high, "{found:?}, not {bytes}");
        ensure!(
            found.elsewhere.low <= elsewhere + SLACK && elsewhere <= found.elsewhere.high + SLACK,
            "{found:?}, not {elsewhere} elsewhere"
        );
        ensure!(found.charged < SLACK && found.processes == 1, "{found:?}");
    }
    Ok(())
}

/// Removed on drop.
struct Shared(std::path::PathBuf);

impl Shared {
    fn file(&self) -> anyhow::Result<String> {
        Ok(self.0.join("index").to_str().context("a path in UTF-8")?.to_owned())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Left behind it is an empty name; the next run has another.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn index_of_a_removed_group() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let folder = in_memory(&scratch)?;
    let file = folder.file()?;
    let bytes = INDEX.to_string();
    let service = ["--file", &file, "--bytes", &bytes, "--lock"];
    let slice = Group::with_memory("slice")?;
    slice.hand_down_memory()?;
    let first = slice.child("service")?;
    let (status, _) = holder(&first, &service)?.finish()?;
    ensure!(status.success(), "the first run ended with {status}");
    drop(first);
    let second = slice.child("service")?;
    let _running = holder(&second, &service)?;
    let (code, lines) = audit(&slice, &["--exact"])?;
    ensure!(code == 3, "nothing was found");
    let group = of(&lines, "audit.cgroup", &second)?;
    is_near(group, "held.shmem", INDEX)?;
    is_near(group, "held.locked", INDEX)?;
    ensure!(figure(group, "charged.shmem")? < SLACK, "the index was charged anew: {group}");
    let finding = of(&lines, "under_charged_cgroup", &second)?;
    is_near(finding, "missing", INDEX)?;
    is_near(finding, "true_use", INDEX)?;
    costs(&second, INDEX, INDEX)?;
    finding.expect(&[
        ("file.path", file.as_str().into()),
        ("memwatch.audit.class", "shmem".into()),
        ("memwatch.audit.owner.cgroup.id", slice.id()?.into()),
    ])?;
    // A kernel that hands the pages of a removed group up has none that is dying.
    let dying = lines
        .iter()
        .find(|line| line.name() == "audit.dying" && line.is("memwatch.cgroup.id", slice.id().unwrap_or(0)));
    let owner = finding.text("memwatch.audit.owner")?;
    match dying {
        Some(dying) => {
            is_near(dying, "dying.shmem", INDEX)?;
            ensure!(owner == "dying", "charged to {owner}: {finding}");
        }
        None => ensure!(owner == "above", "charged to {owner}, and nothing is dying: {finding}"),
    }
    Ok(())
}

fn index_of_a_living_group() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let folder = in_memory(&scratch)?;
    let file = folder.file()?;
    let bytes = INDEX.to_string();
    let service = ["--file", &file, "--bytes", &bytes];
    let slice = Group::with_memory("slice")?;
    slice.hand_down_memory()?;
    let (first, second) = (slice.child("first")?, slice.child("second")?);
    let _writer = holder(&first, &service)?;
    let _reader = holder(&second, &service)?;
    let (_, lines) = audit(&slice, &["--exact"])?;
    for group in [&first, &second] {
        let line = of(&lines, "audit.cgroup", group)?;
        is_near(line, "held.shmem", INDEX)?;
        is_near(line, "held.shared", INDEX)?;
        is_near(line, "held.apportioned", INDEX / 2)?;
    }
    is_near(of(&lines, "audit.cgroup", &first)?, "missing", 0)?;
    let finding = of(&lines, "under_charged_cgroup", &second)?;
    is_near(finding, "missing", INDEX / 2)?;
    costs(&second, INDEX / 2, INDEX)?;
    finding.expect(&[
        ("memwatch.audit.owner", "other".into()),
        ("memwatch.audit.owner.cgroup.id", first.id()?.into()),
    ])
}

fn workers_count_once() -> anyhow::Result<()> {
    let group = Group::with_memory("workers")?;
    let bytes = INDEX.to_string();
    let _running = holder(&group, &["--anon", &bytes, "--workers", "6"])?;
    for options in [&["--exact"][..], &["--sample", "16"]] {
        let (_, lines) = audit(&group, options)?;
        let line = of(&lines, "audit.cgroup", &group)?;
        ensure!(figure(line, "processes")? == 7, "not seven processes: {line}");
        is_near(line, "held.anon", INDEX)?;
        is_near(line, "charged.anon", INDEX)?;
        is_near(line, "missing", 0)?;
    }
    Ok(())
}

fn huge_pages() -> anyhow::Result<()> {
    let group = Group::with_memory("huge")?;
    let bytes = INDEX.to_string();
    let _running = holder(&group, &["--anon", &bytes, "--huge"])?;
    for options in [&["--exact"][..], &["--sample", "16"]] {
        let (_, lines) = audit(&group, options)?;
        let line = of(&lines, "audit.cgroup", &group)?;
        is_near(line, "held.anon", INDEX)?;
        is_near(line, "missing", 0)?;
    }
    Ok(())
}

fn pool_of_huge_pages() -> anyhow::Result<()> {
    let pool = "/proc/sys/vm/nr_hugepages";
    std::fs::write(pool, "8").context("fill the pool of huge pages")?;
    let group = Group::with_memory("pool")?;
    let bytes = 16 * MIB;
    let running = holder(&group, &["--hugetlb", &bytes.to_string()])?;
    let (_, lines) = audit(&group, &["--exact"])?;
    let line = of(&lines, "audit.cgroup", &group)?;
    ensure!(figure(line, "held.hugetlb")? == bytes, "not {bytes} bytes of huge pages: {line}");
    is_near(line, "held", 0)?;
    is_near(line, "missing", 0)?;
    drop(running);
    std::fs::write(pool, "0").context("empty the pool of huge pages")
}

fn swapped() -> anyhow::Result<()> {
    const SWAP: u64 = 128 * MIB;
    const LIMIT: u64 = 32 * MIB;
    let _swap = Swap::new(SWAP)?;
    let group = Group::with_memory("swapped")?;
    group.limit_memory(LIMIT)?;
    let _running = holder(&group, &["--anon", &INDEX.to_string()])?;
    let (_, lines) = audit(&group, &["--exact"])?;
    let line = of(&lines, "audit.cgroup", &group)?;
    let (held, swap) = (figure(line, "held.anon")?, figure(line, "held.swap")?);
    ensure!(held <= LIMIT && swap >= INDEX - LIMIT, "{held} bytes are held and {swap} in swap: {line}");
    ensure!((held + swap).abs_diff(INDEX) <= SLACK, "{held} and {swap} bytes are not {INDEX}: {line}");
    is_near(line, "charged.swap", swap)?;
    is_near(line, "missing", 0)
}

fn sample() -> anyhow::Result<()> {
    const ROUNDS: usize = 20;
    let scratch = Scratch::new()?;
    let folder = in_memory(&scratch)?;
    let file = folder.file()?;
    let bytes = INDEX.to_string();
    let group = Group::with_memory("sampled")?;
    let _running =
        holder(&group, &["--file", &file, "--bytes", &bytes, "--anon", "9000000", "--workers", "2"])?;
    let (_, lines) = audit(&group, &["--exact"])?;
    let line = of(&lines, "audit.cgroup", &group)?;
    let truth = ["held.shmem", "held.anon", "held"].map(|key| (key, figure(line, key)));
    let mut misses = 0;
    for _ in 0..ROUNDS {
        let (_, lines) = audit(&group, &["--sample", "32"])?;
        let line = of(&lines, "audit.cgroup", &group)?;
        for (key, truth) in &truth {
            let truth = truth.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let (low, high) = (figure(line, &format!("{key}_low"))?, figure(line, &format!("{key}_high"))?);
            misses += usize::from(!(low..=high).contains(truth));
        }
    }
    // Three figures of 20 samples: 3 misses are expected at worst, and 8 come once in 100 times.
    ensure!(misses <= 8, "{misses} intervals of {} miss the truth", 3 * ROUNDS);
    Ok(())
}

fn file_in_other_mounts() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("index").to_str().context("a path in UTF-8")?.to_owned();
    let bytes = INDEX.to_string();
    let slice = Group::with_memory("mounts")?;
    slice.hand_down_memory()?;
    let (service, writer) = (slice.child("service")?, slice.child("writer")?);
    let folder = scratch.path().to_str().context("a path in UTF-8")?;
    // Written in one group, mapped on after a move to another, which leaves the charge.
    let running = holder(&writer, &["--mount", folder, "--file", &file, "--bytes", &bytes])?;
    service.take(running.pid())?;
    let (_, lines) = audit(&slice, &["--exact"])?;
    ensure!(!Path::new(&file).exists(), "the file is seen from here");
    of(&lines, "under_charged_cgroup", &service)?
        .expect(&[("file.path", file.as_str().into()), ("memwatch.audit.file.seen_by", running.pid().into())])
}

fn deleted_file() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let folder = in_memory(&scratch)?;
    let file = folder.file()?;
    let bytes = INDEX.to_string();
    let slice = Group::with_memory("deleted")?;
    slice.hand_down_memory()?;
    let (service, writer) = (slice.child("service")?, slice.child("writer")?);
    let running = holder(&writer, &["--file", &file, "--bytes", &bytes, "--unlink"])?;
    service.take(running.pid())?;
    let (_, lines) = audit(&slice, &["--exact"])?;
    of(&lines, "under_charged_cgroup", &service)?
        .expect(&[("file.path", file.as_str().into()), ("memwatch.audit.file.deleted", true.into())])
}

fn many_mappings() -> anyhow::Result<()> {
    let number = limit::mappings().min(100_000);
    let group = Group::with_memory("mappings")?;
    let _running = holder(&group, &["--mappings", &number.to_string()])?;
    let (_, lines) = audit(&group, &["--exact"])?;
    is_near(of(&lines, "audit.cgroup", &group)?, "held.anon", number * 4096)
}

fn vanishing() -> anyhow::Result<()> {
    let group = Group::with_memory("vanishing")?;
    group.hand_down_memory()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // What cannot be made once is made the next time.
                let _ = group.child("short").and_then(|child| {
                    let mut trigger = Trigger::ready(&["burst", "--count", "20"])?;
                    child.take(trigger.pid())?;
                    trigger.act()?;
                    trigger.finish()
                });
            }
        });
        let results: Vec<_> = (0..10).map(|_| audit(&group, &["--exact"])).collect();
        is_over.store(true, Ordering::Relaxed);
        results.into_iter().try_for_each(|result| result.map(drop))
    })
}

fn missing_rights() -> anyhow::Result<()> {
    let mut command = Command::new(locate::memwatch()?);
    command.arg("audit").stdin(Stdio::null());
    process::withhold_capabilities(&mut command, &[CAP_SYS_ADMIN]);
    let mut running = Running::start(&mut command)?;
    let status = running.wait(PATIENCE)?;
    let errors = running.errors();
    ensure!(status.code() == Some(1) && errors.contains("CAP_SYS_ADMIN"), "{status}: {errors}");
    Ok(())
}

/// Those of another user's, and of root's own that have more rights, are refused one by one; the rest is told.
fn unreadable() -> anyhow::Result<()> {
    let running = Trigger::ready(&["burst"])?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["audit", "--output", "json", "--sample", "64"]).stdin(Stdio::null());
    process::withhold_capabilities(&mut command, &[CAP_SYS_PTRACE]);
    let mut audit = Running::start(&mut command)?;
    let lines = audit.rest(PATIENCE)?;
    let status = audit.wait(PATIENCE)?;
    ensure!(matches!(status.code(), Some(0 | 3)), "{status}: {}", audit.errors());
    let first = Line::parse(lines.first().context("no line")?)?;
    ensure!(figure(&first, "refused")? > 0 && figure(&first, "processes")? > 0, "{first}");
    drop(running);
    Ok(())
}

/// `/proc` without `kpagecgroup`, as of a kernel that charges memory and does not tell the owners of pages: what is missing
/// comes from the counters.
fn without_owners() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let folder = in_memory(&scratch)?;
    let file = folder.file()?;
    let bytes = INDEX.to_string();
    let slice = Group::with_memory("untold")?;
    slice.hand_down_memory()?;
    let (service, writer) = (slice.child("service")?, slice.child("writer")?);
    let running = holder(&writer, &["--file", &file, "--bytes", &bytes])?;
    service.take(running.pid())?;
    let pid = running.pid().to_string();
    for name in ["self", "kpageflags", "kpagecount", &pid] {
        let link = scratch.path().join(name);
        std::os::unix::fs::symlink(Path::new("/proc").join(name), link).context("link into /proc")?;
    }
    let proc = ProcFs::open(scratch.path())?;
    let (survey, notes) = survey(&proc, Reading::Exact)?;
    ensure!(!notes.tells_owners && notes.processes == 1, "{notes:?}");
    let thresholds = Thresholds { bytes: 16 * MIB, percent: 10 };
    let audit = balance(&survey, thresholds);
    let id = service.id()?;
    let is_it = |group: u32| survey.tree.groups().get(group as usize).is_some_and(|group| group.id == id);
    let found =
        audit.balances.iter().find(|balance| is_it(balance.group)).context("the group is not told")?;
    ensure!(found.is_under_charged && found.missing.bytes.abs_diff(INDEX) <= SLACK, "{found:?}");
    let alone = true_use(&proc, service.path(), Reading::Exact)?;
    ensure!(alone.missing.bytes.abs_diff(INDEX) <= SLACK && alone.elsewhere.bytes == 0, "{alone:?}");
    Ok(())
}
