//! Which file a process runs: the kernel's record has its number, and the path belongs to that, whoever tells it.

use std::collections::HashMap;

use memwatch_ebpf::abi::event::Exec;

use crate::core::fact::Identity;
use crate::enrich::proc::{FileId, ProcFs};

/// Files whose paths are kept; beyond it they are asked for anew.
const KEPT_MAX: usize = 4_096;
/// Names by which one file is executed that are told apart; of more the oldest gives way.
const NAMES_MAX: usize = 4;
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

/// A path of a file, and what it was executed by: hard links and mounts give one file several.
#[derive(Debug)]
struct Known {
    filename: Vec<u8>,
    path: Vec<u8>,
    told_ns: u64,
}

/// Paths of executables, by the file.
#[derive(Debug, Default)]
pub(super) struct Executables(HashMap<Executable, Vec<Known>>);

impl Executables {
    /// The path of a file that `/proc` told just now. A name that does not begin at the root says something else in each folder.
    pub(super) fn fresh(&self, executable: Executable, filename: &[u8], now_ns: u64) -> Option<Vec<u8>> {
        let known = self.named(executable, filename).filter(|_| filename.starts_with(b"/"))?;
        (now_ns.saturating_sub(known.told_ns) < FRESH_NS).then(|| known.path.clone())
    }

    fn named(&self, executable: Executable, filename: &[u8]) -> Option<&Known> {
        self.0.get(&executable)?.iter().find(|known| known.filename == filename)
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
                self.keep(executable, filename, &path, now_ns);
                return Some(path);
            }
            // A file system that tells programs other numbers.
            Some((path, is)) if is.is_none_or(|is| !is.shares_device(file)) => return Some(path),
            _ => {}
        }
        let from = [process.parent_tgid, Some(std::process::id())];
        let named = || {
            from.into_iter().flatten().find_map(|tgid| {
                let found = proc.process(tgid).ok()?.file_named(filename);
                found.filter(|(is, _)| *is == file).map(|(_, path)| path)
            })
        };
        if let Some(known) = self.named(executable, filename).filter(|_| filename.starts_with(b"/")) {
            return Some(known.path.clone());
        }
        if let Some(path) = named() {
            self.keep(executable, filename, &path, now_ns);
            return Some(path);
        }
        // Which of several names it was cannot be told any more.
        let (first, others) = self.0.get(&executable)?.split_first()?;
        others.iter().all(|other| other.path == first.path).then(|| first.path.clone())
    }

    fn keep(&mut self, executable: Executable, filename: &[u8], path: &[u8], told_ns: u64) {
        if self.0.len() >= KEPT_MAX && !self.0.contains_key(&executable) {
            self.0.clear();
        }
        let names = self.0.entry(executable).or_default();
        if let Some(known) = names.iter_mut().find(|known| known.filename == filename) {
            known.told_ns = told_ns;
            if known.path != path {
                known.path = path.to_vec();
            }
            return;
        }
        if names.len() >= NAMES_MAX {
            names.remove(0);
        }
        names.push(Known { filename: filename.to_vec(), path: path.to_vec(), told_ns });
    }
}
