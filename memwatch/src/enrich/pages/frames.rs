//! `/proc/kpagecgroup`, `/proc/kpageflags` and `/proc/kpagecount`: 64 bits for each page frame.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zerocopy::IntoBytes;

use crate::core::audit::UNTOLD;
use crate::enrich::proc::ProcFs;
use crate::rights::{self, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN};

/// Bits of an entry of kpageflags (include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h).
pub mod flag {
    /// On the lists of pages that can be reclaimed, or of those that cannot.
    pub const LRU: u64 = 1 << 5;
    /// Backed by swap: anonymous, or of a file in memory.
    pub const SWAP_BACKED: u64 = 1 << 14;
    /// First page of a compound one.
    pub const HEAD: u64 = 1 << 15;
    /// Any other page of it.
    pub const TAIL: u64 = 1 << 16;
    /// From the pool of huge pages.
    pub const HUGE: u64 = 1 << 17;
    /// Locked in memory.
    pub const LOCKED: u64 = 1 << 33;
}

/// Pages of the largest compound page that is charged as one.
const COMPOUND: u64 = 512;

/// Why page frames cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// A file may not be opened.
    #[error("cannot open /proc/{file}: {reason}; {}", rights::remedy(&[CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN]))]
    Refused {
        /// The file.
        file: &'static str,
        /// What the kernel said. Not the source: it is in the text, which would say it twice.
        reason: io::Error,
    },
    /// The kernel shows no frame numbers.
    #[error(
        "pagemap shows no page frames: it needs CAP_SYS_ADMIN in the initial user namespace; {}",
        rights::remedy(&[CAP_SYS_ADMIN])
    )]
    Hidden,
    /// The kernel was built without them.
    #[error(
        "there is no /proc/kpageflags: the kernel was built without CONFIG_PROC_PAGE_MONITOR, or /proc hides it; \
         audit needs such a kernel"
    )]
    Absent,
}

/// The files, open.
#[derive(Debug)]
pub struct Frames {
    owners: Option<File>,
    flags: File,
    mappings: Option<File>,
    /// Owners by frame of the compound pages around one frame, filled when one is asked for.
    compound: Compound,
}

#[derive(Debug, Default)]
struct Compound {
    first: Option<u64>,
    owners: Vec<u64>,
    flags: Vec<u64>,
}

impl Frames {
    /// Opens them.
    ///
    /// # Errors
    /// When the kernel has no kpageflags or refuses it. A kernel without kpagecgroup (CONFIG_MEMCG) is no error: no owner
    /// is told then.
    pub fn open(proc: &ProcFs) -> Result<Self, FramesError> {
        let open = |file| match proc.file(file) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(reason) => Err(FramesError::Refused { file, reason }),
        };
        let flags = open("kpageflags")?.ok_or(FramesError::Absent)?;
        let (owners, mappings) = (open("kpagecgroup")?, open("kpagecount")?);
        Ok(Self { owners, flags, mappings, compound: Compound::default() })
    }

    /// Whether the kernel tells owners.
    #[must_use]
    pub const fn tells_owners(&self) -> bool {
        self.owners.is_some()
    }

    /// Flags of a frame, of any but the first in a compound page those of the first: most are set there alone. 0 where there
    /// is none.
    pub fn flags(&mut self, frame: u64) -> u64 {
        let mut flags = [0];
        self.read_flags(frame, &mut flags);
        let [flags] = flags;
        if flags & flag::TAIL == 0 || flags & flag::HUGE != 0 {
            return flags;
        }
        self.look_around(frame);
        self.compound.first_of(frame).map_or(flags, |(flags, _)| flags)
    }

    /// How many mappings a frame has; 0 where that is not told.
    #[must_use]
    pub fn mappings(&self, frame: u64) -> u64 {
        let mut mappings = [0];
        if let Some(file) = &self.mappings {
            read(file, frame, &mut mappings);
        }
        mappings[0]
    }

    /// Inode numbers of the cgroups that these frames are charged to, 0 for none.
    pub fn owners(&self, frames: Range<u64>, owners: &mut Vec<u64>) {
        owners.clear();
        owners.resize(usize::try_from(frames.end.saturating_sub(frames.start)).unwrap_or(0), 0);
        self.read_owners(frames.start, owners);
    }

    /// The same of frames from `first` on.
    pub fn read_owners(&self, first: u64, owners: &mut [u64]) {
        match &self.owners {
            Some(file) => read(file, first, owners),
            None => owners.fill(UNTOLD),
        }
    }

    /// Flags of frames from `first` on, as the kernel gives them of each; 0 of those beyond memory.
    pub fn read_flags(&self, first: u64, flags: &mut [u64]) {
        read(&self.flags, first, flags);
    }

    /// Looks again at a frame that is charged to none: up to 6.3 only the first page of a compound one is charged
    /// (`page_cgroup_ino` of mm/memcontrol.c takes the page's folio since 6.4). `None` when it is no memory of a process:
    /// the page of zeroes, device memory, memory of the kernel.
    pub fn second_look(&mut self, frame: u64) -> Option<u64> {
        let mut flags = [0];
        self.read_flags(frame, &mut flags);
        self.second_look_at(frame, flags[0])
    }

    /// The same of a frame whose own flags are known.
    pub fn second_look_at(&mut self, frame: u64, flags: u64) -> Option<u64> {
        let (flags, owner) = if flags & flag::TAIL == 0 || flags & flag::HUGE != 0 {
            (flags, 0)
        } else {
            self.look_around(frame);
            self.compound.first_of(frame)?
        };
        (flags & (flag::LRU | flag::HUGE) != 0).then_some(owner)
    }

    fn look_around(&mut self, frame: u64) {
        let first = frame - frame % COMPOUND;
        if self.compound.first == Some(first) {
            return;
        }
        let mut around = std::mem::take(&mut self.compound);
        self.owners(first..first + COMPOUND, &mut around.owners);
        around.flags.clear();
        around.flags.resize(around.owners.len(), 0);
        read(&self.flags, first, &mut around.flags);
        around.first = Some(first);
        self.compound = around;
    }
}

impl Compound {
    /// Flags and owner of the first page of the compound one that a frame is in, or of the frame itself. A huge page of the
    /// pool may begin further back, but all its pages are flagged.
    fn first_of(&self, frame: u64) -> Option<(u64, u64)> {
        let at = usize::try_from(frame % COMPOUND).ok()?;
        let flags = *self.flags.get(at)?;
        let first = if flags & flag::TAIL == 0 || flags & flag::HUGE != 0 {
            at
        } else {
            self.flags.get(..=at)?.iter().rposition(|flags| flags & flag::HEAD != 0)?
        };
        Some((*self.flags.get(first)?, *self.owners.get(first)?))
    }
}

/// Reads entries from `frame` on; those beyond the last frame are 0.
fn read(file: &File, frame: u64, entries: &mut [u64]) {
    let mut rest = entries.as_mut_bytes();
    let mut at = frame * 8;
    while !rest.is_empty() {
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(read) => {
                at += read as u64;
                rest = rest.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A frame beyond memory.
            Err(_) => break,
        }
    }
    rest.fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_compound_one_are_as_the_first() {
        let mut compound = Compound { first: Some(0), owners: vec![0; 512], flags: vec![flag::LRU; 512] };
        compound.flags[8] = flag::LRU | flag::HEAD;
        compound.owners[8] = 77;
        compound.flags[9..12].fill(flag::TAIL);
        compound.flags[20] = flag::HUGE | flag::TAIL;
        assert_eq!(compound.first_of(512 + 11), Some((flag::LRU | flag::HEAD, 77)));
        assert_eq!(compound.first_of(12), Some((flag::LRU, 0)));
        assert_eq!(compound.first_of(20), Some((flag::HUGE | flag::TAIL, 0)));
    }
}
