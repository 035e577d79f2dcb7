//! What is known of the cgroups that are audited: those that processes are in, and those that scopes name.

use std::collections::BTreeMap;

use super::input::Holding;
use super::settings::{Reach, Settings};
use super::who::Who;

/// Cgroups kept; of more the longest known are forgotten.
const MOST: usize = 4_096;
/// Age from which on a figure of a scope stands for nothing: its processes' shares are taken instead. In nanoseconds.
const STALE_NS: u64 = 60_000_000_000;
/// Time that a reading is waited for, in nanoseconds.
const ANSWER_NS: u64 = 60_000_000_000;

/// A cgroup. One that was removed and made anew is another one.
#[derive(Clone, Debug)]
pub(super) struct Audited {
    pub(super) path: String,
    /// `None`: no process in it has told yet.
    id: Option<u64>,
    /// When it was first heard of.
    pub(super) met_ns: u64,
    /// Whether a scope names it.
    is_scope: bool,
    asked_ns: Option<u64>,
    /// When it was last read, and what was found; nothing where it could not be read.
    pub(super) read: Option<(u64, Option<Holding>)>,
    /// Shares of its processes at that time.
    shares: u64,
    /// When the last one ended who had to go.
    left_ns: Option<u64>,
}

/// All of them, by a number that is never given twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Cgroups {
    by_number: BTreeMap<u64, Audited>,
    by_path: BTreeMap<String, u64>,
    next: u64,
    /// Read since the rules last looked.
    fresh: Vec<u64>,
}

impl Cgroups {
    /// A process runs. The root is not a cgroup that could be charged for less than it holds.
    pub(super) fn met(&mut self, now_ns: u64, who: &Who) {
        let Some(path) = who.cgroup.as_deref().filter(|path| *path != "/" && !who.is_kernel) else { return };
        if let Some(known) = self.by_path.get(path).and_then(|number| self.by_number.get_mut(number)) {
            if who.cgroup_id.is_none() || known.id == who.cgroup_id {
                return;
            }
            if known.id.is_none() {
                known.id = who.cgroup_id;
                return;
            }
        }
        self.add(now_ns, path, who.cgroup_id);
    }

    /// Takes in the cgroups that scopes name.
    pub(super) fn name(&mut self, now_ns: u64, settings: &Settings) {
        for scope in settings.scopes.iter().filter(|scope| scope.true_use) {
            let Reach::Cgroup(path) = &scope.reach else { continue };
            if self.number(path).is_none() {
                self.add(now_ns, path, None);
            }
            let number = self.number(path);
            if let Some(audited) = number.and_then(|number| self.by_number.get_mut(&number)) {
                audited.is_scope = true;
            }
        }
    }

    fn add(&mut self, now_ns: u64, path: &str, id: Option<u64>) {
        let number = self.next;
        self.next += 1;
        if let Some(before) = self.by_path.insert(path.to_owned(), number) {
            self.by_number.remove(&before);
        }
        let audited = Audited {
            path: path.to_owned(),
            id,
            met_ns: now_ns,
            is_scope: false,
            asked_ns: None,
            read: None,
            shares: 0,
            left_ns: None,
        };
        self.by_number.insert(number, audited);
        if self.by_number.len() > MOST
            && let Some((_, longest)) = self.by_number.pop_first()
        {
            self.by_path.remove(&longest.path);
        }
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.by_path.get(path).copied()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Audited> {
        self.by_number.get(&number)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (u64, &Audited)> {
        self.by_number.iter().map(|(number, audited)| (*number, audited))
    }

    /// Whether any is being read.
    pub(super) fn are_read(&self, now_ns: u64) -> bool {
        self.by_number.values().any(|audited| audited.is_asked(now_ns))
    }

    pub(super) fn asked(&mut self, now_ns: u64, number: u64) {
        if let Some(audited) = self.by_number.get_mut(&number) {
            audited.asked_ns = Some(now_ns);
        }
    }

    /// A cgroup was read; nothing where it could not be, which only a scope is kept for.
    pub(super) fn read(&mut self, now_ns: u64, path: &str, holding: Option<Holding>, shares: u64) {
        let Some(number) = self.number(path) else { return };
        let Some(audited) = self.by_number.get_mut(&number) else { return };
        (audited.asked_ns, audited.read, audited.shares) = (None, Some((now_ns, holding)), shares);
        if holding.is_some() {
            self.fresh.push(number);
        } else if !audited.is_scope {
            self.by_number.remove(&number);
            self.by_path.remove(path);
        }
    }

    /// Who had to go has gone.
    pub(super) fn left(&mut self, now_ns: u64, path: &str) {
        let number = self.number(path);
        if let Some(audited) = number.and_then(|number| self.by_number.get_mut(&number)) {
            audited.left_ns = Some(now_ns);
        }
    }

    /// Whether it was read since, or cannot be read.
    pub(super) fn is_current(&self, path: &str) -> bool {
        let Some(audited) = self.number(path).and_then(|number| self.get(number)) else { return true };
        audited.left_ns.zip(audited.read).is_none_or(|(left_ns, (read_ns, holding))| {
            holding.is_none_or(|holding| read_ns.saturating_sub(holding.took_ns) >= left_ns)
        })
    }

    /// Those read since it was last said that they were seen, with what was found.
    pub(super) fn fresh(&self) -> impl Iterator<Item = (u64, Holding)> {
        self.fresh.iter().filter_map(|number| Some((*number, self.get(*number)?.read?.1?)))
    }

    /// Nothing is audited any more but what scopes name, which is named again.
    pub(super) fn forget(&mut self) {
        self.by_number.clear();
        self.by_path.clear();
        self.fresh.clear();
    }

    pub(super) fn seen(&mut self) {
        self.fresh.clear();
    }

    /// What a cgroup truly holds now, in doubt less: the lower end of what was read, less what its processes have given up
    /// since. `None`: not known, or no longer.
    pub(super) fn used(&self, now_ns: u64, path: &str, shares: u64) -> Option<(u64, Option<u64>)> {
        let audited = self.get(self.number(path)?)?;
        let (read_ns, holding) = audited.read?;
        let holding = holding.filter(|_| now_ns.saturating_sub(read_ns) <= STALE_NS)?;
        Some((holding.used_low.saturating_sub(audited.shares.saturating_sub(shares)), holding.limit))
    }
}

impl Audited {
    /// Whether it is being read.
    pub(super) fn is_asked(&self, now_ns: u64) -> bool {
        self.asked_ns.is_some_and(|asked_ns| now_ns.saturating_sub(asked_ns) < ANSWER_NS)
    }
}
