//! Pages that wait to be counted. They are put in the order of their frames, so that owners of neighbours are read at
//! once: a read costs as much as a few entries.

use std::collections::HashMap;

use super::frames::{Frames, flag};
use super::pagemap::Entry;
use crate::core::audit::item::Class;
use crate::core::audit::tally::{EyeId, Tally, View};

/// Pages that wait at most.
const PAGES: usize = 1 << 19;
/// Sides that wait at most; their numbers fit the bits that a page has for them.
const SIDES: usize = 1 << 20;
/// Frames between two that are read through rather than skipped.
const GAP: u64 = 6;
/// Frames read at once.
const SPAN: u64 = 1 << 15;

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
    waiting: Vec<u64>,
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
        if self.waiting.len() >= PAGES {
            let side = self.sides.last().map(|seen| seen.side);
            self.count();
            self.sides.extend(side.map(|side| Seen { side, eyes: [None; 2] }));
        }
        let frame = entry.frame();
        let side = (self.sides.len() as u64).saturating_sub(1);
        if frame != 0 && frame >> (u64::BITS - FRAME_SHIFT) == 0 {
            self.waiting.push(
                (frame << FRAME_SHIFT)
                    | (side << SIDE_SHIFT)
                    | (u64::from(entry.is_of_file()) * OF_FILE)
                    | (u64::from(entry.is_alone()) * ALONE),
            );
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
            waiting: Vec::with_capacity(PAGES),
            sides: Vec::new(),
            owners: Vec::new(),
            devices: HashMap::new(),
            pages: 0,
        }
    }

    /// Pages added so far.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages + self.waiting.len() as u64
    }

    /// Counts what waits, and gives the counters.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.count();
        self.tally
    }

    fn count(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.pages += waiting.len() as u64;
        // Stable: it takes advantage of runs that are in order, which frames of one mapping mostly are.
        waiting.sort();
        let mut owners = std::mem::take(&mut self.owners);
        let mut rest = waiting.as_slice();
        while let Some(&first) = rest.first() {
            let first = first >> FRAME_SHIFT;
            let mut end = first + 1;
            let near = rest.iter().take_while(|&&page| {
                let frame = page >> FRAME_SHIFT;
                let is_near = frame <= end + GAP && frame - first < SPAN;
                end = if is_near { frame + 1 } else { end };
                is_near
            });
            let length = near.count();
            let (near, after) = rest.split_at(length);
            self.frames.owners(first..end, &mut owners);
            for &page in near {
                let frame = page >> FRAME_SHIFT;
                let owner = owners.get((frame - first) as usize).copied().unwrap_or(0);
                self.see(page, frame, owner);
            }
            rest = after;
        }
        waiting.clear();
        self.waiting = waiting;
        self.owners = owners;
        self.sides.clear();
        self.tally.close_eyes();
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
