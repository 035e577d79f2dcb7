//! `/proc/PID/exe`: the path of an executable.

/// What the link `/proc/PID/exe` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exe {
    /// Path of the executable in its own mount namespace: any bytes.
    pub path: Vec<u8>,
    /// Whether the file has been unlinked or replaced since (also true for a file whose name ends that way).
    pub deleted: bool,
}

/// Takes apart the text of the link `/proc/PID/exe`; `None` when it is empty.
///
/// The kernel appends ` (deleted)` to the path of an unlinked file (`d_path` of fs/d_path.c, 6.18).
#[must_use]
pub fn parse_exe(link: &[u8]) -> Option<Exe> {
    let (path, deleted) = match link.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (link, false),
    };
    (!path.is_empty()).then(|| Exe { path: path.to_vec(), deleted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_deleted_file_is_no_part_of_its_path() {
        let exe = |path: &[u8], deleted| Some(Exe { path: path.to_vec(), deleted });
        assert_eq!(parse_exe(b"/usr/bin/uwsgi"), exe(b"/usr/bin/uwsgi", false));
        assert_eq!(parse_exe(b"/usr/bin/uwsgi (deleted)"), exe(b"/usr/bin/uwsgi", true));
        assert_eq!(parse_exe(b"/memfd:x (deleted)"), exe(b"/memfd:x", true));
        assert_eq!(parse_exe(b"/a (deleted)/b\n"), exe(b"/a (deleted)/b\n", false));
        assert_eq!(parse_exe(b" (deleted)"), None);
        assert_eq!(parse_exe(b""), None);
    }
}
