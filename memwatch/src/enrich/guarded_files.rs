//! Whether a process runs the file of a guarded program, whatever path it shows.
//!
//! A path alone is not enough either way. A file that was renamed, linked or bound elsewhere is still the program that the host
//! stands on; and who has a user namespace of his own mounts anything at any path. So files are compared, by device and inode, as
//! the first process sees them: memwatch may run in a container. A *copy* is another file, and nothing tells it from any
//! other program: `[[protect]]` names it.

use std::collections::HashSet;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::fs::stat;

use super::proc::{FileId, ProcFs, ProcessDir};
use crate::core::policy::{guarded_folders, guarded_path};

/// The root of the first process, which is the host's where its pid namespace is.
const HOST: &str = "/proc/1/root";
/// This program's own root, which may be a container's.
const OWN: &str = "/";
/// Room for the text of a namespace's link.
const LINK_MAX: usize = 64;

/// The files of the guarded programs that are installed.
#[derive(Debug)]
pub struct GuardedFiles {
    files: HashSet<FileId>,
    /// Where the host's files are seen; `None`: they may not be.
    host: Option<&'static str>,
    user_namespace: Vec<u8>,
}

impl GuardedFiles {
    /// Looks for the programs where they are installed.
    #[must_use]
    pub fn find(proc: &ProcFs) -> Self {
        let host = stat(HOST).is_ok().then_some(HOST);
        // Too many files only guard more.
        let root = host.unwrap_or(OWN);
        let mut files = HashSet::new();
        for folder in guarded_folders() {
            let Ok(entries) = std::fs::read_dir(below(root, folder)) else { continue };
            for entry in entries.flatten() {
                let path = format!("{folder}{}", entry.file_name().to_string_lossy());
                if guarded_path(&path).is_some() {
                    files.extend(file_of(root, &path));
                }
            }
        }
        let me = proc.process(std::process::id()).ok();
        let user_namespace = me.map(|me| user_namespace(&me)).unwrap_or_default();
        Self { files, host, user_namespace }
    }

    /// Whether the file that a process runs is a guarded program's; `None`: its path, as `/proc` shows it, is all there is to go by.
    #[must_use]
    pub fn is_run_by(&self, process: &ProcessDir, path: &[u8]) -> Option<bool> {
        let file = process.exe_file()?;
        if self.files.contains(&file) {
            return Some(true);
        }
        let path = std::str::from_utf8(path).ok()?;
        guarded_path(path)?;
        // A file that was replaced since it was started has no path any more.
        if let Some(installed) = self.host.and_then(|root| file_of(root, path)) {
            return Some(installed == file);
        }
        let is_foreign = user_namespace(process) != self.user_namespace;
        is_foreign.then_some(false)
    }
}

fn below(root: &str, path: &str) -> PathBuf {
    Path::new(root).join(path.trim_start_matches('/'))
}

fn file_of(root: &str, path: &str) -> Option<FileId> {
    stat(below(root, path)).ok().map(|stat| FileId::new(&stat))
}

fn user_namespace(process: &ProcessDir) -> Vec<u8> {
    process.link("ns/user", LINK_MAX).map(CString::into_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_path_of_a_guarded_program_is_that_of_the_installed_file() {
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        let guarded = GuardedFiles::find(&proc);
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let dir = proc.process(child.id()).unwrap();
        assert_eq!(guarded.is_run_by(&dir, b"/usr/bin/sleep"), None);
        // Where the path is not taken or the file is gone, the path counts: in doubt nothing is touched.
        assert_eq!(guarded.is_run_by(&dir, b"/usr/bin/systemd-nonesuch"), None);
        assert_eq!(guarded.is_run_by(&dir, b"/usr/bin/sshd (deleted)"), None);
        // What others mount over a path of the host is not what the host has there.
        if let Some(path) = ["/usr/bin/login", "/usr/bin/systemctl"]
            .into_iter()
            .find(|path| guarded_path(path).is_some() && Path::new(path).exists())
        {
            let known = guarded.host.map(|_| false);
            assert_eq!(guarded.is_run_by(&dir, path.as_bytes()), known);
        }
        // Under another name the file is what it was.
        let this = GuardedFiles { files: dir.exe_file().into_iter().collect(), ..guarded };
        assert_eq!(this.is_run_by(&dir, b"/tmp/sleep"), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
