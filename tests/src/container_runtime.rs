//! A real containerd, driven over its CRI socket as a kubelet does it, apart from the host: its processes, mounts, network and
//! files are gone when it is dropped, and so are its cgroups.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use memwatch::enrich::cri::api::image_service_client::ImageServiceClient;
use memwatch::enrich::cri::api::runtime_service_client::RuntimeServiceClient;
use memwatch::enrich::cri::api::{self, NamespaceMode};
use tonic::transport::{Channel, Endpoint};

use crate::child::{PATIENCE, Running};
use crate::need::Need;
use crate::site::children;
use crate::tracer::eventually;
use crate::{locate, program, syscall};

/// What it needs of the machine.
pub const NEEDS: &[Need] = &[
    Need::Root,
    Need::Tracing,
    Need::InitialPids,
    Need::Program("usr/bin/containerd"),
    Need::Program("usr/sbin/runc"),
    Need::Program("bin/busybox"),
];

/// Its only image.
pub const IMAGE: &str = "memwatch.test/busybox";
/// Namespace of all pods.
pub const NAMESPACE: &str = "shop";
/// Where it listens, in its own root.
const SOCKET: &str = "run/containerd/containerd.sock";
/// Seconds after which it ends should nobody end it.
const SECONDS: &str = "600";

/// A containerd that runs.
pub struct ContainerRuntime {
    running: Running,
    root: PathBuf,
    cgroup: String,
    calls: tokio::runtime::Runtime,
    has_ended: bool,
}

/// A pod that was made.
pub struct Pod {
    /// Id of its sandbox.
    pub id: String,
    /// Its uid.
    pub uid: String,
    config: api::PodSandboxConfig,
}

impl ContainerRuntime {
    /// Starts it, with its image.
    ///
    /// # Errors
    /// It cannot be started, or does not answer.
    pub fn start() -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let files = program::root().context("no root file system")?;
        let mut command = Command::new(locate::trigger()?);
        command.args(["inside", "--sys", "--seconds", SECONDS, "--root"]).arg(&files);
        command.args(["--", "/bin/sh", "-c", include_str!("container_runtime.sh")]).stdin(Stdio::null());
        let calls = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut runtime = Self {
            running: Running::start(&mut command)?,
            root: PathBuf::new(),
            cgroup: format!("memwatch-tests-{}-{number}-cri", std::process::id()),
            calls: calls.context("make a runtime for calls")?,
            has_ended: false,
        };
        let parent = runtime.running.pid();
        eventually(PATIENCE, "its first process runs", || !children(parent).is_empty())?;
        let first = children(parent).first().copied().context("no first process")?;
        runtime.root = PathBuf::from(format!("/proc/{first}/root"));
        let ready = runtime.running.next_line(PATIENCE);
        ensure!(ready.as_deref().ok() == Some("ready"), "{ready:?}; its log:\n{}", runtime.log());
        eventually(PATIENCE, "it has its image", || runtime.has_image())
            .with_context(|| format!("its log:\n{}", runtime.log()))?;
        Ok(runtime)
    }

    /// Root of its process tree.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its socket, as the host reaches it.
    #[must_use]
    pub fn socket(&self) -> String {
        self.root.join(SOCKET).display().to_string()
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.root.join("tmp/log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    /// The process of containerd itself, while there is one.
    #[must_use]
    pub fn daemon(&self) -> Option<u32> {
        let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let mut next = children(self.running.pid());
        while let Some(pid) = next.pop() {
            if name(pid).trim() == "containerd" {
                return Some(pid);
            }
            next.extend(children(pid));
        }
        None
    }

    /// Sends a signal to containerd itself.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: i32) -> anyhow::Result<()> {
        let pid = self.daemon().context("containerd does not run")?;
        syscall::process::signal(pid, signal).context("signal containerd")
    }

    fn call<T>(
        &self,
        call: impl AsyncFnOnce(Channel) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> anyhow::Result<T> {
        let endpoint = Endpoint::from_shared(format!("unix:{}", self.socket()))?;
        let answer = self.calls.block_on(async {
            let channel = endpoint.connect().await.context("connect to containerd")?;
            let answer = tokio::time::timeout(PATIENCE, call(channel)).await.context("no answer in time")?;
            answer.map(tonic::Response::into_inner).context("a call failed")
        });
        answer.with_context(|| format!("containerd's log:\n{}", self.log()))
    }

    fn has_image(&self) -> bool {
        let image = Some(image());
        let request = api::ImageStatusRequest { image, verbose: false };
        let status = self.call(async |channel| ImageServiceClient::new(channel).image_status(request).await);
        status.is_ok_and(|status| status.image.is_some())
    }

    /// Starts a pod, in the host's network as it is called though it is one apart.
    ///
    /// # Errors
    /// containerd refuses.
    pub fn pod(&self, name: &str) -> anyhow::Result<Pod> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let uid = format!("0b8f7f1c-2d51-4c9b-9a53-{:012x}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let metadata = api::PodSandboxMetadata {
            name: name.to_owned(),
            uid: uid.clone(),
            namespace: NAMESPACE.to_owned(),
            attempt: 0,
        };
        let context =
            api::LinuxSandboxSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
        let config = api::PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: "/tmp/logs".to_owned(),
            labels: labels(&[("app.kubernetes.io/name", name), ("io.kubernetes.pod.name", name)]),
            linux: Some(api::LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}/kubepods/burstable/pod{uid}", self.cgroup),
                security_context: Some(context),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = api::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
        let answer =
            self.call(async |channel| RuntimeServiceClient::new(channel).run_pod_sandbox(request).await)?;
        Ok(Pod { id: answer.pod_sandbox_id, uid, config })
    }

    /// Makes a container and starts it; gives its id.
    ///
    /// # Errors
    /// containerd refuses.
    pub fn run(&self, pod: &Pod, name: &str, command: &[&str], memory: u64) -> anyhow::Result<String> {
        let metadata = api::ContainerMetadata { name: name.to_owned(), attempt: 3 };
        let context = api::LinuxContainerSecurityContext {
            namespace_options: Some(namespaces()),
            ..Default::default()
        };
        let resources = api::LinuxContainerResources {
            memory_limit_in_bytes: i64::try_from(memory)?,
            ..Default::default()
        };
        let config = api::ContainerConfig {
            metadata: Some(metadata),
            image: Some(image()),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            labels: labels(&[("tier", "front"), ("io.kubernetes.container.name", name)]),
            linux: Some(api::LinuxContainerConfig {
                resources: Some(resources),
                security_context: Some(context),
            }),
            ..Default::default()
        };
        let request = api::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let id = self
            .call(async |channel| RuntimeServiceClient::new(channel).create_container(request).await)?
            .container_id;
        let request = api::StartContainerRequest { container_id: id.clone() };
        self.call(async |channel| RuntimeServiceClient::new(channel).start_container(request).await)?;
        Ok(id)
    }

    /// Waits until a container has ended by itself.
    ///
    /// # Errors
    /// It does not.
    pub fn wait(&self, id: &str) -> anyhow::Result<()> {
        eventually(PATIENCE, "the container ends", || {
            let request = api::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
            let answer =
                self.call(async |channel| RuntimeServiceClient::new(channel).container_status(request).await);
            answer.is_ok_and(|answer| {
                answer.status.is_some_and(|status| status.state() == api::ContainerState::ContainerExited)
            })
        })
    }

    /// Kills a container, and has it forgotten.
    ///
    /// # Errors
    /// containerd refuses.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        let request = api::RemoveContainerRequest { container_id: id.to_owned() };
        self.call(async |channel| RuntimeServiceClient::new(channel).remove_container(request).await)
            .map(drop)
    }

    /// Kills a pod with all its containers, and has it forgotten.
    ///
    /// # Errors
    /// containerd refuses.
    pub fn remove_pod(&self, pod: &Pod) -> anyhow::Result<()> {
        let pod_sandbox_id = pod.id.clone();
        let request = api::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
        self.call(async |channel| RuntimeServiceClient::new(channel).stop_pod_sandbox(request).await)?;
        // It stops them before it has heard of all their ends; a kubelet asks again too.
        let mut last = Ok(());
        eventually(Duration::from_secs(20), "the pod is removed", || {
            let request = api::RemovePodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
            let answer = self
                .call(async |channel| RuntimeServiceClient::new(channel).remove_pod_sandbox(request).await);
            last = answer.map(drop);
            last.is_ok()
        })
        .or(last)
    }
}

fn image() -> api::ImageSpec {
    api::ImageSpec { image: format!("{IMAGE}:1.0"), ..Default::default() }
}

fn namespaces() -> api::NamespaceOption {
    api::NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    }
}

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl ContainerRuntime {
    /// Ends it, with all that it started.
    ///
    /// # Errors
    /// A process or a cgroup is left.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        // Its process id may be another's once it was waited for.
        if std::mem::replace(&mut self.has_ended, true) {
            return Ok(());
        }
        // The first process of its name space ends with this one, and takes all others along.
        let first = children(self.running.pid());
        // Both fail only when it has ended.
        let _ = self.running.signal(libc::SIGKILL);
        let _ = self.running.wait(PATIENCE);
        let has_ended = || first.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        eventually(Duration::from_secs(20), "its processes end", has_ended)?;
        eventually(Duration::from_secs(20), "its cgroups are gone", || {
            groups(&self.cgroup).iter().all(|group| remove_tree(group))
        })
    }
}

impl Drop for ContainerRuntime {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // Nobody to tell is no reason to fail.
            let _ = writeln!(std::io::stderr(), "containerd left something: {error:#}");
        }
    }
}

/// The folders of a cgroup of this name, one for each hierarchy.
fn groups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let groups = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name));
    groups.filter(|group| group.is_dir()).collect()
}

/// Removes a cgroup and those below; false when one has a process left.
fn remove_tree(group: &Path) -> bool {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    let below: Vec<_> = below.filter(|path| path.is_dir()).collect();
    below.iter().all(|group| remove_tree(group)) && std::fs::remove_dir(group).is_ok()
}
