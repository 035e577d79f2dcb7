//! Names of containers and pods, asked of a real containerd: of those that run, that are short-lived, and that are gone.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::daemon::{Stage, policy};
use crate::case::Case;
use crate::cgroup::Group;
use crate::container_runtime::{ContainerRuntime, IMAGE, NAMESPACE, NEEDS, Pod};
use crate::line::Line;
use crate::need::Need;
use crate::syscall::process;
use crate::tracer::{Attached, Tracer};
use crate::trigger::Trigger;

const WITH_MEMORY: &[Need] = &[
    Need::Root,
    Need::Tracing,
    Need::InitialPids,
    Need::Memory,
    Need::Program("usr/bin/containerd"),
    Need::Program("usr/sbin/runc"),
    Need::Program("bin/busybox"),
];
const WITH_GROUPS: &[Need] = &[
    Need::Root,
    Need::Tracing,
    Need::InitialPids,
    Need::Unified,
    Need::Program("usr/bin/containerd"),
    Need::Program("usr/sbin/runc"),
    Need::Program("bin/busybox"),
];

pub(super) const CASES: &[Case] = &[
    Case::new("containers::a_running_one_has_its_names", NEEDS, running),
    Case::alone("containers::one_that_lives_50_ms_is_named", NEEDS, short_lived),
    Case::new("containers::a_victim_that_is_gone_is_named", WITH_MEMORY, victim),
    Case::new("containers::the_daemon_names_whom_it_kills", NEEDS, killed),
    Case::new("containers::a_stalled_runtime_holds_nothing_up", WITH_GROUPS, stalled),
    Case::new("containers::a_runtime_that_starts_again_is_asked_again", NEEDS, restarted),
];

/// A container that nobody has made.
const STRANGER: &str = "c8f3a1de5b7942f0a6d4c3b2e1f09876543210fedcba98760123456789abcdef";
const MIB: u64 = 1 << 20;

fn tracer(runtime: &ContainerRuntime, events: &str) -> anyhow::Result<Attached> {
    Tracer::new(&["--event", events, "--cri-socket", &runtime.socket()])?.attach()
}

/// Checks the keys that only the runtime knows.
fn is_named(line: &Line, pod: &str, container: &str) -> anyhow::Result<()> {
    line.expect(&[
        ("container.name", container.into()),
        ("container.image.name", IMAGE.into()),
        ("container.image.tags", ["1.0"].as_slice().into()),
        ("container.label.tier", "front".into()),
        ("k8s.pod.name", pod.into()),
        ("k8s.namespace.name", NAMESPACE.into()),
        ("k8s.container.name", container.into()),
        ("k8s.container.restart_count", 3.into()),
        ("k8s.pod.label.app.kubernetes.io/name", pod.into()),
    ])?;
    ensure!(line.get("container.label.io.kubernetes.container.name").is_none(), "{line}");
    Ok(())
}

/// Waits for the container's own program; what runc does before it is in the container's cgroup as well.
fn wait_for(tracer: &mut Attached, name: &str, id: &str) -> anyhow::Result<Line> {
    tracer.wait_for(name, |line| line.is("container.id", id) && line.is("process.executable.name", "busybox"))
}

fn running() -> anyhow::Result<()> {
    let runtime = ContainerRuntime::start()?;
    let before = runtime.pod("before")?;
    let old = runtime.run(&before, "old", &["/bin/busybox", "sleep", "1000"], 0)?;
    let mut tracer = tracer(&runtime, "exec,exit")?;
    let pod = runtime.pod("web-0")?;
    let id = runtime.run(&pod, "app", &["/bin/busybox", "sleep", "1000"], 0)?;
    let line = wait_for(&mut tracer, "exec", &id)?;
    is_named(&line, "web-0", "app")?;
    line.expect(&[("k8s.pod.uid", pod.uid.as_str().into()), ("k8s.pod.qos_class", "Burstable".into())])?;
    for (id, pod, name) in [(old, "before", "old"), (id, "web-0", "app")] {
        runtime.remove(&id)?;
        is_named(&wait_for(&mut tracer, "exit", &id)?, pod, name)?;
    }
    [&before, &pod].into_iter().try_for_each(|pod| runtime.remove_pod(pod))?;
    // The sandbox has the names of its pod, and none of its own. containerd tells of it only when its process runs, which has had
    // events by then.
    let line = wait_for(&mut tracer, "exit", &pod.id)?;
    line.expect(&[("k8s.pod.name", "web-0".into()), ("k8s.namespace.name", NAMESPACE.into())])?;
    ensure!(line.get("container.name").is_none(), "{line}");
    tracer.interrupt()?.succeeded()?;
    runtime.end()
}

/// Containers that live so long. A kubelet keeps those that ended until their pod goes, so the runtime can be asked for a while: all
/// have names. Pods that are gone at once, with all they had, are named as far as the runtime is asked in time.
fn short_lived() -> anyhow::Result<()> {
    const CONTAINERS: usize = 20;
    const PODS: usize = 10;
    const COMMAND: [&str; 3] = ["/bin/busybox", "sleep", "0.05"];
    let runtime = ContainerRuntime::start()?;
    let mut tracer = tracer(&runtime, "exec,exit")?;
    let jobs = runtime.pod("jobs")?;
    let job = |number: usize| format!("job-{number}");
    let kept: Vec<_> = (0..CONTAINERS)
        .map(|number| runtime.run(&jobs, &job(number), &COMMAND, 0))
        .collect::<anyhow::Result<_>>()?;
    let mut gone = Vec::new();
    for number in 0..PODS {
        let name = format!("short-{number}");
        let pod = runtime.pod(&name)?;
        let id = runtime.run(&pod, &job(number), &COMMAND, 0)?;
        std::thread::sleep(Duration::from_millis(50));
        runtime.remove_pod(&pod)?;
        gone.push((id, name));
    }
    for id in &kept {
        wait_for(&mut tracer, "exit", id)?;
    }
    // One that was removed at once may have been runc's still.
    for (id, _) in &gone {
        tracer.wait_for("exit", |line| line.is("container.id", id.as_str()))?;
    }
    runtime.remove_pod(&jobs)?;
    let run = tracer.interrupt()?.succeeded()?;
    let of = |id: &str| {
        let lines = run.lines.iter().filter(|line| line.is("container.id", id));
        lines.collect::<Vec<_>>()
    };
    for (number, id) in kept.iter().enumerate() {
        of(id).iter().try_for_each(|line| is_named(line, "jobs", &job(number)))?;
    }
    let mut named = 0;
    for (number, (id, pod)) in gone.iter().enumerate() {
        let lines = of(id);
        let told: Vec<_> = lines.iter().filter(|line| line.get("container.name").is_some()).collect();
        told.iter().try_for_each(|line| is_named(line, pod, &job(number)))?;
        named += usize::from(told.len() == lines.len());
    }
    // A figure for whoever asks for it; nobody to tell is no reason to fail. How many come in time is the machine's affair.
    let _ = writeln!(
        std::io::stderr(),
        "{CONTAINERS} of {CONTAINERS} containers that stay listed are named, {named} of {PODS} that go at once"
    );
    runtime.end()
}

fn victim() -> anyhow::Result<()> {
    let runtime = ContainerRuntime::start()?;
    let mut tracer = tracer(&runtime, "exec,oom_kill,exit")?;
    let pod = runtime.pod("web-0")?;
    // The name is known before: the shell waits a while.
    let command = ["/bin/busybox", "sh", "-c", "/bin/busybox sleep 2; exec /bin/busybox tail /dev/zero"];
    let id = runtime.run(&pod, "hog", &command, 32 * MIB)?;
    is_named(&wait_for(&mut tracer, "exec", &id)?, "web-0", "hog")?;
    process::signal(tracer.pid(), libc::SIGSTOP)?;
    runtime.wait(&id)?;
    runtime.remove_pod(&pod)?;
    process::signal(tracer.pid(), libc::SIGCONT)?;
    let line = tracer.wait_for("oom_kill", |line| line.is("container.id", id.as_str()))?;
    is_named(&line, "web-0", "hog")?;
    line.expect(&[("domain_limit_bytes", (32 * MIB).into())])?;
    tracer.interrupt()?.succeeded()?;
    runtime.end()
}

fn killed() -> anyhow::Result<()> {
    let runtime = ContainerRuntime::start()?;
    let limit = "[[process_limit]]\nname = \"hog\"\nmatch = { exe = \"busybox\" }\nlimit = \"64MiB\"\n";
    let sockets = format!("[containers]\nsockets = [\"{}\"]\n", runtime.socket());
    let policy = policy("enforce", runtime.pid(), &format!("{limit}{sockets}"));
    let mut stage = Stage::new(runtime, &policy, &[])?;
    let pod = stage.pool().pod("web-0")?;
    let id = stage.pool().run(&pod, "hog", &["/bin/busybox", "tail", "/dev/zero"], 512 * MIB)?;
    let decision = stage.wait_for("decision", |line| line.is("container.id", id.as_str()))?;
    is_named(&decision, "web-0", "hog")?;
    stage.pool().wait(&id)?;
    stage.pool().remove_pod(&pod)?;
    let closing = stage.wait_for("closing", |line| line.is("container.id", id.as_str()))?;
    is_named(&closing, "web-0", "hog")?;
    stage.end().map(drop)
}

fn stalled() -> anyhow::Result<()> {
    let runtime = ContainerRuntime::start()?;
    let mut tracer = tracer(&runtime, "exec,exit,mmap")?;
    let pod = runtime.pod("web-0")?;
    let id = runtime.run(&pod, "app", &["/bin/busybox", "sleep", "1000"], 0)?;
    is_named(&wait_for(&mut tracer, "exec", &id)?, "web-0", "app")?;
    runtime.signal(libc::SIGSTOP)?;
    let group = Group::new("stalled")?;
    let container = group.child(&format!("cri-containerd-{STRANGER}.scope"))?;
    for round in 0..3 {
        let mut trigger = Trigger::ready(&["map", "--bytes", &(9 * MIB).to_string()])?;
        container.take(trigger.pid())?;
        let pid = u64::from(trigger.pid());
        let start = Instant::now();
        trigger.act()?;
        let line = tracer.wait_for("mmap", |line| line.pid() == pid)?;
        let took = start.elapsed();
        line.expect(&[("container.id", STRANGER.into()), ("container.runtime.name", "containerd".into())])?;
        ensure!(line.get("container.name").is_none(), "{line}");
        // Beside the time that the machine takes for anything.
        ensure!(took < Duration::from_secs(5), "event {round} took {took:?}");
        trigger.finish()?;
    }
    // Longer than a call may take.
    std::thread::sleep(Duration::from_secs(3));
    runtime.signal(libc::SIGCONT)?;
    named_in_the_end(&runtime, &mut tracer, &pod, "web-0")?;
    runtime.remove_pod(&pod)?;
    let run = tracer.interrupt()?.succeeded()?;
    ensure!(run.lost("container_calls_failed") > 0, "nothing was counted");
    ensure!(run.lost("containers_unnamed") > 0, "nobody left without a name");
    runtime.end()
}

fn restarted() -> anyhow::Result<()> {
    let runtime = ContainerRuntime::start()?;
    let mut tracer = tracer(&runtime, "exec,exit")?;
    let pod = runtime.pod("web-0")?;
    let id = runtime.run(&pod, "app", &["/bin/busybox", "sleep", "1000"], 0)?;
    is_named(&wait_for(&mut tracer, "exec", &id)?, "web-0", "app")?;
    let before = runtime.daemon().context("containerd runs")?;
    runtime.signal(libc::SIGKILL)?;
    let again = || runtime.daemon().is_some_and(|pid| pid != before);
    crate::tracer::eventually(crate::child::PATIENCE, "containerd starts again", again)?;
    let start = Instant::now();
    let pod = loop {
        // It may not take calls yet.
        match runtime.pod("web-1") {
            Ok(pod) => break pod,
            Err(error) => ensure!(start.elapsed() < Duration::from_secs(60), "{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    named_in_the_end(&runtime, &mut tracer, &pod, "web-1")?;
    // What was known stays known.
    runtime.remove(&id)?;
    is_named(&wait_for(&mut tracer, "exit", &id)?, "web-0", "app")?;
    runtime.remove_pod(&pod)?;
    tracer.interrupt()?.succeeded()?;
    runtime.end()
}

/// A runtime that failed is asked again after a pause.
fn named_in_the_end(
    runtime: &ContainerRuntime,
    tracer: &mut Attached,
    pod: &Pod,
    name: &str,
) -> anyhow::Result<()> {
    let start = Instant::now();
    for number in 0.. {
        let job = format!("next-{number}");
        let next = runtime.run(pod, &job, &["/bin/busybox", "sleep", "0.05"], 0)?;
        if is_named(&wait_for(tracer, "exit", &next)?, name, &job).is_ok() {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "it is not asked again");
    }
    Ok(())
}
