//! The cgroups that charge memory, with their counters, and what the counters say of cgroups that are gone.
//!
//! A removed cgroup that still has pages is charged for them until the last is freed: it is dying. The kernel names the
//! nearest living ancestor in its stead (`page_cgroup_ino` of mm/memcontrol.c, 6.18), and the counters of that one
//! include it. What the counters of a cgroup hold beyond its living children's is therefore its own or the dying's.

use std::collections::HashMap;

use super::charge::Charged;

/// Figures that are not read at one moment differ by this much without a meaning.
const NOISE: u64 = 1 << 20;

/// A living cgroup.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Inode number of its folder.
    pub id: u64,
    /// Path below the root of the hierarchy.
    pub path: Vec<u8>,
    /// Number of its parent; `None` for the root.
    pub parent: Option<u32>,
    /// Counters of it and all below it, the dying included.
    pub charged: Charged,
    /// Counters of it alone, which only the first version of the controller has.
    pub local: Option<Charged>,
    /// Removed cgroups that are still charged, anywhere below it; only the second version counts them.
    pub dying_below: Option<u64>,
    /// Whether it can have no processes of its own, as it hands the memory controller down (second version).
    pub is_inner: bool,
    /// The limit of its memory.
    pub limit: Option<u64>,
}

/// Whether memory that counts as a cgroup's is really that of removed ones below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// There are none.
    No,
    /// Its own or theirs.
    Perhaps,
    /// Theirs.
    Surely,
}

/// Every living cgroup, parents before their children.
#[derive(Debug, Default)]
pub struct Tree {
    groups: Vec<Group>,
    by_id: HashMap<u64, u32>,
    children: Vec<Vec<u32>>,
}

impl Tree {
    /// Of groups in an order that puts parents first.
    #[must_use]
    pub fn new(groups: Vec<Group>) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let by_id = groups.iter().enumerate().map(|(at, group)| (group.id, number(at))).collect();
        let mut children = vec![Vec::new(); groups.len()];
        for (at, group) in groups.iter().enumerate() {
            if let Some(parent) = group.parent.and_then(|parent| children.get_mut(parent as usize)) {
                parent.push(number(at));
            }
        }
        Self { groups, by_id, children }
    }

    /// Every cgroup.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// A cgroup by its number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }

    /// The number of a cgroup by its inode.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Whether the first is the second or lies below it.
    #[must_use]
    pub fn is_within(&self, number: u32, ancestor: u32) -> bool {
        let mut at = Some(number);
        while let Some(number) = at {
            if number == ancestor {
                return true;
            }
            at = self.get(number).and_then(|group| group.parent);
        }
        false
    }

    /// What is charged to a cgroup but to none of its living children.
    #[must_use]
    pub fn own(&self, number: u32) -> Charged {
        let Some(group) = self.get(number) else { return Charged::default() };
        let kernel = self.beyond_children(number, group).kernel;
        match group.local {
            // The memory of the kernel has no counter of the group alone.
            Some(local) => Charged { kernel: local.kernel.or(kernel), ..local },
            None => self.beyond_children(number, group),
        }
    }

    /// Removed cgroups whose nearest living ancestor this is; `None` when they are not counted.
    #[must_use]
    pub fn dying(&self, number: u32) -> Option<u64> {
        let below = self.get(number)?.dying_below?;
        let deeper = self.living_children(number).filter_map(|child| child.dying_below).sum();
        Some(below.saturating_sub(deeper))
    }

    /// What removed cgroups right below hold; an upper bound unless [`Tree::removed`] is sure. `None` when there are none.
    #[must_use]
    pub fn held_by_dying(&self, number: u32) -> Option<Charged> {
        let group = self.get(number)?;
        let beyond = self.beyond_children(number, group);
        match (group.local, self.dying(number)) {
            (Some(local), _) => {
                let held =
                    Charged { kernel: None, swap: None, ..beyond.less(Charged { kernel: Some(0), ..local }) };
                (held.total() >= NOISE).then_some(held)
            }
            (None, Some(1..)) => Some(beyond),
            (None, _) => None,
        }
    }

    /// Whose such memory of this cgroup is of which `bytes` were met.
    #[must_use]
    pub fn removed(&self, number: u32, bytes: u64) -> Removed {
        let (Some(group), Some(dying)) = (self.get(number), self.held_by_dying(number)) else {
            return Removed::No;
        };
        match group.local {
            Some(local) if local.total() < bytes / 8 => Removed::Surely,
            Some(_) if dying.total() < bytes / 8 => Removed::No,
            None if group.is_inner && group.parent.is_some() => Removed::Surely,
            _ => Removed::Perhaps,
        }
    }

    fn living_children(&self, number: u32) -> impl Iterator<Item = &Group> {
        let children = self.children.get(number as usize).map(Vec::as_slice).unwrap_or_default();
        children.iter().filter_map(|&child| self.get(child))
    }

    fn beyond_children(&self, number: u32, group: &Group) -> Charged {
        let of_children =
            self.living_children(number).fold(Charged::NOTHING, |sum, child| sum.and(known(child.charged)));
        group.charged.less(of_children)
    }
}

/// A child without a counter (it was removed meanwhile) takes nothing away.
fn known(charged: Charged) -> Charged {
    Charged {
        anon: charged.anon.or(Some(0)),
        file: charged.file.or(Some(0)),
        shmem: charged.shmem.or(Some(0)),
        kernel: charged.kernel.or(Some(0)),
        swap: charged.swap.or(Some(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn charged(file: u64) -> Charged {
        Charged { file: Some(file), ..Charged::NOTHING }
    }

    fn group(id: u64, parent: Option<u32>, file: u64) -> Group {
        Group { id, parent, charged: charged(file), ..Group::default() }
    }

    #[test]
    fn what_no_living_child_has_is_the_dying_s() {
        let mut inner = group(2, Some(0), 100 * MIB);
        (inner.is_inner, inner.dying_below) = (true, Some(3));
        let mut child = group(3, Some(1), 30 * MIB);
        child.dying_below = Some(1);
        let tree = Tree::new(vec![group(1, None, 500 * MIB), inner, child]);
        assert_eq!(tree.dying(1), Some(2));
        assert_eq!(tree.held_by_dying(1), Some(charged(70 * MIB)));
        assert_eq!(tree.removed(1, 50 * MIB), Removed::Surely);
        assert_eq!(tree.removed(2, 50 * MIB), Removed::Perhaps);
        assert_eq!((tree.dying(0), tree.removed(0, MIB)), (None, Removed::No));
        assert!(tree.is_within(2, 0) && tree.is_within(1, 1) && !tree.is_within(0, 1));
    }

    #[test]
    fn the_first_version_tells_its_own_from_the_dying_s() {
        let mut parent = group(2, Some(0), 100 * MIB);
        parent.local = Some(charged(2 * MIB));
        let tree = Tree::new(vec![group(1, None, 0), parent, group(3, Some(1), 30 * MIB)]);
        assert_eq!(tree.own(1).file, Some(2 * MIB));
        assert_eq!(tree.held_by_dying(1).and_then(|held| held.file), Some(68 * MIB));
        assert_eq!(tree.removed(1, 60 * MIB), Removed::Surely);
        assert_eq!(tree.held_by_dying(2), None);
    }
}
