//! The kernel's lockdown mode, which securityfs tells.
//!
//! Read where that is mounted, else through a detached mount of our own, which nobody else sees and which ends with the descriptor.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Where securityfs is mounted by custom.
const MOUNTED: &str = "/sys/kernel/security";

/// What the kernel says of its lockdown, `None` when it has none.
///
/// # Errors
/// When securityfs is not mounted and a detached mount is refused (no CAP_SYS_ADMIN), or the file cannot be read.
pub fn read() -> io::Result<Option<String>> {
    match mode(Path::new(MOUNTED)) {
        // A folder that nothing is mounted on does not have it either.
        Ok(None) => {}
        told => return told,
    }
    let mount = crate::sys::detached_mount(c"securityfs")?;
    mode(Path::new(&format!("/proc/self/fd/{}", mount.as_raw_fd())))
}

/// By the file in this securityfs.
fn mode(root: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(root.join("lockdown")) {
        Ok(text) => active(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The word in brackets.
fn active(text: &str) -> Option<String> {
    text.split_once('[')?.1.split_once(']').map(|(mode, _)| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_mode_is_the_one_in_brackets() {
        assert_eq!(active("none [integrity] confidentiality").as_deref(), Some("integrity"));
        assert_eq!(active(""), None);
    }

    #[test]
    fn a_folder_without_the_file_has_no_mode() {
        let root = std::env::temp_dir().join(format!("memwatch-lockdown-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        assert_eq!(mode(&root).unwrap(), None);
        std::fs::write(root.join("lockdown"), "[none] integrity confidentiality\n").unwrap();
        assert_eq!(mode(&root).unwrap().as_deref(), Some("none"));
        std::fs::write(root.join("lockdown"), "").unwrap();
        assert!(mode(&root).is_err());
        std::fs::remove_dir_all(root).unwrap();
    }
}
