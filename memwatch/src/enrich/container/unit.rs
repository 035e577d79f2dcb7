//! The systemd unit that a cgroup path names.

/// The systemd unit of a cgroup path, as `systemctl` takes it.
///
/// The innermost service or scope wins (a user's own service over the `user@1000.service` it runs under); where
/// there is none, the innermost slice. Escapes such as `\x2d` are part of a unit's name and stay; the `_` that
/// systemd puts before a name which a controller's file could bear goes (`cg_escape` of src/basic/cgroup-util.c).
#[must_use]
pub fn unit_of(path: &str) -> Option<String> {
    let units = || path.split('/').map(|segment| segment.strip_prefix('_').unwrap_or(segment));
    let of_type = |types: &[&str]| {
        let has_type = |segment: &&str| {
            segment.rsplit_once('.').is_some_and(|(name, ending)| !name.is_empty() && types.contains(&ending))
        };
        units().rfind(has_type)
    };
    // A colon is legal in unit names, but `SLICE:cri-containerd:ID` ends in no unit type and is passed over by itself.
    of_type(&["service", "scope", "mount", "socket", "swap"])
        .or_else(|| of_type(&["slice"]))
        .map(str::to_owned)
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
}
