//! `/proc/self/mountinfo`: where the cgroup hierarchies are mounted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::core::fact::Hierarchy;
use crate::enrich::proc::scan_cgroups;

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder it is mounted on.
    pub point: PathBuf,
    /// The cgroup that this folder is, as the reader's cgroup namespace names it: `/`, or above it `/..`.
    pub root: PathBuf,
    /// Which hierarchy it is; `None` for those of v1 that tell nothing about memory.
    pub hierarchy: Option<Hierarchy>,
}

/// Reads the cgroup mounts out of the text of `/proc/self/mountinfo`. Lines of another form are passed over: one line
/// that a newer kernel writes in its own way must not cost the others.
#[must_use]
pub fn parse_mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /point options optional... - type source superoptions`, see proc(5).
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    fields.find(|&field| field == b"-")?;
    let kind = fields.next()?;
    let controllers = fields.nth(1).unwrap_or_default();
    let has = |name: &[u8]| controllers.split(|&byte| byte == b',').any(|controller| controller == name);
    let hierarchy = match kind {
        b"cgroup2" => Some(Hierarchy::Unified),
        b"cgroup" if has(b"memory") => Some(Hierarchy::Memory),
        b"cgroup" if has(b"name=systemd") => Some(Hierarchy::Systemd),
        b"cgroup" => None,
        _ => return None,
    };
    Some(Mount { point: unescaped(point), root: unescaped(root), hierarchy })
}

/// Undoes the octal escapes (`\040` for a blank) that the kernel puts into paths (`mangle_path` of fs/seq_file.c).
fn unescaped(text: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        (rest, plain) = match (*first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                (tail, plain)
            }
            (byte, tail) => {
                plain.push(byte);
                (tail, plain)
            }
        };
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The mount of a hierarchy that shows most of it: the one whose root lies highest. A container that has the
/// host's hierarchy mounted beside its own sees the host's with a root of `/../..`.
#[must_use]
pub fn widest(mounts: &[Mount], hierarchy: Hierarchy) -> Option<&Mount> {
    mounts.iter().filter(|mount| mount.hierarchy == Some(hierarchy)).min_by_key(|mount| depth(&mount.root))
}

/// The folder of the cgroup that says most of a process, by the text of its `/proc/PID/cgroup`; `None` for the root, and
/// where it is not mounted here.
#[must_use]
pub fn folder_of(mounts: &[Mount], memberships: &[u8]) -> Option<PathBuf> {
    let (hierarchy, path) = scan_cgroups(memberships).ok()?.telling_path()?;
    let mount = widest(mounts, hierarchy)?;
    // Within a cgroup namespace both may start with `/..`.
    let below = Path::new(OsStr::from_bytes(path)).strip_prefix(&mount.root).ok()?;
    let is_plain = |part| matches!(part, Component::Normal(_));
    (below.components().next().is_some() && below.components().all(is_plain)).then(|| mount.point.join(below))
}

/// How far below the root of the reader's cgroup namespace a path lies; negative above it.
fn depth(path: &std::path::Path) -> i64 {
    path.components()
        .map(|part| match part {
            std::path::Component::Normal(_) => 1,
            std::path::Component::ParentDir => -1,
            std::path::Component::RootDir
            | std::path::Component::CurDir
            | std::path::Component::Prefix(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_unified_hierarchy_of_a_hybrid_host() {
        let mounts = parse_mounts(HYBRID);
        assert_eq!(mounts.len(), 2);
        assert_eq!(widest(&mounts, Hierarchy::Memory).unwrap().point, PathBuf::from("/sys/fs/cgroup/memory"));
        assert_eq!(
            widest(&mounts, Hierarchy::Unified).unwrap().point,
            PathBuf::from("/sys/fs/cgroup/unified")
        );
        assert_eq!(widest(mounts.get(..1).unwrap(), Hierarchy::Unified), None);
    }

    #[test]
    fn the_host_s_mount_is_wider_than_the_container_s() {
        let mounts = parse_mounts(
            b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n2 0 0:1 /../.. /host/cg rw - cgroup2 cgroup rw\n\
            3 0 0:1 /a/b /mnt rw - cgroup2 cgroup rw\n",
        );
        assert_eq!(widest(&mounts, Hierarchy::Unified).unwrap().point, PathBuf::from("/host/cg"));
    }

    #[test]
    fn odd_lines_are_passed_over_and_escapes_undone() {
        let mounts = parse_mounts(
            b"\n- - -\n1 2 3 4\n1 2 3 / /x rw cgroup2\n1 2 3:4 /r\\134 /a\\040b\\01 rw - cgroup2 c rw\n",
        );
        let mount = Mount {
            point: PathBuf::from("/a b\\01"),
            root: PathBuf::from("/r\\"),
            hierarchy: Some(Hierarchy::Unified),
        };
        assert_eq!(mounts, [mount]);
    }
}
