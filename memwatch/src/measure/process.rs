//! Memory of one process.
//!
//! Its folder below `/proc` is opened once and everything is read relative to it, so what is returned concerns the process
//! asked for even when its id is given to another meanwhile. What may not be read is `None`.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::core::fact::ProcessKey;
use crate::core::policy::Figures;
use crate::enrich::cgroup::{Mount, folder_of, parse_mounts};
use crate::enrich::guarded_files::GuardedFiles;
use crate::enrich::proc::number::decimal;
use crate::enrich::proc::{Living, ProcFs, ProcessDir, ReadError};
use crate::sys;

/// Bytes read of a file at most; smaps_rollup of 6.18 has 900.
const ROOM: usize = 4096;

/// What makes a process one to leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Whether the file that it runs is that of a guarded program; `None`: its path is all there is to go by.
    pub runs_guarded: Option<bool>,
}

/// Looks at processes.
#[derive(Debug)]
pub struct ProcessMeter {
    proc: ProcFs,
    /// Looked for when the first process's nature is asked for.
    guarded: OnceCell<GuardedFiles>,
    page: u64,
    /// Where cgroups are mounted.
    mounts: Vec<Mount>,
    room: Box<[u8; ROOM]>,
}

impl ProcessMeter {
    /// Opens the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it is not a folder that can be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let proc = ProcFs::open(root)?;
        // Where they cannot be read, nothing is known of cgroups.
        let mounts = parse_mounts(&proc.mountinfo().unwrap_or_default());
        let guarded = OnceCell::new();
        Ok(Self { proc, guarded, page: sys::page_size(), mounts, room: Box::new([0; ROOM]) })
    }

    /// Looks at a process's memory. The kernel walks its page tables for that: 40 ms for each GiB in pages of 4 KiB that are
    /// resident (6.18, on a busy machine), in this thread; [`Survey`](super::Survey) has one for it.
    ///
    /// # Errors
    /// When it has ended, or its id is another's by now.
    pub fn figures(&mut self, key: ProcessKey) -> Result<Figures, ReadError> {
        let dir = self.living(key)?.dir;
        let mut figures = Figures::default();
        match dir.read_into("smaps_rollup", self.room.as_mut()) {
            Ok(text) => parse_rollup(text, &mut figures),
            Err(ReadError::Io { .. }) => {}
            Err(ended) => return Err(ended),
        }
        // Where smaps_rollup may not be read, statm may.
        if figures.resident.is_none() {
            figures.resident = dir
                .read_into("statm", self.room.as_mut())
                .ok()
                .and_then(parse_statm)
                .map(|pages| pages * self.page);
        }
        if let Ok(status) = dir.read_into("status", self.room.as_mut()) {
            (figures.caught, figures.peak) = (parse_caught(status), parse_peak(status));
        }
        figures.as_one = self.is_killed_as_one(&dir);
        Ok(figures)
    }

    /// Resident bytes of a process, which the kernel keeps count of.
    ///
    /// # Errors
    /// When it has ended, its id is another's by now, or it cannot be read.
    pub fn resident(&mut self, key: ProcessKey) -> Result<Option<u64>, ReadError> {
        let dir = self.living(key)?.dir;
        let text = dir.read_into("statm", self.room.as_mut())?;
        Ok(parse_statm(text).map(|pages| pages * self.page))
    }

    /// What makes a process one to leave alone.
    ///
    /// # Errors
    /// When it has ended, or its id is another's by now.
    pub fn nature(&mut self, key: ProcessKey) -> Result<Nature, ReadError> {
        let Living { dir, is_kernel } = self.living(key)?;
        let guarded = self.guarded.get_or_init(|| GuardedFiles::find(&self.proc));
        let runs_guarded = dir.exe_into(self.room.as_mut()).and_then(|path| guarded.is_run_by(&dir, path));
        Ok(Nature { oom_score_adj: oom_score_adj(&dir, self.room.as_mut()), is_kernel, runs_guarded })
    }

    /// Whether the kernel's OOM killer takes a process's cgroup as one; `None` where there is no such setting: on v1, in the
    /// root, and without the memory controller.
    fn is_killed_as_one(&mut self, dir: &ProcessDir) -> Option<bool> {
        let memberships = dir.read_into("cgroup", self.room.as_mut()).ok()?;
        let setting = folder_of(&self.mounts, memberships)?.join("memory.oom.group");
        let setting = File::open(setting).ok()?.read(self.room.as_mut()).ok()?;
        Some(self.room.get(..setting)?.trim_ascii() == b"1")
    }

    fn living(&mut self, key: ProcessKey) -> Result<Living, ReadError> {
        self.proc.living(key, self.room.as_mut())
    }
}

/// `oom_score_adj` of a process; `None` when it cannot be read.
pub(crate) fn oom_score_adj(dir: &ProcessDir, room: &mut [u8]) -> Option<i32> {
    let text = dir.read_into("oom_score_adj", room).ok()?.trim_ascii();
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
    Some(sign * i32::try_from(decimal(digits)?).ok()?)
}

/// Sums of smaps_rollup, in kB. Pages of hugetlbfs are in no other sum than their own (`smaps_hugetlb_range` of
/// fs/proc/task_mmu.c, 6.18).
fn parse_rollup(text: &[u8], figures: &mut Figures) {
    let (mut resident, mut private, mut huge) = (None, None, [0; 2]);
    for line in text.split(|&byte| byte == b'\n') {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (name, number) = (words.next(), words.next().and_then(decimal));
        let (Some(name), Some(bytes)) = (name, number.and_then(|kib| kib.checked_mul(1024))) else {
            continue;
        };
        match name {
            b"Rss:" => resident = Some(bytes),
            b"Pss:" => figures.proportional = Some(bytes),
            b"Private_Clean:" | b"Private_Dirty:" => private = Some(private.unwrap_or(0) + bytes),
            b"Shared_Hugetlb:" => huge[0] = bytes,
            b"Private_Hugetlb:" => huge[1] = bytes,
            b"Swap:" => figures.swap = Some(bytes),
            _ => {}
        }
    }
    let [shared_huge, private_huge] = huge;
    figures.resident = resident.map(|bytes: u64| bytes + shared_huge + private_huge);
    figures.private = private.map(|bytes: u64| bytes + private_huge);
    figures.proportional = figures.proportional.map(|bytes| bytes + private_huge);
}

/// Resident pages: the second number of statm.
fn parse_statm(text: &[u8]) -> Option<u64> {
    text.split(u8::is_ascii_whitespace).nth(1).and_then(decimal)
}

/// The line `VmHWM`, from the text of `/proc/PID/status`.
fn parse_peak(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"VmHWM:"))?;
    decimal(line.trim_ascii().strip_suffix(b" kB")?)?.checked_mul(1024)
}

/// Signals with a handler that are not blocked, from the text of `/proc/PID/status`.
fn parse_caught(text: &[u8]) -> Option<u64> {
    let mask = |name: &[u8]| {
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(std::str::from_utf8(line.trim_ascii()).ok()?, 16).ok()
    };
    Some(mask(b"SigCgt:")? & !mask(b"SigBlk:")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn meter() -> ProcessMeter {
        ProcessMeter::open(Path::new("/proc")).unwrap()
    }

    fn key_of(pid: u32) -> ProcessKey {
        let stat = ProcFs::open(Path::new("/proc")).unwrap().process(pid).unwrap().stat().unwrap();
        ProcessKey { tgid: pid, start_ns: stat.start_ns }
    }

    #[test]
    fn private_memory_is_told_from_the_rest() {
        let mut meter = meter();
        let me = key_of(std::process::id());
        let before = meter.figures(me).unwrap();
        let taken = vec![1_u8; 32 << 20];
        let after = meter.figures(me).unwrap();
        let more = after.private.unwrap().saturating_sub(before.private.unwrap());
        assert!(more >= taken.len() as u64 * 9 / 10, "{before:?} {after:?}");
        assert!(after.private <= after.proportional && after.proportional <= after.resident);
        assert_eq!(after.idle, None);
    }

    #[test]
    fn another_start_time_is_another_process() {
        let mut me = key_of(std::process::id());
        assert!(meter().figures(ProcessKey { start_ns: me.start_ns + 9_999_999, ..me }).is_ok());
        me.start_ns += ProcessKey::TICK_NS;
        assert!(matches!(meter().figures(me), Err(ReadError::Recycled { .. })));
    }

    #[test]
    fn who_has_ended_has_no_figures() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let key = key_of(child.id());
        let mut meter = meter();
        assert!(!meter.nature(key).unwrap().is_kernel);
        child.kill().unwrap();
        // Not waited for yet: a zombie has no memory left.
        while meter.figures(key).is_ok() {
            std::thread::yield_now();
        }
        assert!(matches!(meter.figures(key), Err(ReadError::Gone { .. })));
        child.wait().unwrap();
        assert!(matches!(meter.figures(key), Err(ReadError::Gone { .. })));
    }

    #[test]
    fn pages_of_hugetlbfs_are_counted_once() {
        let mut figures = Figures::default();
        let text = b"00400000-7fff [rollup]\nRss: 10 kB\nPss: 6 kB\nPss_Anon: 1 kB\nPrivate_Clean: 1 kB\n\
            Private_Dirty: 2 kB\nShared_Hugetlb: 2048 kB\nPrivate_Hugetlb: 4096 kB\nSwap: 3 kB\nSwapPss: 1 kB\n";
        parse_rollup(text, &mut figures);
        let kib = |kib: u64| Some(kib << 10);
        assert_eq!((figures.resident, figures.private), (kib(10 + 2048 + 4096), kib(3 + 4096)));
        assert_eq!((figures.proportional, figures.swap), (kib(6 + 4096), kib(3)));
    }

    #[test]
    fn the_peak_stands_in_status() {
        assert_eq!(parse_peak(b"Name:\tx\nVmHWM:\t    1024 kB\nVmRSS:\t 4 kB\n"), Some(1 << 20));
        assert_eq!(parse_peak(b"Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_signal_is_heard_when_it_is_caught_and_not_blocked() {
        let text =
            b"Name:\tx\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004001\n";
        assert_eq!(parse_caught(text), Some(1), "SIGHUP is caught, SIGTERM is caught and blocked");
        assert_eq!(parse_caught(b"Name:\tx\n"), None);
    }

    #[test]
    fn a_score_may_be_negative() {
        let mut room = [0; 64];
        let dir = ProcFs::open(Path::new("/proc")).unwrap().process(std::process::id()).unwrap();
        let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        assert_eq!(oom_score_adj(&dir, &mut room), text.trim().parse().ok());
    }

    #[test]
    fn a_cgroup_that_is_killed_as_one_is_known() {
        let root = std::env::temp_dir().join(format!("memwatch-as-one-{}", std::process::id()));
        let me = std::process::id().to_string();
        let groups = root.join("groups/web");
        std::fs::create_dir_all(root.join("self")).unwrap();
        std::fs::create_dir_all(root.join(&me)).unwrap();
        std::fs::create_dir_all(&groups).unwrap();
        let mounts = format!("1 0 0:1 / {} rw - cgroup2 c rw\n", root.join("groups").display());
        std::fs::write(root.join("self/mountinfo"), mounts).unwrap();
        std::fs::copy("/proc/self/stat", root.join(&me).join("stat")).unwrap();
        std::fs::write(root.join(&me).join("smaps_rollup"), "").unwrap();
        std::fs::write(root.join(&me).join("cgroup"), "0::/web\n").unwrap();
        let mut meter = ProcessMeter::open(&root).unwrap();
        let key = key_of(std::process::id());
        let mut as_one = || meter.figures(key).unwrap().as_one;
        assert_eq!(as_one(), None, "no such setting");
        for (text, expected) in [("1\n", Some(true)), ("0\n", Some(false)), ("", Some(false))] {
            std::fs::write(groups.join("memory.oom.group"), text).unwrap();
            assert_eq!(as_one(), expected);
        }
        std::fs::write(root.join(&me).join("cgroup"), "0::/\n").unwrap();
        assert_eq!(as_one(), None, "the root");
        std::fs::remove_dir_all(root).unwrap();
    }
}
