//! Which file a process runs: the kernel's record has its number, and the path belongs to that, whoever tells it.

use std::collections::HashMap;

use memwatch_ebpf::abi::event::Exec;

use crate::core::fact::Identity;
use crate::enrich::proc::{FileId, ProcFs};

/// Files whose paths are kept; beyond it they are asked for anew.
const KEPT_MAX: usize = 4_096;
/// A path that `/proc` told less long ago than this is not asked for again, in nanoseconds: a file may get another name.
const FRESH_NS: u64 = 1_000_000_000;

/// The file of a record: its number, and the generation that tells it from a later one with that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Executable {
    file: FileId,
    generation: u32,
}

impl Executable {
    /// `None` when the record does not say.
    pub(super) fn of(exec: &Exec) -> Option<Self> {
        let file = FileId::of_kernel(exec.device, exec.inode)?;
        Some(Self { file, generation: exec.generation })
    }
}

#[derive(Debug)]
struct Known {
    path: Vec<u8>,
    told_ns: u64,
}

/// Paths of executables, by the file.
#[derive(Debug, Default)]
pub(super) struct Executables(HashMap<Executable, Known>);

impl Executables {
    /// The path of a file that `/proc` told just now.
    pub(super) fn fresh(&self, executable: Executable, now_ns: u64) -> Option<Vec<u8>> {
        let known = self.0.get(&executable)?;
        (now_ns.saturating_sub(known.told_ns) < FRESH_NS).then(|| known.path.clone())
    }

    /// The path of the file that a process runs. `read` is what `/proc` shows of it, which may run the next program by now; `filename`
    /// is what it was started by, and counts only where it leads to that very file.
    pub(super) fn path(
        &mut self,
        proc: &ProcFs,
        process: &Identity,
        (executable, now_ns): (Option<Executable>, u64),
        read: Option<(Vec<u8>, Option<FileId>)>,
        filename: &[u8],
    ) -> Option<Vec<u8>> {
        let Some(executable) = executable else { return read.map(|(path, _)| path) };
        let file = executable.file;
        match read {
            Some((path, Some(is))) if is == file => {
                self.keep(executable, &path, now_ns);
                return Some(path);
            }
            // A file system that tells programs other numbers.
            Some((path, is)) if is.is_none_or(|is| !is.shares_device(file)) => return Some(path),
            _ => {}
        }
        if let Some(known) = self.0.get(&executable) {
            return Some(known.path.clone());
        }
        let from = [process.parent_tgid, Some(std::process::id())];
        let named = from.into_iter().flatten().find_map(|tgid| {
            let found = proc.process(tgid).ok()?.file_named(filename);
            found.filter(|(is, _)| *is == file).map(|(_, path)| path)
        })?;
        self.keep(executable, &named, now_ns);
        Some(named)
    }

    fn keep(&mut self, executable: Executable, path: &[u8], told_ns: u64) {
        if let Some(known) = self.0.get_mut(&executable).filter(|known| known.path == path) {
            known.told_ns = told_ns;
            return;
        }
        if self.0.len() >= KEPT_MAX {
            self.0.clear();
        }
        self.0.insert(executable, Known { path: path.to_vec(), told_ns });
    }
}
