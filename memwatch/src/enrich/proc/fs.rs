//! Reads `/proc`. A process's folder is opened once and everything is read relative to it: the folder stays bound to
//! the process it was opened for (fs/proc/base.c keeps its `struct pid`), so a recycled pid cannot mix two of them.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, makedev, openat, openat2, readlinkat, readlinkat_raw,
    statx,
};

use super::{
    Arguments, Exe, Limits, Memberships, ParseError, Stat, Status, parse_cgroups, parse_cmdline, parse_exe,
    parse_limits, parse_stat, parse_status,
};

/// Bytes read of a file at most: ample for all but the line `Groups` of status, behind which only NSpid is kept.
const TEXT_MAX: usize = 16 * 1024;
/// Bytes kept of an argument vector at most.
const CMDLINE_MAX: usize = 1024;
/// Bytes asked for at first: nearly every file fits.
const FIRST_READ: usize = 4096;

/// Why nothing could be said about a process.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such process, or it ended while it was read.
    #[error("process {tgid} is gone")]
    Gone {
        /// The process.
        tgid: u32,
    },
    /// The pid belongs to a process that started at another time than the one asked for.
    #[error("pid {tgid} belongs to another process by now")]
    Recycled {
        /// The pid.
        tgid: u32,
    },
    /// A file could not be read.
    #[error("cannot read /proc/{tgid}/{file}: {source}; run as root in the host's pid namespace")]
    Io {
        /// The process.
        tgid: u32,
        /// The file below its folder.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file was read and not understood.
    #[error("process {tgid}: {source}")]
    Parse {
        /// The process.
        tgid: u32,
        /// What was wrong.
        source: ParseError,
    },
}

/// Which file, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// That of a file that was looked at.
    #[must_use]
    pub const fn new(stat: &rustix::fs::Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// As the kernel's own records have it, a `dev_t` of 12 bits and 20; `None` when they do not. Some file systems (btrfs, overlays
    /// of several others) tell programs another device than that.
    #[must_use]
    pub fn of_kernel(device: u32, inode: u64) -> Option<Self> {
        let device = makedev(device >> 20, device & 0xf_ffff);
        (inode != 0).then_some(Self { device, inode })
    }

    /// Whether both are on one file system.
    #[must_use]
    pub const fn shares_device(self, other: Self) -> bool {
        self.device == other.device
    }

    /// That of an open file or a link in a folder, by what the kernel has in memory: no file system is asked, which may
    /// be a program's that lets it wait.
    fn at(dir: impl AsFd, name: &str, flags: AtFlags) -> Option<Self> {
        let found = statx(dir, name, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        Some(Self { device: makedev(found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino })
    }
}

/// A mounted `/proc`.
#[derive(Debug)]
pub struct ProcFs {
    root: OwnedFd,
    path: PathBuf,
}

impl ProcFs {
    /// Opens the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it is not a folder that can be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(root, FOLDER, Mode::empty())?;
        Ok(Self { root: fd, path: root.to_owned() })
    }

    /// The pids of every process now.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            pids.extend(super::number::decimal_u32(entry?.file_name().as_bytes()));
        }
        Ok(pids)
    }

    /// Opens the folder of a process.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when there is no such process.
    pub fn process(&self, tgid: u32) -> Result<ProcessDir, ReadError> {
        match openat(&self.root, itoa::Buffer::new().format(tgid), FOLDER, Mode::empty()) {
            Ok(dir) => Ok(ProcessDir { dir, tgid }),
            Err(errno) => Err(failed(tgid, "", errno.into())),
        }
    }

    /// The mounts that this program sees: `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn mountinfo(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join("self/mountinfo"))
    }

    /// Opens a file that is no process's.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(&self.root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// The largest limit of descriptors that the kernel allows: `fs.nr_open`.
    #[must_use]
    pub fn nr_open(&self) -> Option<u64> {
        super::number::decimal(std::fs::read(self.path.join("sys/fs/nr_open")).ok()?.trim_ascii())
    }
}

/// The folder of one process.
#[derive(Debug)]
pub struct ProcessDir {
    dir: OwnedFd,
    tgid: u32,
}

impl ProcessDir {
    /// The process id under which the folder was opened.
    #[must_use]
    pub const fn tgid(&self) -> u32 {
        self.tgid
    }

    /// The folder of one of its threads; `None` when that has ended.
    #[must_use]
    pub fn thread(&self, id: u32) -> Option<Self> {
        let dir = openat(&self.dir, format!("task/{id}"), FOLDER, Mode::empty()).ok()?;
        Some(Self { dir, tgid: self.tgid })
    }

    /// Name, parent and start.
    ///
    /// # Errors
    /// When the process is gone or the file is not understood.
    pub fn stat(&self) -> Result<Stat, ReadError> {
        self.parsed("stat", parse_stat)
    }

    /// Thread group, parent, user.
    ///
    /// # Errors
    /// When the process is gone or the file is not understood.
    pub fn status(&self) -> Result<Status, ReadError> {
        self.parsed("status", parse_status)
    }

    /// Cgroup paths.
    ///
    /// # Errors
    /// When the process is gone or the file is not understood.
    pub fn cgroups(&self) -> Result<Memberships, ReadError> {
        self.parsed("cgroup", parse_cgroups)
    }

    /// Resource limits.
    ///
    /// # Errors
    /// When the process is gone, belongs to somebody else, or the file is not understood.
    pub fn limits(&self) -> Result<Limits, ReadError> {
        self.parsed("limits", parse_limits)
    }

    /// The argument vector, its first 1,024 bytes; empty for a kernel thread and a zombie.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cmdline(&self) -> Result<Arguments, ReadError> {
        // A title that a program wrote over its arguments leaves zeros up to where they ended: nothing is missing then.
        let text = self.read("cmdline", FIRST_READ)?;
        let (kept, rest) = text.split_at(text.len().min(CMDLINE_MAX));
        Ok(parse_cmdline(kept, rest.iter().all(|&byte| byte == 0)))
    }

    /// The executable; `None` for a kernel thread, a zombie, and when it may not be seen.
    #[must_use]
    pub fn exe(&self) -> Option<Exe> {
        let link = readlinkat(&self.dir, "exe", Vec::with_capacity(256)).ok()?;
        parse_exe(link.as_bytes())
    }

    /// The file that it runs; `None` as for [`Self::exe`].
    #[must_use]
    pub fn exe_file(&self) -> Option<FileId> {
        FileId::at(&self.dir, "exe", AtFlags::empty())
    }

    /// The file that the process means by a name, and its path; `None` when the kernel would have to ask a file system
    /// for it (before 5.12 always).
    #[must_use]
    pub fn file_named(&self, name: &[u8]) -> Option<(FileId, Vec<u8>)> {
        let (base, resolve) = match name.first()? {
            b'/' => ("root", ResolveFlags::CACHED | ResolveFlags::IN_ROOT),
            _ => ("cwd", ResolveFlags::CACHED),
        };
        let place = OFlags::PATH | OFlags::CLOEXEC;
        let base = openat(&self.dir, base, place | OFlags::DIRECTORY, Mode::empty()).ok()?;
        let file = openat2(&base, name, place, Mode::empty(), resolve).ok()?;
        let id = FileId::at(&file, "", AtFlags::EMPTY_PATH)?;
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = readlinkat(rustix::fs::CWD, link, Vec::with_capacity(256)).ok()?;
        Some((id, path.into_bytes()))
    }

    /// The text of a link in the folder, up to a length.
    #[must_use]
    pub fn link(&self, name: &str, max: usize) -> Option<CString> {
        readlinkat(&self.dir, name, Vec::with_capacity(max)).ok()
    }

    /// The link `exe` as it stands, in memory of the caller's; `None` as for [`Self::exe`], and when it does not fit.
    #[must_use]
    pub fn exe_into<'a>(&self, room: &'a mut [u8]) -> Option<&'a [u8]> {
        let len = readlinkat_raw(&self.dir, "exe", &mut *room).ok()?;
        // What fills the room may have been cut.
        if len < room.len() { room.get(..len) } else { None }
    }

    /// Whether the text of a link in the folder starts this way.
    #[must_use]
    pub fn link_starts(&self, link: &str, start: &[u8]) -> bool {
        let mut room = [0; 64];
        let len = readlinkat_raw(&self.dir, link, &mut room[..]).unwrap_or(0);
        room.get(..len).is_some_and(|text| text.starts_with(start))
    }

    /// Reads a file of the folder into memory of the caller's, as much of it as fits: nothing is allocated.
    ///
    /// # Errors
    /// When the process is gone or the file cannot be read.
    pub fn read_into<'a>(&self, file: &'static str, room: &'a mut [u8]) -> Result<&'a [u8], ReadError> {
        let mut read = || -> io::Result<usize> {
            let mut file = self.file(file)?;
            let mut filled = 0;
            loop {
                match file.read(room.get_mut(filled..).unwrap_or_default())? {
                    0 => return Ok(filled),
                    more => filled += more,
                }
            }
        };
        let filled = read().map_err(|error| failed(self.tgid, file, error))?;
        Ok(room.get(..filled).unwrap_or_default())
    }

    /// Opens a file of the folder.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn file(&self, file: &str) -> io::Result<File> {
        let fd = openat(&self.dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(File::from(fd))
    }

    /// Opens a file of the folder, or one behind a link of it, without waiting for anybody at its other end.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn open_at_once(&self, file: &str, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.dir, file, flags, Mode::empty())?))
    }

    /// What a path below the folder is: of a link itself, or of what it leads to.
    ///
    /// # Errors
    /// What `fstatat(2)` says.
    pub fn look_at(&self, path: &str, follow: bool) -> io::Result<rustix::fs::Stat> {
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        Ok(rustix::fs::statat(&self.dir, path, flags)?)
    }

    /// The ids in a folder of numbers: `task`, `fd`. At most `max` of them: `None` when there are more.
    ///
    /// # Errors
    /// What `openat(2)` or `getdents(2)` says.
    pub fn numbers(&self, folder: &str, max: usize, found: &mut Vec<u32>) -> io::Result<Option<()>> {
        found.clear();
        let fd = openat(&self.dir, folder, FOLDER, Mode::empty())?;
        let mut room = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = rustix::fs::RawDir::new(fd, &mut room);
        while let Some(entry) = entries.next() {
            if let Some(number) = super::number::decimal_u32(entry?.file_name().to_bytes()) {
                if found.len() == max {
                    return Ok(None);
                }
                found.push(number);
            }
        }
        Ok(Some(()))
    }

    /// Opens one of its files, with an error that tells whether the process is gone.
    ///
    /// # Errors
    /// When the process is gone or belongs to somebody else.
    pub fn open(&self, file: &'static str) -> Result<File, ReadError> {
        self.file(file).map_err(|error| failed(self.tgid, file, error))
    }

    /// A text of any length, to its end.
    ///
    /// # Errors
    /// When the process is gone or belongs to somebody else.
    pub fn text(&self, file: &'static str) -> Result<Vec<u8>, ReadError> {
        let mut text = Vec::with_capacity(FIRST_READ);
        let read = self.open(file)?.read_to_end(&mut text);
        read.map(|_| text).map_err(|error| failed(self.tgid, file, error))
    }

    fn parsed<T>(
        &self,
        file: &'static str,
        parse: fn(&[u8]) -> Result<T, ParseError>,
    ) -> Result<T, ReadError> {
        let text = self.read(file, TEXT_MAX)?;
        parse(&text).map_err(|source| ReadError::Parse { tgid: self.tgid, source })
    }

    fn read(&self, file: &'static str, max: usize) -> Result<Vec<u8>, ReadError> {
        self.file(file).and_then(|file| read_whole(file, max)).map_err(|error| failed(self.tgid, file, error))
    }
}

/// Reads a file, its first `max` bytes at most. A read that leaves room in the buffer is taken for the last: the kernel
/// makes each of these texts in one piece (`single_open` of fs/seq_file.c, `get_mm_cmdline` of fs/proc/base.c), and a
/// second read for each file is a tenth of the time to seed the ledger.
fn read_whole(mut file: File, max: usize) -> io::Result<Vec<u8>> {
    let mut text = vec![0; max.min(FIRST_READ)];
    let mut filled = 0;
    loop {
        filled += file.read(text.get_mut(filled..).unwrap_or_default())?;
        if filled < text.len() || filled == max {
            text.truncate(filled);
            return Ok(text);
        }
        text.resize(max.min(filled * 2), 0);
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A process that ended shows as ENOENT when a file is opened and as ESRCH when it is read.
pub(super) fn failed(tgid: u32, file: &'static str, source: io::Error) -> ReadError {
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => ReadError::Gone { tgid },
        _ => ReadError::Io { tgid, file, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_as_it_is() {
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        let me = std::process::id();
        assert!(proc.pids().unwrap().contains(&me));
        let dir = proc.process(me).unwrap();
        let (stat, status) = (dir.stat().unwrap(), dir.status().unwrap());
        assert_eq!((stat.pid, status.tgid), (me, me));
        assert_eq!(stat.parent_pid, status.parent_pid);
        assert_eq!(dir.exe().unwrap().path, std::env::current_exe().unwrap().as_os_str().as_bytes());
        assert!(!dir.cmdline().unwrap().words.is_empty());
        assert!(dir.cgroups().unwrap().telling_path().is_some());
        assert!(dir.limits().unwrap().get(libc::RLIMIT_NOFILE).is_some());
    }

    #[test]
    fn a_long_text_is_read_to_its_end_or_to_the_bound() {
        let path = std::env::temp_dir().join(format!("memwatch-read-{}", std::process::id()));
        for (len, max) in [(0, 10), (10, 10), (11, 10), (4096, 16_384), (9_000, 16_384), (20_000, 16_384)] {
            let text: Vec<u8> = (0..len).map(|at| at as u8).collect();
            std::fs::write(&path, &text).unwrap();
            let read = read_whole(File::open(&path).unwrap(), max).unwrap();
            assert_eq!(read, text[..len.min(max)], "{len} bytes, at most {max}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn arguments_that_are_cut_say_so() {
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        // `sh`, `-c`, the script and its name take 24 bytes with their zeros.
        for (len, are_cut) in
            [(1000, false), (CMDLINE_MAX - 23, false), (CMDLINE_MAX - 22, true), (100_000, true)]
        {
            let mut command = std::process::Command::new("sh");
            let mut child = command
                .args(["-c", "echo; read end", "sh", &"x".repeat(len - 1)])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            // Before that it is not yet what it is to be.
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let found = proc.process(child.id()).and_then(|dir| dir.cmdline());
            drop(child.stdin.take());
            child.wait().unwrap();
            let found = found.unwrap();
            assert_eq!((found.words.len(), found.are_cut), (5, are_cut), "{len}");
        }
    }

    #[test]
    fn a_folder_outlives_its_process_but_says_so() {
        let proc = ProcFs::open(Path::new("/proc")).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let dir = proc.process(child.id()).unwrap();
        assert!(dir.stat().is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(dir.stat(), Err(ReadError::Gone { .. })));
        assert!(matches!(proc.process(child.id()), Err(ReadError::Gone { .. })));
    }
}
