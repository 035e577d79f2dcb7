//! The Kubernetes pod that a cgroup path names.
//!
//! The kubelet names pods `kubepods[-CLASS]-podUID.slice` with `_` for `-` (systemd) and `/kubepods[/CLASS]/podUID`
//! (cgroupfs); what stands before `kubepods` is its `--cgroup-root` – kubernetes, pkg/kubelet/cm/cgroup_manager_linux.go.
//! Guaranteed pods have no class in their name – pkg/kubelet/cm/qos_container_manager_linux.go. A static pod's uid is a
//! hash without dashes – pkg/kubelet/config/common.go.

use crate::core::fact::{Pod, Qos};

/// The innermost pod whose cgroup `path` is or lies in.
#[must_use]
pub fn pod_of(path: &str) -> Option<Pod> {
    let parents = std::iter::once("").chain(path.split('/'));
    path.split('/').zip(parents).filter_map(|(segment, parent)| pod_in(segment, parent)).last()
}

fn pod_in(segment: &str, parent: &str) -> Option<Pod> {
    // `SLICE:cri-containerd:ID` is a pod and a container in one segment.
    let name = segment.split_once(':').map_or(segment, |(slice, _)| slice);
    let (uid, root) = match name.strip_suffix(".slice") {
        Some(slice) => {
            let (before, uid) = slice.rsplit_once("-pod")?;
            (uid, before.rsplit('-').take(2).any(|part| part == "kubepods").then_some(before)?)
        }
        None => (name.strip_prefix("pod")?, parent),
    };
    let uid = uid.replace('_', "-");
    let qos = match root.rsplit('-').next() {
        Some("kubepods") => Some(Qos::Guaranteed),
        Some("burstable") => Some(Qos::Burstable),
        Some("besteffort") => Some(Qos::BestEffort),
        // A path that a cgroup namespace cut off above the pod.
        Some(_) | None => None,
    };
    is_uid(&uid).then_some(Pod { uid, qos })
}

/// Whether `text` is a UUID, or the 32 digits of a static pod's hash.
fn is_uid(text: &str) -> bool {
    let groups = [8, 4, 4, 4, 12];
    let is_uuid = text.split('-').map(str::len).eq(groups);
    (is_uuid || text.len() == 32 && !text.contains('-'))
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "2d3f1c1e-7a0b-4d6e-9a57-0c8f3d1b2a99";
    const POD_: &str = "2d3f1c1e_7a0b_4d6e_9a57_0c8f3d1b2a99";
    const STATIC_POD: &str = "f2a7c3d95e1b4608a7c3d95e1b4608ff";

    #[test]
    fn pods_and_their_classes() {
        let (guaranteed, burstable, best_effort) =
            (Some(Qos::Guaranteed), Some(Qos::Burstable), Some(Qos::BestEffort));
        for (path, uid, qos) in [
            (format!("/kubepods/pod{POD}"), POD, guaranteed),
            (format!("/kubepods/burstable/pod{POD}/x"), POD, burstable),
            (format!("/kubepods/besteffort/pod{STATIC_POD}"), STATIC_POD, best_effort),
            (format!("/k8s/kubepods/besteffort/pod{POD}"), POD, best_effort),
            (format!("/kubepods.slice/kubepods-pod{POD_}.slice"), POD, guaranteed),
            (
                format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/a"),
                POD,
                burstable,
            ),
            (format!("/a/kubelet-kubepods-besteffort-pod{STATIC_POD}.slice"), STATIC_POD, best_effort),
            (format!("/system.slice/kubepods-pod{POD_}.slice:cri-containerd:a"), POD, guaranteed),
            // As seen from within a cgroup namespace.
            (format!("/../../pod{POD}"), POD, None),
            (format!("/../../../burstable/pod{POD}"), POD, burstable),
            // A kubelet within a pod.
            (format!("/kubepods/pod{STATIC_POD}/c/kubepods/burstable/pod{POD}"), POD, burstable),
        ] {
            assert_eq!(pod_of(&path), Some(Pod { uid: uid.to_owned(), qos }), "{path}");
        }
    }

    #[test]
    fn what_is_no_pod() {
        for path in [
            "",
            "/",
            "/kubepods",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods-podfoo.slice",
            "/machine.slice/podman",
            "/pod",
            "/pod--------",
            &format!("/my-pod{POD_}.slice"),
            &format!("/kubepods-a-b-pod{POD_}.slice"),
            &format!("/kubepods/pod{}", POD.to_uppercase()),
        ] {
            assert_eq!(pod_of(path), None, "{path}");
        }
    }
}
