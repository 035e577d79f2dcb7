//! Pages that wait to be counted. They lie on shelves by their frames, so that owners of neighbours are read at once: a read
//! costs as much as a few entries.

use std::collections::HashMap;

use super::frames::{Frames, flag};
use super::pagemap::Entry;
use crate::core::audit::item::Class;
use crate::core::audit::tally::{EyeId, Tally, View};

/// Pages that wait at most: the more there are, the more of them are neighbours. They take 16 MiB.
const PAGES: usize = 1 << 21;
/// Sides that wait at most; their numbers fit the bits that a page has for them.
const SIDES: usize = 1 << 20;
/// Frames of a shelf, as a power of two: their owners fit a processor's cache.
const SHELF_BITS: u32 = 15;
const SHELF: usize = 1 << SHELF_BITS;
/// Frames between two that are read through rather than skipped.
const GAP: usize = 6;

/// Bits of a waiting page below its frame number.
const FRAME_SHIFT: u32 = 24;
const SIDE_SHIFT: u32 = 2;
const OF_FILE: u64 = 2;
const ALONE: u64 = 1;

/// The side of a mapping: what pages seen through it have in common.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Number of the cgroup.
    pub group: u32,
    /// Number of the file and its device.
    pub file: Option<(u32, u64)>,
    /// Whether the process has locked mappings at all.
    pub may_lock: bool,
}

#[derive(Debug)]
struct Seen {
    side: Side,
    /// Of pages without a file, and of those of a file.
    eyes: [Option<EyeId>; 2],
}

/// The waiting pages, and what counts them.
#[derive(Debug)]
pub struct Batch {
    frames: Frames,
    tally: Tally,
    /// First frame and waiting pages of each shelf.
    shelves: Vec<(u64, Vec<u64>)>,
    by_frame: HashMap<u64, usize>,
    last_shelf: usize,
    waiting: usize,
    sides: Vec<Seen>,
    owners: Vec<u64>,
    /// Whether the files of a device are in memory.
    devices: HashMap<u64, bool>,
    pages: u64,
}

/// Takes the pages that are found.
pub trait Sink {
    /// The pages that follow are seen from this side.
    fn turn(&mut self, side: Side);
    /// Adds a page that is in memory.
    fn add(&mut self, entry: Entry);
}

impl Sink for Batch {
    fn turn(&mut self, side: Side) {
        if self.sides.len() >= SIDES {
            self.count();
        }
        self.sides.push(Seen { side, eyes: [None; 2] });
    }

    fn add(&mut self, entry: Entry) {
        if self.waiting >= PAGES {
            let side = self.sides.last().map(|seen| seen.side);
            self.count();
            self.sides.extend(side.map(|side| Seen { side, eyes: [None; 2] }));
        }
        let frame = entry.frame();
        if frame == 0 || frame >> (u64::BITS - FRAME_SHIFT) != 0 {
            return;
        }
        let side = (self.sides.len() as u64).saturating_sub(1);
        let page = (frame << FRAME_SHIFT)
            | (side << SIDE_SHIFT)
            | (u64::from(entry.is_of_file()) * OF_FILE)
            | (u64::from(entry.is_alone()) * ALONE);
        self.waiting += 1;
        let first = frame >> SHELF_BITS << SHELF_BITS;
        match self.shelves.get_mut(self.last_shelf) {
            Some((last, pages)) if *last == first => pages.push(page),
            _ => self.shelve(first, page),
        }
    }
}

impl Batch {
    /// An empty one.
    #[must_use]
    pub fn new(frames: Frames) -> Self {
        Self {
            frames,
            tally: Tally::default(),
            shelves: Vec::new(),
            by_frame: HashMap::new(),
            last_shelf: 0,
            waiting: 0,
            sides: Vec::new(),
            owners: vec![0; SHELF],
            devices: HashMap::new(),
            pages: 0,
        }
    }

    /// Pages added so far.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.pages + self.waiting as u64
    }

    /// Counts what waits, and gives the counters.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.count();
        self.tally
    }

    /// Puts a page on another shelf than the one before it.
    fn shelve(&mut self, first: u64, page: u64) {
        let at = *self.by_frame.entry(first).or_insert(self.shelves.len());
        match self.shelves.get_mut(at) {
            Some((_, pages)) => pages.push(page),
            None => self.shelves.push((first, vec![page])),
        }
        self.last_shelf = at;
    }

    fn count(&mut self) {
        self.pages += self.waiting as u64;
        self.waiting = 0;
        let mut owners = std::mem::take(&mut self.owners);
        for (first, pages) in std::mem::take(&mut self.shelves) {
            self.read_owners(first, &pages, &mut owners);
            for page in pages {
                let frame = page >> FRAME_SHIFT;
                let owner = owners.get((frame - first) as usize).copied().unwrap_or(0);
                self.see(page, frame, owner);
            }
        }
        self.owners = owners;
        self.by_frame.clear();
        self.sides.clear();
        self.tally.close_eyes();
    }

    /// Reads the owners of the frames of a shelf on which pages wait, near ones at once.
    fn read_owners(&self, first: u64, pages: &[u64], owners: &mut [u64]) {
        let mut wanted = [0; SHELF];
        for page in pages {
            if let Some(wanted) = wanted.get_mut(((page >> FRAME_SHIFT) - first) as usize) {
                *wanted = WANTED;
            }
        }
        let mut at = 0;
        while let Some(start) = next(&wanted, at) {
            let mut end = start + 1;
            while let Some(more) = next(&wanted, end).filter(|more| more - end <= GAP) {
                end = more + 1;
            }
            self.frames.read_owners(first + start as u64, owners.get_mut(start..end).unwrap_or_default());
            at = end;
        }
    }

    fn see(&mut self, page: u64, frame: u64, owner: u64) {
        let owner = match owner {
            0 => match self.frames.second_look(frame) {
                Some(owner) => owner,
                None => return,
            },
            owner => owner,
        };
        let number = ((page >> SIDE_SHIFT) & ((1 << (FRAME_SHIFT - SIDE_SHIFT)) - 1)) as usize;
        let of_file = page & OF_FILE != 0;
        let Some(seen) = self.sides.get(number) else { return };
        let [without, with] = seen.eyes;
        let eye = if of_file { with } else { without };
        let eye = match eye {
            Some(eye) => eye,
            None => self.open_eye(number, frame, of_file),
        };
        self.tally.see(eye, frame, owner, page & ALONE != 0);
    }

    /// The first page of a mapping that is met tells what all of them are.
    fn open_eye(&mut self, number: usize, frame: u64, of_file: bool) -> EyeId {
        let flags = self.frames.flags(frame);
        let side = self.sides.get(number).map(|seen| seen.side);
        let file = side.and_then(|side| side.file).filter(|_| of_file);
        let class = match file {
            _ if flags & flag::HUGE != 0 => Class::Hugetlb,
            None if of_file => Class::Shmem,
            None => Class::Anon,
            Some((_, device)) => {
                let in_memory = *self.devices.entry(device).or_insert(flags & flag::SWAP_BACKED != 0);
                if in_memory { Class::Shmem } else { Class::File }
            }
        };
        let eye = self.tally.eye(View {
            group: side.map_or(0, |side| side.group),
            class,
            item: file.map(|(item, _)| item),
            locked: side.is_some_and(|side| side.may_lock) && flags & flag::LOCKED != 0,
        });
        if let Some(seen) = self.sides.get_mut(number) {
            let [without, with] = &mut seen.eyes;
            *(if of_file { with } else { without }) = Some(eye);
        }
        eye
    }
}

/// Marks a frame of a shelf whose owner is to be read.
const WANTED: u8 = 1;

/// The first from `from` on that is marked.
fn next(wanted: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(WANTED, wanted.get(from..)?).map(|found| from + found)
}
