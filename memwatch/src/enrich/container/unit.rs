//! The systemd unit that a cgroup path names.

use super::container_in;

/// The systemd unit of a cgroup path, as this host's `systemctl` takes it.
///
/// The innermost service or scope wins (a user's own service over the `user@1000.service` it runs under); where
/// there is none, the innermost slice. What lies below a container's cgroup does not count: it is named by a systemd
/// in the container. Escapes such as `\x2d` are part of a unit's name and stay; the `_` that systemd puts before a
/// name which a controller's file could bear goes (`cg_escape` of src/basic/cgroup-util.c).
#[must_use]
pub fn unit_of(path: &str) -> Option<String> {
    let (mut unit, mut slice) = (None, None);
    let mut parent = "";
    for segment in path.split('/') {
        let name = segment.strip_prefix('_').unwrap_or(segment);
        match name.rsplit_once('.') {
            Some(("", _)) | None => {}
            Some((_, "service" | "scope" | "mount" | "socket" | "swap")) => unit = Some(name),
            Some((_, "slice")) => slice = Some(name),
            Some(_) => {}
        }
        if container_in(segment, parent).is_some() {
            break;
        }
        parent = segment;
    }
    unit.or(slice).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_paths() {
        for (path, unit) in [
            ("/", None),
            ("/docker/abc", None),
            ("/.service", None),
            ("/init.scope", Some("init.scope")),
            ("/system.slice", Some("system.slice")),
            ("/system.slice/cron.service", Some("cron.service")),
            (
                "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ab",
                Some("containerd.service"),
            ),
            (r"/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            (r"/system.slice/dev-disk-by\x2duuid-a\x2db.swap", Some(r"dev-disk-by\x2duuid-a\x2db.swap")),
            (r"/machine.slice/machine-a\x2db.scope/payload", Some(r"machine-a\x2db.scope")),
            ("/system.slice/_cpu.service", Some("cpu.service")),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            ("/user.slice/user-1000.slice/user@1000.service", Some("user@1000.service")),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x.scope",
                Some("app-gnome-x.scope"),
            ),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", Some("init.scope")),
        ] {
            assert_eq!(unit_of(path).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn units_within_a_container_do_not_count() {
        let id = "0123456789abcdef".repeat(4);
        for (path, unit) in [
            (format!("/docker/{id}/system.slice/dbus.service"), None),
            (
                format!("/qm.slice/qm.service/libpod-payload-{id}/system.slice/dbus.service"),
                Some("qm.service".to_owned()),
            ),
            (
                format!("/system.slice/docker-{id}.scope/kubelet.slice/cri-containerd-{id}.scope"),
                Some(format!("docker-{id}.scope")),
            ),
        ] {
            assert_eq!(unit_of(&path), unit, "{path}");
        }
    }
}
