//! Paths as the runtimes make them, and what is read out of them.

use super::*;

const ID: &str = "51fb4e42bca3ddd1cf744aa1f335365751fb4e42bca3ddd1cf744aa1f3353657";
const OUTER: &str = "00fb4e42bca3ddd1cf744aa1f335365751fb4e42bca3ddd1cf744aa1f3353600";
const POD: &str = "2d3f1c1e-7a0b-4d6e-9a57-0c8f3d1b2a99";
const POD_: &str = "2d3f1c1e_7a0b_4d6e_9a57_0c8f3d1b2a99";
const STATIC_POD: &str = "f2a7c3d95e1b4608a7c3d95e1b4608ff";

fn filled(pattern: &str) -> String {
    pattern
        .replace("{id}", ID)
        .replace("{outer}", OUTER)
        .replace("{pod}", POD)
        .replace("{pod_}", POD_)
        .replace("{static}", STATIC_POD)
}

#[test]
fn containers_of_every_runtime() {
    let (docker, containerd, crio, podman) =
        (Some("docker"), Some("containerd"), Some("cri-o"), Some("podman"));
    for (pattern, runtime, pod) in [
        ("/docker/{id}", docker, None),
        ("/docker/{id}/init.scope", docker, None),
        ("/system.slice/docker-{id}.scope", docker, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope", docker, None),
        ("/kubepods/burstable/pod{pod}/{id}", None, Some(POD)),
        ("/kubepods/pod{pod}/{id}", None, Some(POD)),
        ("/kubepods/besteffort/pod{static}/{id}", None, Some(STATIC_POD)),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_}.slice/cri-containerd-{id}.scope",
            containerd,
            Some(POD),
        ),
        ("/kubepods.slice/kubepods-pod{pod_}.slice/cri-containerd-{id}.scope/leaf", containerd, Some(POD)),
        ("/kubepods.slice/kubepods-pod{pod_}.slice/docker-{id}.scope", docker, Some(POD)),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod{pod_}.slice:cri-containerd:{id}",
            containerd,
            Some(POD),
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{pod_}.slice/crio-{id}.scope",
            crio,
            Some(POD),
        ),
        ("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{id}.scope/container", crio, Some(POD)),
        ("/kubepods/burstable/pod{pod}/crio-{id}", crio, Some(POD)),
        ("/machine.slice/libpod-{id}.scope", podman, None),
        ("/machine.slice/libpod-{id}.scope/container", podman, None),
        ("/libpod_parent/libpod-{id}", podman, None),
        ("/machine.slice/machine-libpod_pod_{outer}.slice/libpod-{id}.scope", podman, None),
        ("/system.slice/web.service/libpod-payload-{id}", podman, None),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container",
            podman,
            None,
        ),
        ("/default/{id}", None, None),
        ("/system.slice/nerdctl-{id}.scope", containerd, None),
        ("/actions_job/{id}", None, None),
        ("/ecs/web/0f1e2d3c4b5a69788796a5b4c3d2e1f0/{id}", None, None),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-{id}",
            podman,
            None,
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{outer}.slice/libpod-{id}.scope/container",
            podman,
            None,
        ),
        ("/kubepods/burstable/pod{pod}/kata_{id}", None, Some(POD)),
        // A kubelet within a container: kind, k3s in Docker.
        ("/docker/{outer}/kubelet/kubepods/burstable/pod{pod}/{id}", None, Some(POD)),
        (
            "/system.slice/docker-{outer}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{pod_}.slice/cri-containerd-{id}.scope",
            containerd,
            Some(POD),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{outer}.scope/container/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{pod_}.slice/cri-containerd-{id}.scope",
            containerd,
            Some(POD),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/k3s-rootless.service/kubepods/besteffort/pod{pod}/{id}",
            None,
            Some(POD),
        ),
        // Docker within a pod.
        ("/kubepods/pod{pod}/{outer}/docker/{id}", docker, Some(POD)),
        // As seen from within a cgroup namespace.
        ("/../../pod{pod}/{id}", None, Some(POD)),
    ] {
        let Names { container, pod: found, .. } = names_of(&filled(pattern));
        assert_eq!(container, Some(Container { id: ID.to_owned(), runtime }), "{pattern}");
        assert_eq!(found.as_ref().map(|found| found.uid.as_str()), pod, "{pattern}");
        assert!(is_in_container(&filled(pattern)), "{pattern}");
    }
}

#[test]
fn what_is_no_container() {
    for pattern in [
        "",
        "/",
        "//",
        "/default/t1",
        "/process_api/51fb4e42bca3ddd1cf744aa1f3353657",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_}.slice",
        "/kubepods/burstable/pod{pod}",
        "/lxc.payload.web/system.slice/nginx.service",
        "/machine.slice/machine-web.scope/payload/system.slice/nginx.service",
        "/system.slice/web.service/runtime",
        "/machine.slice/libpod-conmon-{id}.scope",
        "/kubepods.slice/kubepods-pod{pod_}.slice/crio-conmon-{id}.scope",
        "/machine.slice/machine-libpod_pod_{id}.slice",
        "/docker/{id}0",
        "/docker/{id}.mount",
        "/docker/51FB4E42BCA3DDD1CF744AA1F335365751FB4E42BCA3DDD1CF744AA1F3353657",
        "/docker/é1fb4e42bca3ddd1cf744aa1f335365751fb4e42bca3ddd1cf744aa1f335365",
        "/user.slice/user-1000.slice/session-3.scope",
    ] {
        assert_eq!(container_of(&filled(pattern)), None, "{pattern}");
        assert!(!is_in_container(&filled(pattern)), "{pattern}");
    }
}
