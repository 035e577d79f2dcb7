//! Counts pages by who maps them, who is charged and what they are of; each page once, however many map it.
//!
//! Pages that one process maps alone, which are most, only raise a counter. Of the others it is kept which counter they
//! stand in: 4 bytes a page, in blocks of 512. When another cgroup turns out to map one, it moves to the counter of both.

use std::collections::HashMap;
use std::sync::Arc;

use super::estimate::Weights;
use super::item::Class;

/// Pages that share a block of memory here.
const BLOCK: u64 = 512;

/// A mapping's side of a page: pages seen through one mapping differ in their owner alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Number of the cgroup whose process maps.
    pub group: u32,
    /// Class of the page.
    pub class: Class,
    /// Number of its file; `None` for memory without one.
    pub item: Option<u32>,
    /// Whether it is locked in memory.
    pub locked: bool,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cell {
    groups: Arc<[u32]>,
    class: Class,
    item: Option<u32>,
    locked: bool,
    owner: u64,
}

/// Pages that are alike.
#[derive(Clone, Debug)]
pub struct Count {
    /// Numbers of the cgroups that map them, in order.
    pub groups: Arc<[u32]>,
    /// Their class.
    pub class: Class,
    /// Number of their file.
    pub item: Option<u32>,
    /// Whether they are locked in memory.
    pub locked: bool,
    /// Inode number of the cgroup they are charged to; 0 for none, [`super::UNTOLD`] when it is not told.
    pub owner: u64,
    /// How many.
    pub pages: u64,
}

/// A view with the counter it met last: neighbours are mostly charged alike.
#[derive(Debug)]
struct Eye {
    view: View,
    owner: u64,
    cell: u32,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Tally {
    eyes: Vec<Eye>,
    cells: Vec<(Cell, u64)>,
    by_cell: HashMap<Cell, u32>,
    /// Per block of pages, the counter of each page plus 1.
    blocks: Vec<[u32; BLOCK as usize]>,
    by_block: HashMap<u64, u32>,
    last_block: Option<(u64, u32)>,
    /// Where a page goes that stands in a counter and is met through an eye.
    moves: HashMap<(u32, u32), u32>,
    last_move: Option<((u32, u32), u32)>,
}

/// Number of an eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EyeId(u32);

impl Tally {
    /// Pages will be seen this way.
    pub fn eye(&mut self, view: View) -> EyeId {
        let cell = self.cell(Self::alone(view, 0));
        self.eyes.push(Eye { view, owner: 0, cell });
        EyeId(u32::try_from(self.eyes.len() - 1).unwrap_or(u32::MAX))
    }

    /// Forgets the eyes; the counters stay.
    pub fn close_eyes(&mut self) {
        self.eyes.clear();
        self.moves.clear();
        self.last_move = None;
    }

    /// Counts pages whose frames follow each other. `alone` says that no other mapping has them, so that they will not be
    /// seen again.
    pub fn see(&mut self, eye: EyeId, first: u64, pages: u64, owner: u64, alone: bool) {
        let Some(seen) = self.eyes.get_mut(eye.0 as usize) else { return };
        let cell = if seen.owner == owner { seen.cell } else { self.turn(eye, owner) };
        if alone {
            self.add(cell, pages);
            return;
        }
        for frame in first..first.saturating_add(pages) {
            self.see_shared(eye, frame, cell);
        }
    }

    /// Counts a page that may be seen again; `cell` is where it belongs if it was not seen before.
    fn see_shared(&mut self, eye: EyeId, frame: u64, cell: u32) {
        let place = self.place(frame);
        match *place {
            0 => {
                *place = cell + 1;
                self.add(cell, 1);
            }
            known => {
                let from = known - 1;
                let to = self.moved(from, eye);
                if to != from {
                    *self.place(frame) = to + 1;
                    if let Some((_, pages)) = self.cells.get_mut(from as usize) {
                        *pages -= 1;
                    }
                    self.add(to, 1);
                }
            }
        }
    }

    /// Every counter that holds something.
    pub fn counts(&self) -> impl Iterator<Item = Count> + '_ {
        self.cells.iter().filter(|(_, pages)| *pages > 0).map(|(cell, pages)| Count {
            groups: Arc::clone(&cell.groups),
            class: cell.class,
            item: cell.item,
            locked: cell.locked,
            owner: cell.owner,
            pages: *pages,
        })
    }

    fn alone(view: View, owner: u64) -> Cell {
        let View { group, class, item, locked } = view;
        Cell { groups: Arc::new([group]), class, item, locked, owner }
    }

    fn turn(&mut self, eye: EyeId, owner: u64) -> u32 {
        let Some(view) = self.eyes.get(eye.0 as usize).map(|seen| seen.view) else { return 0 };
        let cell = self.cell(Self::alone(view, owner));
        if let Some(seen) = self.eyes.get_mut(eye.0 as usize) {
            (seen.owner, seen.cell) = (owner, cell);
        }
        cell
    }

    fn cell(&mut self, cell: Cell) -> u32 {
        if let Some(&known) = self.by_cell.get(&cell) {
            return known;
        }
        let number = u32::try_from(self.cells.len()).unwrap_or(u32::MAX - 1);
        self.by_cell.insert(cell.clone(), number);
        self.cells.push((cell, 0));
        number
    }

    fn add(&mut self, cell: u32, more: u64) {
        if let Some((_, pages)) = self.cells.get_mut(cell as usize) {
            *pages += more;
        }
    }

    /// The counter for a page that stands in `from` and is now met through an eye too.
    fn moved(&mut self, from: u32, eye: EyeId) -> u32 {
        let key = (from, eye.0);
        if let Some((last, to)) = self.last_move
            && last == key
        {
            return to;
        }
        let to = match self.moves.get(&key) {
            Some(&to) => to,
            None => {
                let to = self.joined(from, eye);
                self.moves.insert(key, to);
                to
            }
        };
        self.last_move = Some((key, to));
        to
    }

    fn joined(&mut self, from: u32, eye: EyeId) -> u32 {
        let view = self.eyes.get(eye.0 as usize).map(|seen| seen.view);
        let (Some(view), Some((cell, _))) = (view, self.cells.get(from as usize)) else { return from };
        let locked = cell.locked || view.locked;
        let at = cell.groups.binary_search(&view.group);
        if at.is_ok() && locked == cell.locked {
            return from;
        }
        let mut groups = cell.groups.to_vec();
        if let Err(at) = at {
            groups.insert(at, view.group);
        }
        let joined = Cell { groups: groups.into(), locked, ..cell.clone() };
        self.cell(joined)
    }

    fn place(&mut self, frame: u64) -> &mut u32 {
        let number = frame / BLOCK;
        let at = match self.last_block {
            Some((last, at)) if last == number => at,
            _ => {
                let blocks = &mut self.blocks;
                let at = *self.by_block.entry(number).or_insert_with(|| {
                    blocks.push([0; BLOCK as usize]);
                    u32::try_from(blocks.len() - 1).unwrap_or(u32::MAX)
                });
                self.last_block = Some((number, at));
                at
            }
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "the block was just made or found; a remainder of 512 is below it"
        )]
        &mut self.blocks[at as usize][(frame % BLOCK) as usize]
    }
}

impl Count {
    /// Whether a cgroup is among those that map these pages.
    #[must_use]
    pub fn is_mapped_by(&self, group: u32) -> bool {
        self.groups.binary_search(&group).is_ok()
    }

    /// Adds them, each cgroup that maps them bearing the same part, or each the whole.
    pub fn add_to(&self, weights: &mut Weights, is_apportioned: bool) {
        let weight = if is_apportioned { 1.0 / self.groups.len() as f64 } else { 1.0 };
        weights.add(self.pages, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANON: View = View { group: 0, class: Class::Anon, item: None, locked: false };

    fn of(tally: &Tally) -> Vec<(Vec<u32>, u64, bool, u64)> {
        let mut counts: Vec<_> =
            tally.counts().map(|it| (it.groups.to_vec(), it.owner, it.locked, it.pages)).collect();
        counts.sort();
        counts
    }

    #[test]
    fn a_page_counts_once_however_many_map_it() {
        let mut tally = Tally::default();
        let first = tally.eye(ANON);
        let again = tally.eye(ANON);
        let other = tally.eye(View { group: 1, ..ANON });
        let locks = tally.eye(View { group: 1, locked: true, ..ANON });
        for frame in 0..1000 {
            tally.see(first, frame, 1, 7, false);
            tally.see(again, frame, 1, 7, false);
        }
        assert_eq!(of(&tally), [(vec![0], 7, false, 1000)]);
        for frame in 500..600 {
            tally.see(other, frame, 1, 7, false);
        }
        tally.see(locks, 500, 1, 7, false);
        tally.see(locks, 500, 1, 7, false);
        tally.see(first, 5_000_000, 1, 8, true);
        assert_eq!(
            of(&tally),
            [
                (vec![0], 7, false, 900),
                (vec![0], 8, false, 1),
                (vec![0, 1], 7, false, 99),
                (vec![0, 1], 7, true, 1)
            ]
        );
    }

    proptest::proptest! {
        /// Against the plain way: a map from each page to all that see it.
        #[test]
        fn any_order_of_sights_gives_the_same_counts(
            sights in proptest::collection::vec((0_u64..40, 0_u32..4, 0_u64..3), 0..200)
        ) {
            let mut tally = Tally::default();
            let eyes: Vec<_> = (0..4).map(|group| tally.eye(View { group, ..ANON })).collect();
            let mut plain = std::collections::BTreeMap::new();
            for (row, group, more) in &sights {
                // A page is charged to one cgroup, which here the number of its row gives.
                let (first, pages) = (*row * 300, 1 + *more * 100);
                tally.see(eyes[*group as usize], first, pages, row % 3, false);
                for frame in first..first + pages {
                    plain.entry(frame).or_insert_with(std::collections::BTreeSet::new).insert(*group);
                }
            }
            let mut expected = std::collections::BTreeMap::new();
            for (frame, groups) in plain {
                let owner = frame / 300 % 3;
                *expected.entry((groups.into_iter().collect::<Vec<_>>(), owner, false)).or_insert(0) += 1;
            }
            let expected: Vec<_> = expected.into_iter().map(|((a, b, c), d)| (a, b, c, d)).collect();
            proptest::prop_assert_eq!(of(&tally), expected);
        }
    }
}
