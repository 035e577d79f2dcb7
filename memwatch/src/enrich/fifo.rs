//! The FIFO that a master takes orders from: found among its descriptors, so that its path and mount namespace do not matter.

use std::fs::File;
use std::io;

use rustix::fs::{FileType, OFlags};

use super::proc::ProcessDir;
use crate::core::policy::Way;

/// Descriptors looked at; a master with more has no FIFO that is sure.
const DESCRIPTORS: usize = 4096;
/// Permission to read in the mode of a link in `/proc/PID/fd`: the descriptor was opened for that (`proc_fd_link` and
/// `tid_fd_update_inode` of fs/proc/fd.c, 6.18).
const MAY_READ: u32 = 0o400;

/// The one named FIFO that a process reads.
#[derive(Debug)]
pub struct Fifo {
    /// Its place below the folder of the process.
    place: String,
    inode: u64,
}

impl Fifo {
    /// Finds it.
    ///
    /// # Errors
    /// Why orders cannot be given by it.
    pub fn read_by(dir: &ProcessDir) -> Result<Self, Way> {
        let mut numbers = Vec::new();
        dir.numbers("fd", DESCRIPTORS, &mut numbers).ok().flatten().ok_or(Way::NoFifo)?;
        let mut found: Option<(Self, u32)> = None;
        for number in numbers {
            let place = format!("fd/{number}");
            // A pipe without a name is the server's own business.
            if !dir.link_starts(&place, b"/") {
                continue;
            }
            let is_read = dir.look_at(&place, false).is_ok_and(|link| link.st_mode & MAY_READ != 0);
            let Ok(stat) = dir.look_at(&place, true) else { continue };
            if !is_read || FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
                continue;
            }
            match &found {
                Some((known, _)) if known.inode == stat.st_ino => {}
                Some(_) => return Err(Way::ManyFifos),
                None => found = Some((Self { place, inode: stat.st_ino }, stat.st_uid)),
            }
        }
        let (fifo, owner) = found.ok_or(Way::NoFifo)?;
        let master = dir.status().map_err(|_| Way::NoFifo)?.uid;
        if owner == 0 || owner == master { Ok(fifo) } else { Err(Way::ForeignFifo) }
    }

    /// Opens it for one order; nobody is waited for.
    ///
    /// # Errors
    /// What `open(2)` says: ENXIO when nobody reads it any more.
    pub fn open(&self, dir: &ProcessDir) -> io::Result<File> {
        let file = dir.open_at_once(&self.place, OFlags::WRONLY)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_ino == self.inode {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

#[cfg(test)]
mod tests;
