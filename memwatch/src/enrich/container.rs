//! What a cgroup path names: containers, pods, systemd units and slices.
//!
//! Runtimes name cgroups in their own ways; each is quoted with the source that makes it:
//! - Docker: `/docker/ID` (cgroupfs) and `docker-ID.scope` (systemd) – moby, daemon/oci_linux.go.
//! - containerd's CRI plugin: `…/podUID/ID` and `cri-containerd-ID.scope`, and `SLICE:cri-containerd:ID` as one segment
//!   when the driver of kubelet and runtime differ – containerd, internal/cri/server/podsandbox/helpers.go.
//! - nerdctl: `/NAMESPACE/ID` and `nerdctl-ID.scope` – nerdctl, pkg/cmd/container/run_cgroup_linux.go.
//! - CRI-O: `crio-ID.scope` or `crio-ID`, its monitor `crio-conmon-ID.scope` – cri-o, internal/config/cgmgr.
//! - Podman: `libpod-ID.scope`, `libpod-ID` or, with split cgroups, `libpod-payload-ID`, its monitor
//!   `libpod-conmon-ID.scope` – podman, libpod/container_internal_common.go and oci_conmon_linux.go.
//! - Kata: `kata_` before what the runtime asked for – kata-containers, src/runtime/pkg/resourcecontrol/utils_linux.go.
//!
//! The innermost container wins (kind and k3s run kubelets within containers). An id has 64 hexadecimal digits in all
//! of them; names without one (containerd's `/default/t1`, LXC's `/lxc.payload.web`) are no container ids.

mod pod;
mod unit;

pub use pod::pod_of;
pub use unit::{slice_of, unit_of};

use crate::core::fact::{Container, Pod};

/// Names before an id, and the runtime that gives them. The longer of two that fit stands first.
const PREFIXES: [(&str, &str); 6] = [
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("libpod-payload", "podman"),
    ("libpod", "podman"),
];

/// What a cgroup path names; of containers and pods the innermost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The container that the cgroup is or lies in.
    pub container: Option<Container>,
    /// The pod that it is or lies in.
    pub pod: Option<Pod>,
    /// The systemd unit, a slice where there is no other.
    pub unit: Option<String>,
    /// The slice of this host's systemd.
    pub slice: Option<String>,
}

/// All that `path` names.
#[must_use]
pub fn names_of(path: &str) -> Names {
    Names { container: container_of(path), pod: pod_of(path), unit: unit_of(path), slice: slice_of(path) }
}

/// The container whose cgroup `path` is or lies in.
#[must_use]
pub fn container_of(path: &str) -> Option<Container> {
    containers(path).last().map(|(id, runtime)| Container { id: id.to_owned(), runtime })
}

/// Whether the cgroup `path` is or lies in a container's; makes no memory.
#[must_use]
pub fn is_in_container(path: &str) -> bool {
    containers(path).next().is_some()
}

/// Ids and runtimes of the containers in a path, the outermost first.
fn containers(path: &str) -> impl Iterator<Item = (&str, Option<&'static str>)> {
    let parents = std::iter::once("").chain(path.split('/'));
    path.split('/').zip(parents).filter_map(|(segment, parent)| container_in(segment, parent))
}

fn container_in<'a>(segment: &'a str, parent: &str) -> Option<(&'a str, Option<&'static str>)> {
    let name = segment.split_once(':').map_or(segment, |(_, name)| name);
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let name = name.strip_prefix("kata_").unwrap_or(name);
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

#[cfg(test)]
mod tests;
