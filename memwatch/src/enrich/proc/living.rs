//! A process that lives, whichever of its threads does.
//!
//! A process whose main thread has ended goes on with the others: it holds its memory, and signals reach it. But the kernel
//! shows the main thread's files, which tell nothing any more of memory and executable, so those of another thread are read.

use super::{ProcFs, ProcessDir, ReadError, StatLine, scan_stat};
use crate::core::fact::ProcessKey;

/// Threads that are looked at in search of one that lives.
const THREADS: usize = 4096;

/// A process that was living when it was looked at.
#[derive(Debug)]
pub struct Living {
    /// Its folder, or that of a living thread.
    pub dir: ProcessDir,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
}

impl ProcFs {
    /// The process that is meant, if it lives. Nothing is allocated unless its main thread has ended.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when it has ended or is ending, [`ReadError::Recycled`] when its id is another's by now.
    pub fn living(&self, key: ProcessKey, room: &mut [u8]) -> Result<Living, ReadError> {
        let tgid = key.tgid;
        let dir = self.process(tgid)?;
        let stat = stat_in(&dir, room)?;
        if !stat.key().is_same(key) {
            return Err(ReadError::Recycled { tgid });
        }
        if stat.has_ended() {
            return Err(ReadError::Gone { tgid });
        }
        let is_kernel = stat.is_kernel;
        if !stat.is_exiting {
            return Ok(Living { dir, is_kernel });
        }
        let dir = dir.living_thread(room).ok_or(ReadError::Gone { tgid })?;
        Ok(Living { dir, is_kernel })
    }
}

impl ProcessDir {
    /// The folder of the first thread that is not ending; `None`: all of them are.
    #[must_use]
    pub fn living_thread(&self, room: &mut [u8]) -> Option<Self> {
        let mut threads = Vec::new();
        // The first ones of too many are as good as all.
        let _ = self.numbers("task", THREADS, &mut threads);
        threads.into_iter().find_map(|thread| {
            let folder = self.thread(thread)?;
            stat_in(&folder, room).is_ok_and(|stat| !stat.is_exiting).then_some(folder)
        })
    }
}

fn stat_in<'a>(dir: &ProcessDir, room: &'a mut [u8]) -> Result<StatLine<'a>, ReadError> {
    let tgid = dir.tgid();
    scan_stat(dir.read_into("stat", room)?).map_err(|source| ReadError::Parse { tgid, source })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    /// Ends its main thread, and goes on in another one.
    const HEADLESS: &str = "import ctypes, threading, time\n\
        threading.Thread(target=time.sleep, args=(60,)).start()\n\
        ctypes.CDLL(None).syscall(60, 0)\n";

    #[test]
    fn a_process_outlives_its_main_thread() {
        let python = Command::new("python3").args(["-c", HEADLESS]).stdin(Stdio::null()).spawn();
        let Ok(mut child) = python else {
            println!("skipped: no python3 here");
            return;
        };
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        let mut room = [0; 4096];
        let start_ns = proc.process(child.id()).unwrap().stat().unwrap().start_ns;
        let key = ProcessKey { tgid: child.id(), start_ns };
        while proc.process(child.id()).unwrap().stat().unwrap().state != b'Z' {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        let living = proc.living(key, &mut room).unwrap();
        assert!(living.dir.exe().is_some(), "a living thread tells the executable");
        let resident = crate::measure::ProcessMeter::open(Path::new("/proc")).unwrap().resident(key).unwrap();
        assert!(resident.is_some_and(|bytes| bytes > 1 << 20), "{resident:?}");
        child.kill().unwrap();
        while proc.living(key, &mut room).is_ok() {
            std::thread::yield_now();
        }
        assert!(matches!(proc.living(key, &mut room), Err(ReadError::Gone { .. })));
        child.wait().unwrap();
    }
}
