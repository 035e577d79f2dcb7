//! The systemd unit and slice that a cgroup path names.
//!
//! A manager puts slices into slices and a unit into the innermost; what lies below a unit is the unit's own: a
//! container, another systemd in it, or the manager of a user, whose units are named as those of this host are
//! (`cg_path_get_unit` and `cg_path_get_user_unit` of src/basic/cgroup-util.c). The `_` that systemd puts before a name
//! which a controller's file could bear goes (`cg_escape` there); escapes such as `\x2d` are part of a name and stay.

/// The systemd unit of a cgroup path, as this host's `systemctl` takes it, or `systemctl --user` of a user's own. Where there
/// is nothing but slices, the innermost of the host's.
#[must_use]
pub fn unit_of(path: &str) -> Option<String> {
    let mut segments = path.trim_start_matches('/').split('/').map(unescaped);
    let mut slice = None;
    let unit = loop {
        match segments.next() {
            Some(name) if is_slice(name) => slice = Some(name),
            Some(name) if is_unit(name) => break Some(name),
            Some(_) | None => break None,
        }
    };
    let is_user_manager = unit.is_some_and(|unit| unit.starts_with("user@"));
    let user_unit =
        is_user_manager.then(|| segments.find(|name| !is_slice(name)).filter(|name| is_unit(name))).flatten();
    user_unit.or(unit).or(slice).map(str::to_owned)
}

/// The slice of this host's systemd that a cgroup path names, the innermost.
#[must_use]
pub fn slice_of(path: &str) -> Option<String> {
    let segments = path.trim_start_matches('/').split('/').map(unescaped);
    segments.take_while(|name| is_slice(name)).last().map(str::to_owned)
}

fn unescaped(segment: &str) -> &str {
    segment.strip_prefix('_').unwrap_or(segment)
}

fn is_slice(name: &str) -> bool {
    name.strip_suffix(".slice").is_some_and(is_unit_name)
}

fn is_unit(name: &str) -> bool {
    let kinds = ["service", "scope", "mount", "socket", "swap"];
    name.rsplit_once('.').is_some_and(|(name, kind)| kinds.contains(&kind) && is_unit_name(name))
}

/// Whether systemd takes these characters (`VALID_CHARS_WITH_AT` of src/basic/unit-name.c).
fn is_unit_name(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty() && text.bytes().all(is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_slices_of_paths() {
        let (system, user) = (Some("system.slice"), Some("user-1000.slice"));
        for (path, unit, slice) in [
            ("/", None, None),
            ("", None, None),
            ("/docker/abc", None, None),
            ("/.service", None, None),
            ("/.slice", None, None),
            ("/init.scope", Some("init.scope"), None),
            ("/system.slice", system, system),
            ("/system.slice/cron.service", Some("cron.service"), system),
            (
                "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ab",
                Some("containerd.service"),
                system,
            ),
            (
                r"/system.slice/system-getty.slice/getty@tty1.service",
                Some("getty@tty1.service"),
                Some("system-getty.slice"),
            ),
            (
                r"/system.slice/dev-disk-by\x2duuid-a\x2db.swap",
                Some(r"dev-disk-by\x2duuid-a\x2db.swap"),
                system,
            ),
            (
                r"/machine.slice/machine-a\x2db.scope/payload",
                Some(r"machine-a\x2db.scope"),
                Some("machine.slice"),
            ),
            ("/system.slice/_cpu.service", Some("cpu.service"), system),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope"), user),
            ("/user.slice/user-1000.slice/user@1000.service", Some("user@1000.service"), user),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x.scope",
                Some("app-gnome-x.scope"),
                user,
            ),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice", Some("user@1000.service"), user),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", Some("init.scope"), user),
            (
                "/kubepods.slice/kubepods-burstable.slice",
                Some("kubepods-burstable.slice"),
                Some("kubepods-burstable.slice"),
            ),
        ] {
            assert_eq!((unit_of(path).as_deref(), slice_of(path).as_deref()), (unit, slice), "{path}");
        }
    }

    #[test]
    fn units_of_another_systemd_do_not_count() {
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
            ("/lxc.payload.web/system.slice/nginx.service".to_owned(), None),
            ("/lxc/web/system.slice/nginx.service".to_owned(), None),
            (
                "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service".to_owned(),
                Some("systemd-nspawn@web.service".to_owned()),
            ),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container/kubelet.slice/a.service"
                ),
                Some(format!("libpod-{id}.scope")),
            ),
        ] {
            assert_eq!(unit_of(&path), unit, "{path}");
        }
    }
}
