//! exec, fork, exit, and identities that survive them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::cgroup::Group;
use crate::line::Line;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::tracer::Tracer;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("life::exec_with_path_and_arguments", TRACING, exec),
    Case::new("life::short_lives_are_told_by_their_file", TRACING, by_file),
    Case::new("life::a_file_of_two_names_has_the_one_it_was_started_by", TRACING, by_name),
    Case::new("life::fork_names_the_child", TRACING, fork),
    Case::new("life::exit_code", TRACING, exit_code),
    Case::new("life::exit_by_signal", TRACING, exit_signal),
    Case::new("life::exit_carries_peak_rss", TRACING, exit_rss),
    Case::new("life::peak_rss_is_of_the_last_program", PEAK, peak_of_last),
    Case::new("life::threads_are_no_processes", TRACING, threads),
    Case::new(
        "life::reused_pid_is_another_process",
        &[Need::Root, Need::Tracing, Need::InitialPids],
        reused_pid,
    ),
    Case::alone("life::begins_when_all_hooks_are_attached", TRACING, begins_at_once),
    Case::new("life::born_inside_a_group", &[Need::Root, Need::Tracing, Need::Unified], born_inside),
];

/// Before, only `ru_maxrss` is left when an exit is traced, which an exec takes over (kernel/exit.c, do_exit).
const PEAK: &[Need] = &[Need::Root, Need::Tracing, Need::Kernel(6, 16)];

/// Who is told to begin is followed from there on by all hooks: programs that start while they are attached map memory as
/// those before and after do.
fn begins_at_once() -> anyhow::Result<()> {
    // One at a time, and idle in between: the kernel attaches a hook only once every task was seen at rest.
    let mut burst =
        Trigger::ready(&["burst", "--count", "1000000", "--exec", "--alive", "1", "--every-ms", "5"])?;
    burst.act()?;
    let tracer = Tracer::new(&["--event", "fork,exit", "--duration", "3s"])?.attach()?;
    let run = tracer.finish()?.succeeded()?;
    let parent = u64::from(burst.pid());
    let forks = run.of("fork");
    let children: HashSet<_> = forks
        .into_iter()
        .filter(|line| line.pid() == parent)
        .filter_map(|line| line.number("child_pid").ok())
        .collect();
    let ended: Vec<_> = run.of("exit").into_iter().filter(|line| children.contains(&line.pid())).collect();
    ensure!(ended.len() > 5, "{} of {} children have ended", ended.len(), children.len());
    let unseen = ended.iter().find(|line| line.is("mmap_bytes", 0));
    ensure!(unseen.is_none(), "a program that started with what it mapped unseen: {unseen:?}");
    Ok(())
}

fn exec() -> anyhow::Result<()> {
    let run = traced(&[], &["map", "--bytes", "4096"])?;
    let pid = run.pid()?;
    let trigger = crate::locate::trigger()?.to_string_lossy().into_owned();
    let arguments: Vec<&str> = vec![&trigger, "map", "--bytes", "4096"];
    run.one("exec", |line| line.pid() == pid)?.expect(&[
        ("process.executable.path", trigger.as_str().into()),
        ("process.command_args", arguments.into()),
    ])
}

/// Programs that end before `/proc` can be read, started by other names than their paths, and a script.
fn by_file() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let script = scratch.path().join("script");
    let program = std::fs::canonicalize("/bin/true").context("find true")?;
    std::fs::write(&script, format!("#!{}\n", program.display())).context("write a script")?;
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).context("make it executable")?;
    let (folder, name) = (program.parent().context("a folder")?, program.file_name().context("a name")?);
    let loops = format!(
        "cd {}; for i in 1 2 3 4 5 6 7 8 9 10; do ./{}; {}; done",
        folder.display(),
        name.display(),
        script.display()
    );
    let run = Tracer::new(&[])?.command(["/bin/sh", "-c", &loops].map(OsStr::new))?.succeeded()?;
    let started: Vec<&Line> = run
        .of("exec")
        .into_iter()
        .filter(|line| !line.text("filename").is_ok_and(|it| it == "/bin/sh"))
        .collect();
    ensure!(started.len() == 20, "{} programs were started", started.len());
    let told: Vec<_> = started.iter().filter_map(|line| line.text("process.executable.path").ok()).collect();
    let path = program.to_string_lossy();
    ensure!(!told.is_empty() && told.iter().all(|it| *it == path), "not {path}: {told:?}");
    let unknown = run.of("lost").iter().filter(|line| line.is("kind", "executables_unknown")).count();
    ensure!(told.len() == 20 || unknown > 0, "{} of 20 have a path, and nothing is counted", told.len());
    Ok(())
}

/// One file under two names, started by paths and from its folder, in short turns.
fn by_name() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let [first, second] = ["first", "second"].map(|name| scratch.path().join(name));
    std::fs::copy("/bin/true", &first).context("copy true")?;
    std::fs::hard_link(&first, &second).context("give it a second name")?;
    let folder = scratch.path().display();
    let loops = format!(
        "cd {folder}; for i in 1 2 3 4 5; do {folder}/first; {folder}/second; ./second; ./first; done"
    );
    let run = Tracer::new(&[])?.command(["/bin/sh", "-c", &loops].map(OsStr::new))?.succeeded()?;
    let name =
        |line: &Line, key| line.text(key).ok().and_then(|path| Some(path.rsplit('/').next()?.to_owned()));
    let started: Vec<&Line> = run
        .of("exec")
        .into_iter()
        .filter(|line| name(line, "filename").is_some_and(|it| it != "sh"))
        .collect();
    ensure!(started.len() == 20, "{} programs were started", started.len());
    let mut told = 0;
    for line in started {
        if let Some(path) = name(line, "process.executable.path") {
            told += 1;
            ensure!(Some(path) == name(line, "filename"), "told by another name: {line}");
        }
    }
    ensure!(told > 0, "no program has a path");
    let unknown = run.of("lost").iter().filter(|line| line.is("kind", "executables_unknown")).count();
    ensure!(told == 20 || unknown > 0, "{told} of 20 have a path, and nothing is counted");
    Ok(())
}

pub(super) fn fork() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.trigger(&["table", "--forks", "1"])?.succeeded()?;
    let child = run.pid()?;
    let line = run.one("fork", |line| line.is("child_pid", child))?;
    let exit = run.one("exit", |line| line.pid() == child)?;
    exit.expect(&[("process.parent_pid", line.pid().into())])
}

pub(super) fn exit_code() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.trigger(&["end", "--code", "41"])?;
    let pid = run.pid()?;
    run.one("exit", |line| line.pid() == pid)?.expect(&[("process.exit.code", 41.into())])
}

fn exit_signal() -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.trigger(&["end", "--signal", "10"])?;
    ensure!(
        run.of("exit").iter().any(|line| line.is("signal", "SIGUSR1")),
        "no exit by SIGUSR1: {:?}",
        run.of("exit")
    );
    Ok(())
}

fn exit_rss() -> anyhow::Result<()> {
    let run = traced(&[], &["grow", "--step", "1048576", "--steps", "48"])?;
    let pid = run.pid()?;
    let peak = run.one("exit", |line| line.pid() == pid)?.number("max_rss_bytes")?;
    ensure!((48 << 20..64 << 20).contains(&peak), "peak of {peak} bytes after touching 48 MiB");
    Ok(())
}

fn peak_of_last() -> anyhow::Result<()> {
    let run = traced(&[], &["exec-in-thread", "--first", "50331648", "--other", "4096"])?;
    let pid = run.pid()?;
    let peak = run.one("exit", |line| line.pid() == pid)?.number("max_rss_bytes")?;
    ensure!((1 << 20..24 << 20).contains(&peak), "a peak of {peak} bytes: 48 MiB were the first program's");
    Ok(())
}

fn threads() -> anyhow::Result<()> {
    let run = traced(&[], &["threads", "--count", "5", "--bytes", "4096"])?;
    let pid = run.pid()?;
    run.one("exit", |line| line.pid() == pid)?;
    run.none("fork", |line| line.pid() == pid)
}

fn reused_pid() -> anyhow::Result<()> {
    let run =
        traced(&["--min-bytes", "1048576"], &["reuse-pid", "--first", "5000001", "--second", "6000001"])?;
    let pid = run.reported("reused")?;
    let first = run.one("mmap", |line| line.is("bytes", 5_000_001))?;
    let second = run.one("mmap", |line| line.is("bytes", 6_000_001))?;
    for (line, name) in [(first, "first-life"), (second, "second-life")] {
        line.expect(&[("process.pid", pid.into()), ("thread.name", name.into())])?;
    }
    let start = |line: &crate::line::Line| line.get("memwatch.process.start_ns").cloned();
    ensure!(start(first).is_some() && start(first) != start(second), "one process: {first} and {second}");
    ensure!(run.of("exit").iter().filter(|line| line.pid() == pid).count() == 2, "not two ends of pid {pid}");
    Ok(())
}

fn born_inside() -> anyhow::Result<()> {
    let group = Group::new("born")?;
    let path = group.path().to_str().context("a path that is text")?;
    let run = traced(&["--min-bytes", "1048576"], &["fork-into", "--group", path, "--bytes", "5000001"])?;
    let child = run.reported("child")?;
    for name in ["mmap", "exit"] {
        let line = run.one(name, |line| line.pid() == child)?;
        line.expect(&[("memwatch.cgroup.id", group.id()?.into())])?;
    }
    Ok(())
}
