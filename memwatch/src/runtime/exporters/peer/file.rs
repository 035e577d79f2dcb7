//! Lines in a file that is rotated here, or by another program.
//!
//! Crates that rotate files go by size or by time and write through a buffer; none tells a full disk to the line or lets another
//! program move the file, which is why it is done here.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{Peer, Trouble, lines};
use crate::export::event::Event;
use crate::export::route::{Rotation, Route};
use crate::sys::boot_ns;

/// Who may read it: its group as well.
const MODE: u32 = 0o640;

pub(super) struct LogFile {
    route: Arc<Route>,
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
}

/// A file as long as it stands at its path.
struct Open {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    /// Bytes of whole lines.
    bytes: u64,
    /// When it was made, on the boot clock.
    made_ns: u64,
}

impl LogFile {
    pub(super) fn new(route: &Arc<Route>, path: &Path, rotation: Rotation) -> Self {
        Self { route: Arc::clone(route), path: path.to_owned(), rotation, open: None }
    }

    /// The file, with room for so many bytes.
    fn file(&mut self, next: u64) -> io::Result<&mut Open> {
        if self.open.as_ref().is_some_and(|open| id(&self.path).is_none_or(|id| id != open.id)) {
            self.open = None;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        let age_ns = boot_ns().saturating_sub(open.made_ns);
        let is_full = open.bytes + next > self.rotation.max_bytes;
        if open.bytes > 0 && (is_full || self.rotation.max_age_ns.is_some_and(|bound| age_ns >= bound)) {
            drop(open);
            self.rotate()?;
            open = Open::at(&self.path)?;
        }
        Ok(self.open.insert(open))
    }

    /// Moves the files on by one place, and the last one away.
    fn rotate(&self) -> io::Result<()> {
        let keep = self.rotation.keep;
        let place = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Also those that a larger number left.
        for number in keep.. {
            if fs::remove_file(place(number)).is_err() {
                break;
            }
        }
        for number in (1..keep).rev() {
            match fs::rename(place(number), place(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, place(1))
    }
}

impl Peer for LogFile {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        let mut text = Vec::new();
        while let Some(first) = batch.front() {
            text.clear();
            lines::push(&self.route, first, &mut text);
            let max_bytes = self.rotation.max_bytes;
            let room = {
                let open = self.file(text.len() as u64)?;
                max_bytes.saturating_sub(open.bytes)
            };
            let mut events = 1;
            for event in batch.iter().skip(1) {
                let before = text.len();
                lines::push(&self.route, event, &mut text);
                if text.len() as u64 > room {
                    text.truncate(before);
                    break;
                }
                events += 1;
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            let (written, result) = open.append(&text);
            batch.drain(..if result.is_ok() { events } else { written });
            result?;
        }
        Ok(())
    }

    fn reopen(&mut self) {
        self.open = None;
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // A FIFO without a reader would keep the thread waiting; a link could lead anywhere.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE).custom_flags(flags.bits().cast_signed());
        let mut file = options.open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display()))
        })?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!(
                "{} is no regular file; name another path",
                path.display()
            )));
        }
        if metadata.len() > 0 {
            // What was killed in the middle of a line left it without an end.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let age = metadata.created().ok().and_then(|made| made.elapsed().ok()).unwrap_or_default();
        let age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            id: (metadata.dev(), metadata.ino()),
            bytes: file.seek(SeekFrom::End(0))?,
            made_ns: boot_ns().saturating_sub(age_ns),
            file,
        })
    }

    /// Appends lines; gives how many are there whole. One that is cut by a full disk is taken back.
    fn append(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        let result = loop {
            let rest = text.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let done = text.get(..written).unwrap_or(text);
        let whole = memchr::memrchr(b'\n', done).map_or(0, |end| end + 1);
        self.bytes += whole as u64;
        if whole < written {
            // Where that fails the next file that is opened ends the line.
            let _ = self.file.set_len(self.bytes);
        }
        (memchr::memchr_iter(b'\n', done).count(), result)
    }
}

/// Device and inode of what is at a path.
fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::event::Severity;
    use crate::export::route::{Destination, Form};

    /// A folder of the test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("memwatch-file-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }

        fn peer(&self, max_bytes: u64, keep: u32) -> LogFile {
            let rotation = Rotation { max_bytes, max_age_ns: None, keep };
            let path = self.0.join("log");
            let to = Destination::File { path: path.clone(), rotation, form: Form::Text };
            LogFile::new(&Arc::new(Route::new("test".to_owned(), to)), &path, rotation)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn deliver(peer: &mut LogFile, words: &[&str]) {
        let event = |words: &&str| {
            let sentence = Some((*words).to_owned());
            Arc::new(Event { name: "memwatch.test", severity: Severity::Info, object: Vec::new(), sentence })
        };
        let mut batch: VecDeque<_> = words.iter().map(event).collect();
        peer.deliver(&mut batch).expect("delivered");
        assert!(batch.is_empty());
    }

    #[test]
    fn files_are_rotated_by_size_and_counted() {
        let folder = Folder::new("rotated");
        let mut peer = folder.peer(8, 2);
        deliver(&mut peer, &["one", "two", "three", "four", "longer than that"]);
        assert_eq!(folder.read("log"), "longer than that\n");
        assert_eq!(folder.read("log.1"), "four\n");
        assert_eq!(folder.read("log.2"), "three\n");
        assert!(!folder.0.join("log.3").exists());
        let mut peer = folder.peer(8, 0);
        deliver(&mut peer, &["alone"]);
        assert_eq!((folder.read("log").as_str(), folder.read("log.1").as_str()), ("alone\n", "four\n"));
    }

    #[test]
    fn an_old_file_is_rotated() {
        let folder = Folder::new("old");
        let mut peer = folder.peer(1 << 20, 2);
        deliver(&mut peer, &["one"]);
        peer.rotation.max_age_ns = Some(0);
        deliver(&mut peer, &["two"]);
        assert_eq!((folder.read("log").as_str(), folder.read("log.1").as_str()), ("two\n", "one\n"));
    }

    #[test]
    fn a_file_that_others_move_is_let_go_of() {
        let folder = Folder::new("moved");
        let mut peer = folder.peer(1 << 20, 2);
        deliver(&mut peer, &["one"]);
        fs::rename(folder.0.join("log"), folder.0.join("away")).expect("moved");
        deliver(&mut peer, &["two"]);
        fs::remove_file(folder.0.join("log")).expect("removed");
        deliver(&mut peer, &["three"]);
        assert_eq!((folder.read("away").as_str(), folder.read("log").as_str()), ("one\n", "three\n"));
    }

    #[test]
    fn a_line_that_was_cut_gets_its_end() {
        let folder = Folder::new("cut");
        fs::write(folder.0.join("log"), "whole\nhal").expect("written");
        deliver(&mut folder.peer(1 << 20, 2), &["next"]);
        assert_eq!(folder.read("log"), "whole\nhal\nnext\n");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = Folder::new("refused");
        std::os::unix::fs::symlink("/dev/null", folder.0.join("log")).expect("a link");
        let mut batch = VecDeque::new();
        let mut peer = folder.peer(1 << 20, 2);
        let sentence = Some("one".to_owned());
        let (name, severity) = ("memwatch.test", Severity::Info);
        batch.push_back(Arc::new(Event { name, severity, object: Vec::new(), sentence }));
        assert!(peer.deliver(&mut batch).is_err());
        assert_eq!(batch.len(), 1);
    }
}
