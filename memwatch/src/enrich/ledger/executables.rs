//! Which file a process runs: the kernel's record has its number, and the path belongs to that, whoever tells it.

use std::collections::HashMap;

use crate::core::fact::Identity;
use crate::enrich::proc::{FileId, ProcFs};

/// Files whose paths are kept; beyond it they are asked for anew.
const KEPT_MAX: usize = 4_096;

/// Paths of executables, by the file.
#[derive(Debug, Default)]
pub(super) struct Executables(HashMap<FileId, Vec<u8>>);

impl Executables {
    /// The path of the file that a process runs. `read` is what `/proc` shows of it, which may run the next program by now; `filename`
    /// is what it was started by, and counts only where it leads to that very file.
    pub(super) fn path(
        &mut self,
        proc: &ProcFs,
        process: &Identity,
        file: Option<FileId>,
        read: Option<(Vec<u8>, Option<FileId>)>,
        filename: &[u8],
    ) -> Option<Vec<u8>> {
        let Some(file) = file else { return read.map(|(path, _)| path) };
        match read {
            Some((path, Some(is))) if is == file => {
                self.keep(file, &path);
                return Some(path);
            }
            // A file system that tells programs other numbers.
            Some((path, is)) if is.is_none_or(|is| !is.shares_device(file)) => return Some(path),
            _ => {}
        }
        if let Some(path) = self.0.get(&file) {
            return Some(path.clone());
        }
        let from = [process.parent_tgid, Some(std::process::id())];
        let named = from.into_iter().flatten().find_map(|tgid| {
            let found = proc.process(tgid).ok()?.file_named(filename);
            found.filter(|(is, _)| *is == file).map(|(_, path)| path)
        })?;
        self.keep(file, &named);
        Some(named)
    }

    fn keep(&mut self, file: FileId, path: &[u8]) {
        if self.0.get(&file).is_some_and(|known| known == path) {
            return;
        }
        if self.0.len() >= KEPT_MAX {
            self.0.clear();
        }
        self.0.insert(file, path.to_vec());
    }
}
