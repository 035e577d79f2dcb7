//! Where the files of mappings are: a path in `/proc/PID/maps` is one of the process's mounts, not of ours.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::core::audit::{Item, Place};

/// What the kernel puts behind the path of a file without a name.
const DELETED: &[u8] = b" (deleted)";

/// Looks where a file is. A file system that gives its files other numbers in mappings than in `stat` (overlayfs) is taken
/// at its word: its path is told as the process has it.
#[must_use]
pub fn place(item: &Item) -> Place {
    let written = with_newlines(&item.path);
    let (path, is_deleted) = match written.strip_suffix(DELETED) {
        Some(path) if !is_it(Path::new(OsStr::from_bytes(&written)), item) => (path.to_vec(), true),
        _ => (written, false),
    };
    let here = Path::new(OsStr::from_bytes(&path));
    let seen_by = if is_deleted || is_it(here, item) {
        None
    } else {
        let root = PathBuf::from(format!("/proc/{}/root", item.pid));
        let there = root.join(here.strip_prefix("/").unwrap_or(here));
        (is_it(&there, item) || (!here.exists() && there.exists())).then_some(item.pid)
    };
    Place { path, is_deleted, seen_by }
}

fn is_it(path: &Path, item: &Item) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| {
        let device = u64::from(libc::major(found.dev())) << 32 | u64::from(libc::minor(found.dev()));
        (device, found.ino()) == (item.device, item.inode)
    })
}

/// Undoes the one escape of these paths (`seq_file_path` of fs/seq_file.c).
fn with_newlines(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = memchr::memmem::find(rest, b"\\012") {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        plain.push(b'\n');
        rest = rest.get(at + 4..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_here_one_without_a_name_and_one_elsewhere() {
        let path = std::env::temp_dir().join(format!("memwatch-place-{}\n", std::process::id()));
        std::fs::write(&path, "x").unwrap();
        let found = std::fs::metadata(&path).unwrap();
        let device = u64::from(libc::major(found.dev())) << 32 | u64::from(libc::minor(found.dev()));
        let bytes = path.as_os_str().as_bytes();
        let written = [bytes.strip_suffix(b"\n").unwrap(), b"\\012"].concat();
        let item = Item { device, inode: found.ino(), path: written, pid: std::process::id() };
        assert_eq!(place(&item), Place { path: bytes.to_vec(), is_deleted: false, seen_by: None });
        std::fs::remove_file(&path).unwrap();
        let gone = Item { path: [&item.path[..], DELETED].concat(), ..item.clone() };
        assert_eq!(place(&gone), Place { path: bytes.to_vec(), is_deleted: true, seen_by: None });
        assert_eq!(place(&item).seen_by, None);
    }
}
