//! Pages that wait to be counted. They lie on shelves by their frames, so that owners of neighbours are read at once: a read
//! costs as much as a few entries. Pages that follow each other in memory as they do in their mapping wait together: the
//! kernel hands out neighbours, so that most do.

use std::collections::HashMap;
use std::ops::Range;

use super::frames::{Frames, flag};
use super::pagemap::Entry;
use crate::core::audit::UNTOLD;
use crate::core::audit::item::Class;
use crate::core::audit::tally::{EyeId, Tally, View};

/// Rows of pages that wait at most: the more there are, the more of them are neighbours. They take 16 MiB.
const ROWS: usize = 1 << 20;
/// Sides that wait at most; their numbers fit the bits that a page has for them.
const SIDES: usize = 1 << 20;
/// Frames of a shelf, as a power of two: their owners fit a processor's cache.
const SHELF_BITS: u32 = 15;
const SHELF: usize = 1 << SHELF_BITS;
/// Shelves whose places are kept at hand: those of 64 GiB.
const NEAR: usize = 512;
/// Frames between two that are read through rather than skipped.
const GAP: usize = 6;

/// Pages in a row: their frames follow each other on one shelf, and they are alike.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The first.
    entry: Entry,
    /// Number of the side.
    side: u32,
    pages: u32,
}

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
    /// The row that the next page may belong to.
    last: Option<Row>,
    /// First frame and waiting rows of each shelf.
    shelves: Vec<(u64, Vec<Row>)>,
    by_frame: HashMap<u64, usize>,
    /// Where the shelves that were met last may stand, by their numbers modulo [`NEAR`]: hashes take longer.
    near: [usize; NEAR],
    /// Shelves that were cleared, for the memory they have.
    spare: Vec<Vec<Row>>,
    /// Rows that wait.
    waiting: usize,
    sides: Vec<Seen>,
    /// Of the frames of the shelf that is counted.
    owners: Vec<u64>,
    flags: Vec<u64>,
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
        self.put_down();
        if self.sides.len() >= SIDES {
            self.count();
        }
        self.sides.push(Seen { side, eyes: [None; 2] });
    }

    fn add(&mut self, entry: Entry) {
        if let Some(last) = &mut self.last
            && entry.follows(last.entry, last.pages)
            && !entry.frame().is_multiple_of(SHELF as u64)
        {
            last.pages += 1;
            return;
        }
        self.put_down();
        if entry.frame() != 0 {
            let side = u32::try_from(self.sides.len()).unwrap_or(u32::MAX).saturating_sub(1);
            self.last = Some(Row { entry, side, pages: 1 });
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
            last: None,
            shelves: Vec::new(),
            by_frame: HashMap::new(),
            near: [0; NEAR],
            spare: Vec::new(),
            waiting: 0,
            sides: Vec::new(),
            owners: vec![0; SHELF],
            flags: vec![0; SHELF],
            devices: HashMap::new(),
            pages: 0,
        }
    }

    /// Counts what waits, and gives the counters with the number of pages that were added.
    #[must_use]
    pub fn finish(mut self) -> (Tally, u64) {
        self.put_down();
        self.count();
        (self.tally, self.pages)
    }

    /// Has the last row wait on the shelf of its frames.
    fn put_down(&mut self) {
        let Some(mut row) = self.last.take() else { return };
        if self.waiting >= ROWS {
            let side = self.sides.last().map(|seen| seen.side);
            self.count();
            self.sides.extend(side.map(|side| Seen { side, eyes: [None; 2] }));
            row.side = 0;
        }
        self.waiting += 1;
        self.pages += u64::from(row.pages);
        let first = row.entry.frame() >> SHELF_BITS << SHELF_BITS;
        let near = (first >> SHELF_BITS) as usize % NEAR;
        match self.near.get(near).and_then(|&at| self.shelves.get_mut(at)) {
            Some((known, rows)) if *known == first => rows.push(row),
            _ => self.shelve(near, first, row),
        }
    }

    /// Puts a row on a shelf that is not where it was looked for.
    fn shelve(&mut self, near: usize, first: u64, row: Row) {
        let at = *self.by_frame.entry(first).or_insert(self.shelves.len());
        if at == self.shelves.len() {
            self.shelves.push((first, self.spare.pop().unwrap_or_default()));
        }
        if let Some((_, rows)) = self.shelves.get_mut(at) {
            rows.push(row);
        }
        if let Some(near) = self.near.get_mut(near) {
            *near = at;
        }
    }

    fn count(&mut self) {
        self.waiting = 0;
        let mut shelves = std::mem::take(&mut self.shelves);
        for (first, mut rows) in shelves.drain(..) {
            self.read_owners(first, &rows);
            let owners = std::mem::take(&mut self.owners);
            for row in rows.drain(..) {
                self.see(row, owners.get(row.range(first)).unwrap_or_default());
            }
            self.owners = owners;
            self.spare.push(rows);
        }
        self.shelves = shelves;
        self.by_frame.clear();
        self.sides.clear();
        self.tally.close_eyes();
    }

    /// Reads the owners of the frames of a shelf on which rows wait.
    fn read_owners(&mut self, first: u64, rows: &[Row]) {
        let mut wanted = [0; SHELF];
        for row in rows {
            wanted.get_mut(row.range(first)).unwrap_or_default().fill(WANTED);
        }
        let owners = &mut self.owners;
        let mut is_any_uncharged = false;
        each_run(&wanted, |run| {
            let owners = owners.get_mut(run.clone()).unwrap_or_default();
            self.frames.read_owners(first + run.start as u64, owners);
            is_any_uncharged |= owners.contains(&0);
        });
        if !is_any_uncharged {
            return;
        }
        for (wanted, owner) in wanted.iter_mut().zip(owners.iter()) {
            *wanted &= u8::from(*owner == 0);
        }
        let flags = &mut self.flags;
        each_run(&wanted, |run| {
            self.frames.read_flags(first + run.start as u64, flags.get_mut(run).unwrap_or_default());
        });
        let found = wanted.iter().zip(owners).zip(flags).zip(first..);
        for (((_, owner), flags), frame) in found.filter(|(((wanted, _), _), _)| **wanted == WANTED) {
            *owner = self.frames.second_look_at(frame, *flags).unwrap_or(OF_NO_PROCESS);
        }
    }

    /// Counts the pages of a row; these are the owners of each.
    fn see(&mut self, row: Row, owners: &[u64]) {
        let mut frame = row.entry.frame();
        for alike in owners.chunk_by(|a, b| a == b) {
            if let Some(&owner) = alike.first().filter(|owner| **owner != OF_NO_PROCESS) {
                let eye = self.eye(row.side as usize, frame, row.entry.is_of_file());
                self.tally.see(eye, frame, alike.len() as u64, owner, row.entry.is_alone());
            }
            frame += alike.len() as u64;
        }
    }

    fn eye(&mut self, number: usize, frame: u64, of_file: bool) -> EyeId {
        let known = self.sides.get(number).and_then(
            |Seen { eyes: [without, with], .. }| {
                if of_file { *with } else { *without }
            },
        );
        known.unwrap_or_else(|| self.open_eye(number, frame, of_file))
    }

    /// The first page of a mapping that is met tells what all of them are.
    fn open_eye(&mut self, number: usize, frame: u64, of_file: bool) -> EyeId {
        let side = self.sides.get(number).map(|seen| seen.side);
        // Pages of the pool of huge ones have a file.
        let is_plain = !of_file && side.is_some_and(|side| side.file.is_none() && !side.may_lock);
        let flags = if is_plain { 0 } else { self.frames.flags(frame) };
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

impl Row {
    /// Places of its frames on the shelf that begins with this frame.
    fn range(&self, first: u64) -> Range<usize> {
        let start = (self.entry.frame() - first) as usize;
        start..start + self.pages as usize
    }
}

/// Marks a frame of a shelf that is to be looked at.
const WANTED: u8 = 1;
/// Stands for the owner of what is no memory of a process.
const OF_NO_PROCESS: u64 = UNTOLD - 1;

/// Gives the runs of marked frames, near ones at once.
fn each_run(wanted: &[u8], mut give: impl FnMut(Range<usize>)) {
    let find = |mark, from: usize| memchr::memchr(mark, wanted.get(from..)?).map(|found| from + found);
    let mut following = find(WANTED, 0);
    while let Some(start) = following {
        let mut end = find(0, start).unwrap_or(wanted.len());
        following = find(WANTED, end);
        while let Some(more) = following.filter(|more| more - end <= GAP) {
            end = find(0, more).unwrap_or(wanted.len());
            following = find(WANTED, end);
        }
        give(start..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_runs_are_given_at_once() {
        let runs = |wanted: &[u8]| {
            let mut runs = Vec::new();
            each_run(wanted, |run| runs.push((run.start, run.end)));
            runs
        };
        assert_eq!(runs(&[0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0]), [(1, 10)]);
        assert_eq!(runs(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 1]), [(0, 1), (8, 10)]);
        assert_eq!(runs(&[0; 9]), []);
    }
}
