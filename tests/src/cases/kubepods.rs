//! Groups that come and go under the tracer, laid out as Kubernetes does it: what their processes did is attributed to
//! them, also when it is read after all of it is gone.

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::line::Line;
use crate::need::Need;
use crate::syscall::process;
use crate::tracer::{Attached, Tracer};
use crate::trigger::Trigger;

const UNIFIED: &[Need] = &[Need::Root, Need::Tracing, Need::Unified];
const MEMORY: &[Need] = &[Need::Root, Need::Tracing, Need::UnifiedMemory];

pub(super) const CASES: &[Case] = &[
    Case::new("kubepods::attributed_after_death", UNIFIED, after_death),
    Case::new("kubepods::gone_unseen_is_attributed_to_nobody", UNIFIED, unseen),
    Case::new("kubepods::oom_kill_names_the_container", MEMORY, oom_kill),
];

const POD: &str = "0b8f7f1c-2d51-4c9b-9a53-7c1a4de4c1f0";
const FIRST: &str = "c8f3a1de5b7942f0a6d4c3b2e1f09876543210fedcba98760123456789abcdef";
const SECOND: &str = "1f2e3d4c5b6a79880716253443526170f0e1d2c3b4a5968778695a4b3c2d1e0f";
const BYTES: u64 = 9_000_001;

/// A pod's groups from `kubepods.slice` down, below a group of the test's own. The last is removed first.
struct Pod {
    containers: Vec<Group>,
    above: Vec<Group>,
}

impl Pod {
    fn new(root: Group) -> anyhow::Result<Self> {
        let pod = format!("kubepods-burstable-pod{}.slice", POD.replace('-', "_"));
        let mut above = vec![root];
        for name in ["kubepods.slice", "kubepods-burstable.slice", &pod] {
            let parent = above.last().context("a root")?;
            above.push(parent.child(name)?);
        }
        Ok(Self { containers: Vec::new(), above })
    }

    /// Makes a container's group.
    fn container(&mut self, id: &str) -> anyhow::Result<&Group> {
        let pod = self.above.last().context("a pod")?;
        self.containers.push(pod.child(&format!("cri-containerd-{id}.scope"))?);
        self.containers.last().context("a container")
    }

    fn remove(mut self) {
        self.containers.clear();
        while self.above.pop().is_some() {}
    }
}

fn tracer() -> anyhow::Result<Attached> {
    Tracer::new(&["--event", "mmap,exit,oom_kill", "--min-bytes", "1048576"])?.attach()
}

fn mapper() -> anyhow::Result<Trigger> {
    Trigger::ready(&["map", "--bytes", &BYTES.to_string()])
}

/// Checks the keys that say where a process ran.
fn is_in(line: &Line, container: &str, group: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("memwatch.cgroup.id", group.into()),
        ("container.id", container.into()),
        ("container.runtime.name", "containerd".into()),
        ("k8s.pod.uid", POD.into()),
        ("k8s.pod.qos_class", "Burstable".into()),
    ])?;
    let path = line.text("memwatch.cgroup.path")?;
    ensure!(path.ends_with(&format!("/cri-containerd-{container}.scope")), "in {path}: {line}");
    Ok(())
}

fn after_death() -> anyhow::Result<()> {
    let mut tracer = tracer()?;
    let mut pod = Pod::new(Group::new("k8s")?)?;
    let mut runs = Vec::new();
    for id in [FIRST, SECOND] {
        let group = pod.container(id)?;
        let mut trigger = mapper()?;
        group.take(trigger.pid())?;
        let (pid, group) = (u64::from(trigger.pid()), group.id()?);
        trigger.act()?;
        let line = tracer.wait_for("mmap", |line| line.pid() == pid && line.is("bytes", BYTES))?;
        is_in(&line, id, group)?;
        runs.push((trigger, pid, id, group));
    }
    // The tracer reads of the ends when neither process nor group is left to look at.
    process::signal(tracer.pid(), libc::SIGSTOP)?;
    let ends = runs.into_iter().map(|(trigger, pid, id, group)| {
        trigger.finish()?;
        Ok((pid, id, group))
    });
    let ends: Vec<_> = ends.collect::<anyhow::Result<_>>()?;
    pod.remove();
    process::signal(tracer.pid(), libc::SIGCONT)?;
    for (pid, id, group) in ends {
        let line = tracer.wait_for("exit", |line| line.pid() == pid)?;
        is_in(&line, id, group)?;
    }
    tracer.interrupt()?.succeeded().map(drop)
}

fn unseen() -> anyhow::Result<()> {
    let mut tracer = tracer()?;
    process::signal(tracer.pid(), libc::SIGSTOP)?;
    let mut pod = Pod::new(Group::new("k8s")?)?;
    let container = pod.container(FIRST)?;
    let group = container.id()?;
    let mut trigger = mapper()?;
    container.take(trigger.pid())?;
    let pid = u64::from(trigger.pid());
    trigger.act_and_hold()?;
    trigger.finish()?;
    pod.remove();
    process::signal(tracer.pid(), libc::SIGCONT)?;
    let line = tracer.wait_for("mmap", |line| line.pid() == pid && line.is("bytes", BYTES))?;
    line.expect(&[("memwatch.cgroup.id", group.into())])?;
    for key in ["memwatch.cgroup.path", "container.id", "k8s.pod.uid", "memwatch.unit"] {
        ensure!(line.get(key).is_none(), "nobody could know {key}: {line}");
    }
    tracer.interrupt()?.succeeded().map(drop)
}

fn oom_kill() -> anyhow::Result<()> {
    const LIMIT: u64 = 48 << 20;
    let mut tracer = tracer()?;
    let mut pod = Pod::new(Group::with_memory("k8s")?)?;
    pod.above.iter().try_for_each(Group::hand_down_memory)?;
    let container = pod.container(FIRST)?;
    container.limit_memory(LIMIT)?;
    let mut victim = Trigger::ready(&["grow", "--step", "1048576", "--steps", "128"])?;
    container.take(victim.pid())?;
    let (pid, group) = (u64::from(victim.pid()), container.id()?);
    process::signal(tracer.pid(), libc::SIGSTOP)?;
    victim.act()?;
    let (status, _) = victim.finish()?;
    ensure!(!status.success(), "the victim ended with {status}");
    process::signal(tracer.pid(), libc::SIGCONT)?;
    let line = tracer.wait_for("oom_kill", |line| line.pid() == pid)?;
    is_in(&line, FIRST, group)?;
    line.expect(&[("domain_cgroup_id", group.into()), ("domain_limit_bytes", LIMIT.into())])?;
    pod.remove();
    tracer.interrupt()?.succeeded().map(drop)
}
