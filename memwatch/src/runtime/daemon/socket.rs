//! The socket's place in the file system: made safely, taken over from a daemon that has died, never from one that lives.
//!
//! A socket that is there is connected to: a daemon that lives answers, and is left alone. What nobody listens at is replaced by
//! renaming a new one over it, so that at every moment one or the other is whole. The folder is locked meanwhile against a second
//! daemon that does the same. After SIGKILL the old socket stays behind; it does nothing, and the next daemon replaces it.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Where the daemon is asked, unless it was told another place.
pub const DEFAULT: &str = "/run/memwatch/daemon.sock";

/// How often the lock of the folder is tried, and the pause in between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something of the file system refused.
    #[error("cannot {act} {path}: {source}; run as root, or name another socket with --socket")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The path names no file.
    #[error("{0} has no folder; name the socket by its whole path")]
    NoFolder(PathBuf),
    /// Others could put a socket of their own there.
    #[error("others than root may write to {0}; name a socket in a folder of mode 0700")]
    Unsafe(PathBuf),
    /// A daemon that lives listens there.
    #[error("another daemon listens at {0}; end it, or name another socket with --socket")]
    Taken(PathBuf),
    /// There is something else.
    #[error("{0} is no socket, and is left as it is; name another one with --socket")]
    NoSocket(PathBuf),
}

/// A socket's path, which goes with this.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
    /// The folder, where it goes with the socket.
    folder: Option<PathBuf>,
}

/// Listens at a path.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, Place), SocketError> {
    let failed = |act, path: &Path, source: io::Error| SocketError::Io { act, path: path.into(), source };
    let (Some(folder), Some(name)) = (path.parent().filter(|path| path.is_absolute()), path.file_name())
    else {
        return Err(SocketError::NoFolder(path.into()));
    };
    let is_made = match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed("make the folder", folder, error)),
    };
    let lock = lock(folder)?;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at", path, error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket(path.into())),
        Ok(_) if is_listened_at(path).map_err(|errno| failed("connect to", path, errno.into()))? => {
            return Err(SocketError::Taken(path.into()));
        }
        Ok(_) => {}
    }
    let new = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    // What an earlier process of this id may have left.
    let _ = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new).map_err(|error| failed("listen at", path, error))?;
    let placed = std::fs::set_permissions(&new, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::symlink_metadata(&new))
        .and_then(|made| std::fs::rename(&new, path).map(|()| (made.dev(), made.ino())));
    drop(lock);
    match placed {
        Ok(file) => {
            let is_ours = is_made || path == Path::new(DEFAULT);
            let folder = is_ours.then(|| folder.to_owned());
            Ok((listener, Place { path: path.to_owned(), file, folder }))
        }
        Err(error) => {
            let _ = std::fs::remove_file(&new);
            Err(failed("put a socket at", path, error))
        }
    }
}

/// Locks a folder that only root, or the daemon's own user, can write to.
fn lock(folder: &Path) -> Result<File, SocketError> {
    let failed = |errno: Errno| SocketError::Io {
        act: "use the folder",
        path: folder.to_owned(),
        source: errno.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(folder, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    let is_trusted = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_trusted || stat.st_mode & 0o022 != 0 {
        return Err(SocketError::Unsafe(folder.to_owned()));
    }
    for _ in 0..TRIES {
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(File::from(fd)),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(failed(Errno::WOULDBLOCK))
}

/// Whether somebody listens at a socket.
fn is_listened_at(path: &Path) -> Result<bool, Errno> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // Somebody who is too busy to answer lives.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // By then the path may be another daemon's.
        let is_same = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.file;
        if std::fs::symlink_metadata(&self.path).is_ok_and(is_same) {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Some(folder) = &self.folder {
            // Not empty: others use it.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("memwatch-socket-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_socket_is_for_its_owner_and_goes_with_its_folder() {
        let folder = folder("own");
        let path = folder.join("s");
        let (_listener, place) = listen(&path).unwrap();
        let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
        drop(place);
        assert!(!folder.exists());
    }

    #[test]
    fn that_of_the_living_stays_and_that_of_the_dead_is_replaced() {
        let folder = folder("old");
        let path = folder.join("s");
        let (living, place) = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(SocketError::Taken(_))));
        // As after SIGKILL: nobody listens, and the path is there.
        drop(living);
        let (_listener, second) = listen(&path).unwrap();
        drop(place);
        assert!(path.exists(), "it is the second one's by now");
        drop(second);
        std::fs::remove_dir_all(folder).unwrap_or(());
    }

    #[test]
    fn what_is_no_socket_and_what_others_write_to_is_left_alone() {
        let folder = folder("else");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        std::fs::write(&path, "text").unwrap();
        assert!(matches!(listen(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(listen(&folder.join("t")), Err(SocketError::Unsafe(_))));
        assert!(matches!(listen(Path::new("s")), Err(SocketError::NoFolder(_))));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
