//! Filters: the process meant is seen, its neighbour doing the same is not.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::need::Need;
use crate::syscall::process;
use crate::tracer::{Run, Tracer, eventually};
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("filter::pid", TRACING, pid),
    Case::new(
        "filter::pid_given_to_another_process",
        &[Need::Root, Need::Tracing, Need::InitialPids],
        reused_pid,
    ),
    Case::new("filter::tree", TRACING, tree),
    Case::new("filter::comm", TRACING, comm),
    Case::new("filter::comm_pattern", TRACING, comm_pattern),
    Case::new("filter::comm_of_a_thread", TRACING, comm_of_a_thread),
    Case::new("filter::comm_of_what_runs_another_program", TRACING, another_program),
    Case::new("filter::a_table_s_end_under_another_name", TRACING, table_under_two_names),
    Case::new("filter::a_table_s_end_in_another_cgroup", GROUPS, table_in_two_groups),
    Case::new("filter::who_joins_a_cgroup_is_known", GROUPS, joined),
    Case::new("filter::exe_pattern", TRACING, exe_pattern),
    Case::new("filter::uid", TRACING, uid),
    Case::new("filter::cgroup_and_below", &[Need::Root, Need::Tracing, Need::Unified], cgroup),
    Case::new(
        "filter::cgroup_of_the_memory_controller",
        &[Need::Root, Need::Tracing, Need::Memory],
        memory_cgroup,
    ),
    Case::new("filter::kinds", TRACING, kinds),
    Case::new("filter::name_of_nothing_is_an_error", TRACING, nothing),
    Case::new("filter::pid_of_a_thread_is_an_error", TRACING, pid_of_thread),
    Case::new("filter::name_longer_than_the_kernel_keeps", TRACING, long_name),
];

const GROUPS: &[Need] = &[Need::Root, Need::Tracing, Need::Unified];

const MEANT: u64 = 7_000_001;
const NEIGHBOUR: u64 = 8_000_001;

fn map(bytes: u64) -> [String; 3] {
    ["map".to_owned(), "--bytes".to_owned(), bytes.to_string()]
}

fn ready(arguments: &[String]) -> anyhow::Result<Trigger> {
    Trigger::ready(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Attaches with these options, lets the neighbour act, then the one meant, and expects to see the latter only.
fn sees_only(options: &[&str], mut meant: Trigger, neighbour: Trigger) -> anyhow::Result<Run> {
    let options: Vec<&str> = [options, &["--min-bytes", "1048576"]].concat();
    let mut tracer = Tracer::new(&options)?.attach()?;
    let pid = u64::from(meant.pid());
    neighbour.run()?;
    meant.act()?;
    tracer.wait_for("mmap", |line| line.is("bytes", MEANT))?;
    let run = tracer.interrupt()?;
    meant.finish()?;
    run.one("mmap", |line| line.is("bytes", MEANT))?.expect(&[("process.pid", pid.into())])?;
    run.none("mmap", |line| line.is("bytes", NEIGHBOUR))?;
    Ok(run)
}

fn pid() -> anyhow::Result<()> {
    let meant = ready(&map(MEANT))?;
    let option = meant.pid().to_string();
    sees_only(&["--pid", &option], meant, ready(&map(NEIGHBOUR))?).map(drop)
}

fn reused_pid() -> anyhow::Result<()> {
    let meant = ready(&map(MEANT))?;
    let pid = meant.pid().to_string();
    let mut tracer = Tracer::new(&["--pid", &pid, "--min-bytes", "1048576"])?.attach()?;
    let first = u64::from(meant.pid());
    meant.run()?;
    tracer.wait_for("exit", |line| line.pid() == first)?;
    Trigger::ready(&["fork-as", "--id", &pid, "--bytes", &NEIGHBOUR.to_string()])?.run()?;
    let run = tracer.interrupt()?;
    run.one("mmap", |line| line.is("bytes", MEANT))?;
    run.none("mmap", |line| line.is("bytes", NEIGHBOUR))
}

fn tree() -> anyhow::Result<()> {
    // The bytes are those of a table, asked for by a grandchild that does not exist when the tracer attaches.
    let limit = 1_234_567;
    let bytes = (limit * 8 + 16u64).next_multiple_of(4096);
    let mut meant =
        Trigger::ready(&["table", "--by", "none", "--limit", &limit.to_string(), "--forks", "2"])?;
    let mut tracer =
        Tracer::new(&["--tree", &meant.pid().to_string(), "--min-bytes", "1048576"])?.attach()?;
    ready(&map(NEIGHBOUR))?.run()?;
    let root = u64::from(meant.pid());
    meant.act()?;
    let seen = tracer.wait_for("mmap", |line| line.is("bytes", bytes))?;
    let run = tracer.interrupt()?;
    ensure!(seen.pid() != root, "the grandchild mapped, not {root}: {seen}");
    run.none("mmap", |line| line.is("bytes", NEIGHBOUR))
}

fn hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn named(name: &str, bytes: u64) -> anyhow::Result<Trigger> {
    Trigger::ready(&["named", "--name", &hex(name), "--bytes", &bytes.to_string()])
}

fn comm() -> anyhow::Result<()> {
    sees_only(&["--comm", "mw-comm-a"], named("mw-comm-a", MEANT)?, named("mw-comm-b", NEIGHBOUR)?).map(drop)
}

fn comm_pattern() -> anyhow::Result<()> {
    sees_only(&["--comm", "mw-p*-a"], named("mw-pattern-a", MEANT)?, named("mw-pattern-b", NEIGHBOUR)?)
        .map(drop)
}

fn comm_of_a_thread() -> anyhow::Result<()> {
    for pattern in ["mw-worker", "mw-work*"] {
        let threads = |name: &str, bytes: u64| {
            let bytes = bytes.to_string();
            Trigger::ready(&["threads", "--count", "1", "--bytes", &bytes, "--named", &hex(name)])
        };
        sees_only(&["--comm", pattern], threads("mw-worker", MEANT)?, threads("mw-other", NEIGHBOUR)?)?;
    }
    Ok(())
}

/// What is left out by its name is told from what is shown: which program it runs now.
fn another_program() -> anyhow::Result<()> {
    let trigger = crate::locate::trigger()?;
    let script = "read -r go; printf mw-shown > /proc/$$/comm; ulimit -n > /dev/null; \
                  printf mw-hidden > /proc/$$/comm; exec \"$0\" named --name \"$1\" --bytes \"$2\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(&trigger).args([hex("mw-shown"), MEANT.to_string()]);
    let mut shell = Running::start(shell.stdin(Stdio::piped()))?;
    let mut tracer = Tracer::new(&["--comm", "mw-shown", "--event", "rlimit_read,mmap"])?.attach()?;
    shell.take_input().context("the shell's input")?.write_all(b"go\n")?;
    let before = tracer.wait_for("rlimit_read", |_| true)?;
    ensure!(before.text("process.executable.path")? != trigger.to_string_lossy(), "not the shell: {before}");
    let after = tracer.wait_for("mmap", |line| line.is("bytes", MEANT))?;
    after.expect(&[("process.executable.path", trigger.to_string_lossy().into())])?;
    tracer.interrupt()?.succeeded().map(drop)
}

/// A tracer that says when it sees each touch of a page, for which it has a reason only while a table lives.
fn watching(options: &[&str]) -> anyhow::Result<Running> {
    let mut tracer = Tracer::new(&[&["-v", "--min-table", "0"], options].concat())?.start()?;
    tracer.wait_for_error_line("memwatch: tracing with", PATIENCE)?;
    Ok(tracer)
}

fn table_under_two_names() -> anyhow::Result<()> {
    let (first, second) = (hex("mw-first"), hex("mw-second"));
    let elements = ["table", "--called", &first, "--leaving-as", &second];
    let mut trigger = Trigger::ready_with_descriptors(&elements, crate::limit::table())?;
    let mut tracer = watching(&["--comm", "mw-first"])?;
    trigger.act_and_hold()?;
    tracer.wait_for_error_line("page_fault_user is watched from now on", PATIENCE)?;
    trigger.finish()?;
    tracer.wait_for_error_line("page_fault_user is not watched any more", PATIENCE)
}

/// Its end is told of another cgroup than the one that is traced.
fn table_in_two_groups() -> anyhow::Result<()> {
    let (first, second) = (Group::new("first")?, Group::new("second")?);
    let mut trigger = Trigger::ready_with_descriptors(&["table"], crate::limit::table())?;
    first.take(trigger.pid())?;
    let mut tracer = watching(&["--cgroup", first.path().to_str().context("a path that is text")?])?;
    trigger.act_and_hold()?;
    tracer.wait_for_error_line("page_fault_user is watched from now on", PATIENCE)?;
    second.take(trigger.pid())?;
    trigger.finish()?;
    tracer.wait_for_error_line("page_fault_user is not watched any more", PATIENCE)
}

/// It was started outside, and runs another program by the time that what it did in the cgroup is read.
fn joined() -> anyhow::Result<()> {
    let group = Group::new("joined")?;
    let path = group.path().to_str().context("a path that is text")?;
    let mut tracer = Tracer::new(&["--cgroup", path, "--event", "rlimit_read,exec,fork,exit"])?.attach()?;
    process::signal(tracer.pid(), libc::SIGSTOP)?;
    let trigger = crate::locate::trigger()?;
    let script = "echo $$ > \"$1/cgroup.procs\"; ulimit -n > /dev/null; exec \"$0\" map --bytes 4096 --hold";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(&trigger).arg(path);
    let mut shell = Running::start(shell.stdin(Stdio::piped()))?;
    let pid = u64::from(shell.pid());
    let runs = || std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == trigger);
    eventually(PATIENCE, "the shell has become the trigger", runs)?;
    process::signal(tracer.pid(), libc::SIGCONT)?;
    let trigger = trigger.to_string_lossy().into_owned();
    let read = tracer.wait_for("rlimit_read", |line| line.pid() == pid)?;
    ensure!(!read.is("process.executable.path", trigger.as_str()), "not the shell: {read}");
    ensure!(read.is("memwatch.process.comm", "sh"), "not the shell: {read}");
    drop(shell.take_input());
    tracer.wait_for("exit", |line| line.pid() == pid)?;
    let run = tracer.interrupt()?.succeeded()?;
    // The shell's own start is outside.
    run.one("exec", |_| true)?.expect(&[("process.executable.path", trigger.into())])?;
    run.none("fork", |_| true)
}

fn exe_pattern() -> anyhow::Result<()> {
    let neighbour = Tracer::new(&["--exe", "*/no-such-program", "--min-bytes", "1048576"])?.attach()?;
    let mut meant = Tracer::new(&["--exe", "*/memwatch-trig*", "--min-bytes", "1048576"])?.attach()?;
    let mut trigger = ready(&map(MEANT))?;
    trigger.act()?;
    meant.wait_for("mmap", |line| line.is("bytes", MEANT))?;
    neighbour.interrupt()?.none("mmap", |_| true)
}

fn uid() -> anyhow::Result<()> {
    let meant = Trigger::ready(&["map", "--bytes", &MEANT.to_string(), "--uid", "54321"])?;
    let run = sees_only(&["--uid", "54321"], meant, ready(&map(NEIGHBOUR))?)?;
    run.one("mmap", |line| line.is("bytes", MEANT))?.expect(&[("process.real_user.id", 54321.into())])
}

fn cgroup() -> anyhow::Result<()> {
    only_below(Group::new("outer")?)
}

fn memory_cgroup() -> anyhow::Result<()> {
    only_below(Group::with_memory("outer")?)
}

fn only_below(outer: Group) -> anyhow::Result<()> {
    let inner = outer.child("inner")?;
    let meant = ready(&map(MEANT))?;
    inner.take(meant.pid())?;
    let path = outer.path().to_str().context("a path that is text")?.to_owned();
    let run = sees_only(&["--cgroup", &path], meant, ready(&map(NEIGHBOUR))?)?;
    let line = run.one("mmap", |line| line.is("bytes", MEANT))?;
    let seen = line.text("memwatch.cgroup.path")?;
    ensure!(seen.ends_with("/inner"), "the group is {}, seen as {seen}", inner.path().display());
    line.expect(&[("memwatch.cgroup.id", inner.id()?.into())])?;
    let summed = run.errors.lines().any(|line| line.contains(seen));
    ensure!(summed, "the summary knows nothing of {seen}: {}", run.errors);
    Ok(())
}

fn kinds() -> anyhow::Result<()> {
    let run = traced(
        &["--event", "munmap,exit", "--min-bytes", "1048576"],
        &["map", "--bytes", "7000001", "--unmap"],
    )?;
    run.one("munmap", |line| line.is("bytes", MEANT))?;
    let pid = run.pid()?;
    run.one("exit", |line| line.pid() == pid)?;
    for kind in ["mmap", "exec", "fork", "rlimit_read", "brk"] {
        run.none(kind, |_| true)?;
    }
    Ok(())
}

fn nothing() -> anyhow::Result<()> {
    // 2^22 is the largest pid_max: no process has this id.
    for options in
        [["--pid", "4194305"], ["--tree", "4194305"], ["--cgroup", "/no/such/group"], ["--event", "nonsense"]]
    {
        refused(options)?;
    }
    Ok(())
}

/// An option is refused by a message that names its value.
fn refused(options: [&str; 2]) -> anyhow::Result<()> {
    let mut running = Tracer::new(&options)?.start()?;
    let status = running.wait(crate::child::PATIENCE)?;
    let errors = running.errors();
    ensure!(!status.success(), "{options:?} was accepted");
    let [option, value] = options;
    ensure!(errors.contains(value), "the error about {option} does not name {value}: {errors}");
    Ok(())
}

fn pid_of_thread() -> anyhow::Result<()> {
    // This test's own process has several threads; a thread that leads no process is none to filter by.
    let own = std::process::id().to_string();
    let mut threads = std::fs::read_dir("/proc/self/task")?.filter_map(Result::ok);
    let thread = threads.find_map(|entry| entry.file_name().into_string().ok().filter(|id| *id != own));
    let thread = thread.context("this process has one thread only")?;
    refused(["--pid", &thread])?;
    refused(["--tree", &thread])
}

fn long_name() -> anyhow::Result<()> {
    refused(["--comm", "sixteen-bytes-ok"])?;
    // With a wildcard it may match the 15 bytes that the kernel keeps.
    let meant = named("fifteen-bytes-x", MEANT)?;
    sees_only(&["--comm", "fifteen-bytes-*"], meant, named("other", NEIGHBOUR)?).map(drop)
}
