//! systemd units as what may be stopped.

/// The path of the cgroup of a unit, given that of a process in it; `None` where it is none that the host's systemd starts and
/// stops: a slice, a mount, or a unit of a user's own manager, which only that one stops.
#[must_use]
pub fn cgroup_of<'a>(path: &'a str, unit: &str) -> Option<&'a str> {
    if !unit.ends_with(".service") && !unit.ends_with(".scope") {
        return None;
    }
    let mut end = 0;
    for segment in path.split_inclusive('/') {
        let name = segment.trim_end_matches('/');
        end += name.len();
        // systemd puts `_` before a name that a controller's file could bear (`cg_escape` of src/basic/cgroup-util.c).
        let name = name.strip_prefix('_').unwrap_or(name);
        if name.starts_with("user@") {
            return None;
        }
        if name == unit {
            return path.get(..end);
        }
        end += segment.len() - segment.trim_end_matches('/').len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_can_be_stopped() {
        for (path, unit, cgroup) in [
            ("/system.slice/web.service", "web.service", Some("/system.slice/web.service")),
            ("/system.slice/web.service/worker/1", "web.service", Some("/system.slice/web.service")),
            ("/machine.slice/box-1.scope/payload", "box-1.scope", Some("/machine.slice/box-1.scope")),
            ("/system.slice/_cpu.service", "cpu.service", Some("/system.slice/_cpu.service")),
            ("/system.slice", "system.slice", None),
            ("/user.slice/user-1.slice/user@1.service/app.slice/a.service", "a.service", None),
            ("/user.slice/user-1.slice/user@1.service/init.scope", "user@1.service", None),
            ("/system.slice/other.service", "web.service", None),
            ("/", "web.service", None),
            ("", "web.service", None),
        ] {
            assert_eq!(cgroup_of(path, unit), cgroup, "{unit} in {path}");
        }
    }
}
