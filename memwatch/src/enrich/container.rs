//! Containers, pods and systemd units, read out of a cgroup path.
//!
//! Runtimes name cgroups in their own ways; each is quoted with the source that makes it:
//! - Docker: `/docker/ID` (cgroupfs) and `docker-ID.scope` (systemd) – moby, daemon/oci_linux.go.
//! - containerd's CRI plugin: `…/podUID/ID` and `cri-containerd-ID.scope`, and `SLICE:cri-containerd:ID` as one segment
//!   when the driver of kubelet and runtime differ – containerd, internal/cri/server/podsandbox/helpers.go.
//! - nerdctl: `/NAMESPACE/ID` and `nerdctl-ID.scope` – nerdctl, pkg/cmd/container/run_cgroup_linux.go.
//! - CRI-O: `crio-ID.scope` or `crio-ID`, its monitor `crio-conmon-ID.scope` – cri-o, internal/config/cgmgr.
//! - Podman: `libpod-ID.scope`, `libpod-ID` or, with split cgroups, `libpod-payload-ID`, its monitor
//!   `libpod-conmon-ID.scope` – podman, libpod/container_internal_common.go and oci_conmon_linux.go.
//! - Kubernetes: `kubepods[-QOS]-podUID.slice` with `_` for `-` (systemd) and `/kubepods[/QOS]/podUID` (cgroupfs), a
//!   static pod's UID being a hash without dashes – kubernetes, pkg/kubelet/cm/cgroup_manager_linux.go.
//!
//! The innermost container wins (kind and k3s run kubelets within containers). An id has 64 hexadecimal digits in all
//! of them; names without one (containerd's `/default/t1`) are no container ids.

mod unit;

pub use unit::unit_of;

use crate::core::fact::Container;

/// Names before an id, and the runtime that gives them. The longer of two that fit stands first.
const PREFIXES: [(&str, &str); 6] = [
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("libpod-payload", "podman"),
    ("libpod", "podman"),
];

/// The container whose cgroup `path` is or lies in.
#[must_use]
pub fn container_of(path: &str) -> Option<Container> {
    let mut parent = "";
    let mut pod = None;
    let mut found = None;
    for segment in path.split('/') {
        // `SLICE:cri-containerd:ID` is a pod and a container in one segment.
        let slice = segment.split_once(':').map_or(segment, |(slice, _)| slice);
        pod = pod_uid(slice).or(pod);
        if let Some((id, runtime)) = container_in(segment, parent) {
            found = Some((id, runtime, pod.clone()));
        }
        parent = segment;
    }
    found.map(|(id, runtime, pod_uid)| Container { id: id.to_owned(), runtime, pod_uid })
}

/// Whether the cgroup `path` is or lies in a container's; makes no memory.
#[must_use]
pub fn is_in_container(path: &str) -> bool {
    let parents = std::iter::once("").chain(path.split('/'));
    path.split('/').zip(parents).any(|(segment, parent)| container_in(segment, parent).is_some())
}

fn container_in<'a>(segment: &'a str, parent: &str) -> Option<(&'a str, Option<&'static str>)> {
    let name = segment.split_once(':').map_or(segment, |(_, name)| name);
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let Some((prefix, id)) = name.rsplit_once(['-', ':']) else {
        let runtime = (parent == "docker").then_some("docker");
        return is_id(name).then_some((name, runtime));
    };
    // A monitor stands beside its container, and a pod of Podman's is no container: both carry an id all the same.
    if !is_id(id) || prefix.ends_with("conmon") {
        return None;
    }
    let runtime = PREFIXES.into_iter().find(|(known, _)| prefix == *known).map(|(_, runtime)| runtime);
    Some((id, runtime))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The uid in `podUID` and in `kubepods-burstable-podUID.slice` (below a kubelet in a container `kubelet-kubepods-…`).
fn pod_uid(segment: &str) -> Option<String> {
    let uid = match segment.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod").filter(|(before, _)| before.contains("kubepods"))?.1,
        None => segment.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    is_pod_uid(&uid).then_some(uid)
}

/// Whether `text` is a UUID, or the 32 digits of a static pod's hash.
fn is_pod_uid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    matches!(groups.as_slice(), [8, 4, 4, 4, 12] | [32])
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[cfg(test)]
mod tests;
