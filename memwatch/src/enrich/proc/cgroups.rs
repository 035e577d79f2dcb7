//! `/proc/PID/cgroup`: where a process stands in each cgroup hierarchy.

use super::ParseError;
use crate::core::fact::Hierarchy;

/// What the kernel appends to the path of a removed cgroup (`proc_cgroup_show` of kernel/cgroup/cgroup.c). A living one may
/// be named so.
pub const REMOVED: &[u8] = b" (deleted)";

/// The cgroup paths of one process, in the hierarchies that tell something about it. Each starts with `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memberships<Path = Vec<u8>> {
    /// Path in the unified (v2) hierarchy.
    pub unified: Option<Path>,
    /// Whether the unified cgroup has been removed (a dying process may outlive it).
    pub unified_removed: bool,
    /// Path in the v1 hierarchy of the memory controller.
    pub memory: Option<Path>,
    /// Path in the v1 hierarchy that systemd keeps for itself.
    pub systemd: Option<Path>,
}

impl Memberships {
    /// The path that says most, as of the borrowed form.
    #[must_use]
    pub fn telling_path(&self) -> Option<(Hierarchy, &[u8])> {
        let Self { unified, unified_removed, memory, systemd } = self;
        let (unified, memory, systemd) = (unified.as_deref(), memory.as_deref(), systemd.as_deref());
        Memberships { unified, unified_removed: *unified_removed, memory, systemd }.telling_path()
    }

    /// The path of the cgroup whose id records carry (`Header::cgroup_id`): the unified one, unless it is the root and there
    /// is one of the v1 memory controller; none when it has been removed.
    #[must_use]
    pub fn charged_path(&self) -> Option<(Hierarchy, &[u8])> {
        let memory = self.memory.as_deref().map(|path| (Hierarchy::Memory, path));
        let unified = self.unified.as_deref().map(|path| (Hierarchy::Unified, path));
        match unified {
            Some((_, path)) if path != b"/" => unified.filter(|_| !self.unified_removed),
            _ => memory.or(unified),
        }
    }
}

impl<'a> Memberships<&'a [u8]> {
    /// The path that says most: the unified one; when that is missing or the root, the one of the v1 memory
    /// controller; when that is the root too, the one of systemd's own hierarchy; else the root.
    ///
    /// On hybrid hosts most runtimes put a container into the v1 hierarchies only and leave the process in the root of the
    /// unified one; the root names nobody, so any other path tells more. Memory comes before systemd because the
    /// limits that a reader asks about are the memory controller's.
    #[must_use]
    pub fn telling_path(&self) -> Option<(Hierarchy, &'a [u8])> {
        let paths = || {
            [
                (Hierarchy::Unified, self.unified),
                (Hierarchy::Memory, self.memory),
                (Hierarchy::Systemd, self.systemd),
            ]
            .into_iter()
            .filter_map(|(hierarchy, path)| Some((hierarchy, path?)))
        };
        paths().find(|(_, path)| *path != b"/").or_else(|| paths().next())
    }
}

/// Reads the text of `/proc/PID/cgroup`, as [`scan_cgroups`] does.
///
/// # Errors
/// When a line has no three parts or its path is not absolute.
pub fn parse_cgroups(text: &[u8]) -> Result<Memberships, ParseError> {
    let Memberships { unified, unified_removed, memory, systemd } = scan_cgroups(text)?;
    let kept = |path: Option<&[u8]>| path.map(<[u8]>::to_vec);
    Ok(Memberships { unified: kept(unified), unified_removed, memory: kept(memory), systemd: kept(systemd) })
}

/// Reads the text of `/proc/PID/cgroup`, of v1, v2 and hybrid hosts, and leaves the paths in it. Unknown hierarchies are
/// passed over.
///
/// A line is `id:controllers:path`. Names of cgroups cannot hold a newline (`cgroup_mkdir` of kernel/cgroup/cgroup.c
/// refuses it), but colons and anything else. A removed cgroup of the unified hierarchy ends in ` (deleted)`.
///
/// # Errors
/// When a line has no three parts or its path is not absolute.
pub fn scan_cgroups(text: &[u8]) -> Result<Memberships<&[u8]>, ParseError> {
    let missing = |field| ParseError::Missing { file: "cgroup", field };
    let mut found = Memberships::default();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let id = parts.next().ok_or(missing("hierarchy id"))?;
        let controllers = parts.next().ok_or(missing("controllers"))?;
        let path = parts.next().filter(|path| path.starts_with(b"/")).ok_or(missing("path"))?;
        if id == b"0" && controllers.is_empty() {
            let living = path.strip_suffix(REMOVED);
            found.unified_removed = living.is_some();
            found.unified = Some(living.unwrap_or(path));
        } else if controllers == b"name=systemd" {
            found.systemd = Some(path);
        } else if controllers.split(|&byte| byte == b',').any(|name| name == b"memory") {
            found.memory = Some(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Hierarchy::{Memory, Systemd, Unified};

    fn telling(text: &str) -> Option<(Hierarchy, String)> {
        let found = parse_cgroups(text.as_bytes()).unwrap();
        let (hierarchy, path) = found.telling_path()?;
        Some((hierarchy, String::from_utf8(path.to_vec()).unwrap()))
    }

    #[test]
    fn the_most_telling_path_is_chosen() {
        for (text, path) in [
            ("0::/system.slice/cron.service\n", Some((Unified, "/system.slice/cron.service"))),
            ("0::/\n", Some((Unified, "/"))),
            ("9:name=systemd:/init.scope\n4:memory:/docker/ab\n0::/\n", Some((Memory, "/docker/ab"))),
            ("9:name=systemd:/init.scope\n4:memory:/\n0::/\n", Some((Systemd, "/init.scope"))),
            ("9:name=systemd:/init.scope\n4:memory:/a\n0::/init.scope\n", Some((Unified, "/init.scope"))),
            ("11:cpu,cpuacct:/x\n10:hugetlb,memory:/y\n1:name=elogind:/z\n", Some((Memory, "/y"))),
            ("0::/a:b:c\n", Some((Unified, "/a:b:c"))),
            ("1:cpu:/x\n", None),
            ("", None),
        ] {
            let expected = path.map(|(hierarchy, path): (_, &str)| (hierarchy, path.to_owned()));
            assert_eq!(telling(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_removed_cgroup_keeps_its_path() {
        let found = parse_cgroups(b"0::/system.slice/a.scope (deleted)\n").unwrap();
        assert_eq!(found.unified.as_deref(), Some(&b"/system.slice/a.scope"[..]));
        assert!(found.unified_removed);
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for text in ["0:", "0::", "0::relative", "junk", "\u{0}"] {
            assert!(parse_cgroups(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
