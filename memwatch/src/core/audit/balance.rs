//! What each cgroup's processes hold, beside what it is charged for, and where the difference is charged.

use std::collections::HashMap;

use super::UNTOLD;
use super::charge::Charged;
use super::estimate::{Estimate, Weights};
use super::item::{Class, Items};
use super::tally::{Count, Tally};
use super::tree::{Group, Removed, Tree};

/// Where pages are charged, as seen from a cgroup whose processes map them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// To a cgroup below it, and so to it as well.
    Below(u32),
    /// To a cgroup above it.
    Above(u32),
    /// To another living cgroup.
    Other(u32),
    /// To removed cgroups below this one.
    Dying(u32),
    /// To this cgroup or removed ones below it: the counters do not tell.
    PerhapsDying(u32),
    /// To none.
    Nobody,
    /// To a cgroup with this inode number that is not in the tree: it was removed meanwhile, or lies outside of what is seen.
    Unseen(u64),
    /// The kernel does not tell.
    Untold,
}

/// Pages that a cgroup's processes hold and another is charged for.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Where they are charged.
    pub owner: Owner,
    /// How much, apportioned.
    pub bytes: Estimate,
    /// What of, the largest first.
    pub of: Vec<Part>,
}

/// Pages of one file, or without one.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Their class.
    pub class: Class,
    /// Number of the file.
    pub item: Option<u32>,
    /// How much, apportioned.
    pub bytes: Estimate,
}

/// What the processes of a cgroup hold resident, each page once though several of them map it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Memory without a file, and private copies of files' pages.
    pub anon: Estimate,
    /// Mapped page cache.
    pub file: Estimate,
    /// Mapped files in memory.
    pub shmem: Estimate,
    /// Huge pages of the pool.
    pub hugetlb: Estimate,
    /// All but the last: what the memory controller can charge.
    pub total: Estimate,
    /// What of the total is locked in memory.
    pub locked: Estimate,
    /// What of the total processes of other cgroups map as well.
    pub shared: Estimate,
    /// The total, with pages that several cgroups map divided equally among them.
    pub apportioned: Estimate,
}

/// One cgroup that has processes.
#[derive(Clone, Debug)]
pub struct Balance {
    /// Number of the cgroup.
    pub group: u32,
    /// Processes read.
    pub processes: u64,
    /// Charged to it and to none of its living children.
    pub charged: Charged,
    /// What its processes hold.
    pub held: Held,
    /// What it costs the host: held, apportioned; memory of the kernel; files in memory that it is charged for and does
    /// not map. Page cache that it does not map is not in it, as the kernel can drop it.
    pub true_use: Estimate,
    /// What of this is charged to cgroups that are neither it nor below it.
    pub missing: Estimate,
    /// Where that is charged, the largest first. What is charged below it is listed as well.
    pub elsewhere: Vec<Elsewhere>,
    /// Its processes' memory in swap.
    pub swapped: u64,
    /// Whether so much is missing that its limit does not bound it.
    pub is_under_charged: bool,
}

impl Balance {
    /// The missing part in percent of the true use.
    #[must_use]
    pub fn missing_percent(&self) -> u64 {
        self.missing.bytes.saturating_mul(100).checked_div(self.true_use.bytes).unwrap_or(0)
    }
}

/// Removed cgroups below a living one.
#[derive(Clone, Copy, Debug)]
pub struct Dying {
    /// Number of the living one.
    pub below: u32,
    /// How many; `None` when they are not counted.
    pub count: Option<u64>,
    /// What they hold.
    pub held: Charged,
    /// Whether what they hold may in part be the living one's own.
    pub is_bound: bool,
}

/// From where on a cgroup is called under-charged.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// So many bytes are missing.
    pub bytes: u64,
    /// And so many percent of its true use.
    pub percent: u64,
}

/// What was read, for [`balance`].
#[derive(Debug)]
pub struct Survey {
    /// The cgroups.
    pub tree: Tree,
    /// The pages.
    pub tally: Tally,
    /// The files.
    pub items: Items,
    /// Per cgroup that has processes: how many, and their bytes in swap.
    pub members: HashMap<u32, (u64, u64)>,
    /// Pages for each that was drawn.
    pub rate: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
}

/// The figures of a host.
#[derive(Debug, Default)]
pub struct Audit {
    /// Every cgroup that has processes, that with the most missing first.
    pub balances: Vec<Balance>,
    /// Where removed cgroups hold memory, the most first.
    pub dying: Vec<Dying>,
}

#[derive(Debug, Default)]
struct Sums {
    anon: Weights,
    file: Weights,
    shmem: Weights,
    hugetlb: Weights,
    total: Weights,
    locked: Weights,
    shared: Weights,
    apportioned: Weights,
    own_shmem: Weights,
    elsewhere: HashMap<u64, HashMap<(Class, Option<u32>), Weights>>,
}

impl Sums {
    fn add(&mut self, count: &Count, is_own: bool) {
        let class = match count.class {
            Class::Anon => &mut self.anon,
            Class::File => &mut self.file,
            Class::Shmem => &mut self.shmem,
            Class::Hugetlb => return count.add_to(&mut self.hugetlb, false),
        };
        count.add_to(class, false);
        count.add_to(&mut self.total, false);
        count.add_to(&mut self.apportioned, true);
        if count.locked {
            count.add_to(&mut self.locked, false);
        }
        if count.groups.len() > 1 {
            count.add_to(&mut self.shared, false);
        }
        if !is_own {
            let owner = self.elsewhere.entry(count.owner).or_default();
            count.add_to(owner.entry((count.class, count.item)).or_default(), true);
        } else if count.class == Class::Shmem {
            count.add_to(&mut self.own_shmem, false);
        }
    }
}

/// Sets what is held against what is charged.
#[must_use]
pub fn balance(survey: &Survey, thresholds: Thresholds) -> Audit {
    let mut sums: HashMap<u32, Sums> = survey.members.keys().map(|&group| (group, Sums::default())).collect();
    for count in survey.tally.counts() {
        for group in count.groups.iter() {
            let is_own = survey.tree.get(*group).is_some_and(|it| it.id == count.owner);
            sums.entry(*group).or_default().add(&count, is_own);
        }
    }
    let mut balances: Vec<_> =
        sums.into_iter().map(|(group, sums)| of_group(survey, group, &sums, thresholds)).collect();
    balances.sort_by_key(|it| (std::cmp::Reverse((it.missing.bytes, it.true_use.bytes)), it.group));
    Audit { balances, dying: dying(&survey.tree) }
}

fn of_group(survey: &Survey, group: u32, sums: &Sums, thresholds: Thresholds) -> Balance {
    let estimate = |weights: &Weights| weights.estimate(survey.rate, survey.page_bytes);
    let held = Held {
        anon: estimate(&sums.anon),
        file: estimate(&sums.file),
        shmem: estimate(&sums.shmem),
        hugetlb: estimate(&sums.hugetlb),
        total: estimate(&sums.total),
        locked: estimate(&sums.locked),
        shared: estimate(&sums.shared),
        apportioned: estimate(&sums.apportioned),
    };
    let charged = survey.tree.own(group);
    let is_untold = sums.elsewhere.contains_key(&UNTOLD);
    // Where owners are not told, files in memory that are mapped count as its own, up to what it is charged for.
    let own_shmem = if is_untold { held.shmem } else { estimate(&sums.own_shmem) };
    let unmapped = charged.shmem.map_or(Estimate::exact(0), |shmem| own_shmem.left_of(shmem));
    let true_use = held.apportioned.and(unmapped).plus(charged.kernel.unwrap_or(0));
    let mut elsewhere: Vec<_> =
        sums.elsewhere.iter().map(|(&owner, parts)| part(survey, group, owner, parts)).collect();
    elsewhere.sort_by_key(|it| std::cmp::Reverse(it.bytes.bytes));
    let missing = if is_untold {
        elsewhere.clear();
        held.apportioned.above(charged.anon.unwrap_or(0) + charged.file.unwrap_or(0))
    } else {
        let mut weights = Weights::default();
        for (&owner, parts) in &sums.elsewhere {
            if !matches!(owner_of(survey, group, owner, 0), Owner::Below(_)) {
                parts.values().for_each(|part| weights.join(*part));
            }
        }
        estimate(&weights)
    };
    let (processes, swapped) = survey.members.get(&group).copied().unwrap_or_default();
    let mut balance = Balance {
        group,
        processes,
        charged,
        held,
        true_use,
        missing,
        elsewhere,
        swapped,
        is_under_charged: false,
    };
    balance.is_under_charged =
        missing.bytes >= thresholds.bytes.max(1) && balance.missing_percent() >= thresholds.percent;
    balance
}

fn part(
    survey: &Survey,
    group: u32,
    owner: u64,
    parts: &HashMap<(Class, Option<u32>), Weights>,
) -> Elsewhere {
    let estimate = |weights: &Weights| weights.estimate(survey.rate, survey.page_bytes);
    let mut all = Weights::default();
    parts.values().for_each(|part| all.join(*part));
    let bytes = estimate(&all);
    let mut of: Vec<_> = parts
        .iter()
        .map(|(&(class, item), weights)| Part { class, item, bytes: estimate(weights) })
        .collect();
    of.sort_by_key(|it| (std::cmp::Reverse(it.bytes.bytes), it.item));
    Elsewhere { owner: owner_of(survey, group, owner, bytes.bytes), bytes, of }
}

fn owner_of(survey: &Survey, group: u32, owner: u64, bytes: u64) -> Owner {
    let tree = &survey.tree;
    let number = match (owner, tree.by_id(owner)) {
        (0, _) => return Owner::Nobody,
        (UNTOLD, _) => return Owner::Untold,
        (_, None) => return Owner::Unseen(owner),
        (_, Some(number)) => number,
    };
    if tree.is_within(number, group) {
        return Owner::Below(number);
    }
    match tree.removed(number, bytes) {
        Removed::Surely => Owner::Dying(number),
        Removed::Perhaps => Owner::PerhapsDying(number),
        Removed::No if tree.is_within(group, number) => Owner::Above(number),
        Removed::No => Owner::Other(number),
    }
}

fn dying(tree: &Tree) -> Vec<Dying> {
    let mut found: Vec<_> = (0..u32::try_from(tree.groups().len()).unwrap_or(u32::MAX))
        .filter_map(|below| {
            let held = tree.held_by_dying(below)?;
            let tells_apart =
                |group: &Group| group.local.is_some() || (group.is_inner && group.parent.is_some());
            let is_bound = !tree.get(below).is_some_and(tells_apart);
            Some(Dying { below, count: tree.dying(below), held, is_bound })
        })
        .collect();
    found.sort_by_key(|it| (std::cmp::Reverse(it.held.total()), it.below));
    found
}

#[cfg(test)]
mod tests;
