//! Where limits come from: reads the ancestors of a process and the files of its unit.
//!
//! Of an ancestor `stat`, `limits` and `cgroup` are read, none of which waits for a lock of its memory, and no ancestor
//! beyond the first that has other limits. Cost of a debug build on two busy cores with kernel 6.18: 80 us for each
//! ancestor, and 0.15 ms for a unit's files.

use std::collections::HashMap;
use std::path::Path;

use memwatch_ebpf::abi::state::{LEARNED_READ_HARD, Learned};

use super::container::container_of;
use super::proc::{ProcFs, ProcessDir, ReadError};
use super::unit_limit::{UnitLimits, Whose};
use crate::core::fact::{Identity, ProcessKey};
use crate::core::origin::{Holder, Limits, Origin, origin};

/// Ancestors that are followed: a chain is short, and a circle that forms while it is read has to end.
const DEPTH_MAX: usize = 64;
/// Ancestors that are remembered: children of one parent come in thousands, parents do not.
const KNOWN_MAX: usize = 4096;
/// How long an ancestor's limits are taken for what they were: the children of a burst share one look, and a shell that
/// changes its limit is looked at again.
const ANCESTOR_NS: u64 = 100_000_000;
/// How long the files of units are taken for what they were.
const UNITS_NS: u64 = 60_000_000_000;

/// A process that others descend from.
#[derive(Clone, Debug)]
struct Ancestor {
    holder: Holder,
    start_ns: u64,
    parent: u32,
}

/// Finds origins.
#[derive(Debug)]
pub struct Origins {
    units: UnitLimits,
    nr_open: u64,
    known: HashMap<u32, Option<Ancestor>>,
    known_until_ns: u64,
    units_until_ns: u64,
}

impl Origins {
    /// One that reads unit files where the system's manager does.
    #[must_use]
    pub fn new(proc: &ProcFs) -> Self {
        Self::at(proc, Path::new("/"))
    }

    /// The same with the unit files of the file system at `root`.
    #[must_use]
    pub fn at(proc: &ProcFs, root: &Path) -> Self {
        Self {
            units: UnitLimits::new(root),
            nr_open: proc.nr_open().unwrap_or(u64::MAX),
            known: HashMap::new(),
            known_until_ns: 0,
            units_until_ns: 0,
        }
    }

    /// The origin of the limits of a process; `None` where it cannot be told.
    pub fn of(&mut self, proc: &ProcFs, process: &Identity, limits: Limits) -> Option<Origin> {
        let setting = self.setting(process, limits);
        let mut ancestors: Vec<Holder> = Vec::new();
        let mut next = process.parent_tgid.unwrap_or(0);
        let mut before_ns = process.key.start_ns;
        let needs_more = |ancestors: &[Holder]| {
            ancestors.len() < DEPTH_MAX && ancestors.last().is_none_or(|eldest| eldest.limits == limits)
        };
        let is_said = setting.is_some() && process.container.is_none();
        while !is_said
            && next != 0
            && needs_more(&ancestors)
            && let Some(ancestor) = self.ancestor(proc, next, before_ns)
        {
            ancestors.push(ancestor.holder);
            (next, before_ns) = (ancestor.parent, ancestor.start_ns);
        }
        origin(process, limits, &ancestors, setting)
    }

    /// The origin of a limit that a process came to know, asked for now; `None` where it cannot be told. What was read of
    /// others a moment ago is not read again.
    pub fn of_learned(
        &mut self,
        proc: &ProcFs,
        process: &Identity,
        learned: &Learned,
        now_ns: u64,
    ) -> Option<Origin> {
        if now_ns >= self.known_until_ns {
            self.known.clear();
            self.known_until_ns = now_ns.saturating_add(ANCESTOR_NS);
        }
        if now_ns >= self.units_until_ns {
            self.units.forget();
            self.units_until_ns = now_ns.saturating_add(UNITS_NS);
        }
        let is_it = |limits: &Limits| {
            learned.limit == if learned.how == LEARNED_READ_HARD { limits.hard } else { limits.soft }
        };
        let limits = match own_limits(proc, process.key) {
            Ok(limits) => Some(limits),
            // One that was refused its memory may have ended already: what it was told is what its parent has, or it is
            // not known.
            Err(_) => {
                let parent = self.ancestor(proc, process.parent_tgid?, process.key.start_ns);
                parent.map(|parent| parent.holder.limits)
            }
        };
        // Changed since: where these come from says nothing about the one that the table is for.
        self.of(proc, process, limits.filter(is_it)?)
    }

    /// The setting that gives a service these limits.
    fn setting(&mut self, process: &Identity, limits: Limits) -> Option<Origin> {
        let (limit, whose) = self.units.of_service(process)?;
        limit.setting.gives(limits.soft, limits.hard, self.nr_open).then(|| Origin::Setting {
            unit: process.unit.clone().filter(|_| whose == Whose::Unit),
            file: limit.file.to_string_lossy().into_owned(),
        })
    }

    /// The holder of a pid, if it can be an ancestor of a process that started then.
    fn ancestor(&mut self, proc: &ProcFs, tgid: u32, before_ns: u64) -> Option<Ancestor> {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let read = || proc.process(tgid).and_then(|dir| read(&dir)).ok();
        let found = self.known.entry(tgid).or_insert_with(read);
        // A younger one has the pid of an ancestor that ended.
        found
            .clone()
            .filter(|ancestor| ancestor.start_ns / ProcessKey::TICK_NS <= before_ns / ProcessKey::TICK_NS)
    }
}

fn read(dir: &ProcessDir) -> Result<Ancestor, ReadError> {
    let stat = dir.stat()?;
    let memberships = dir.cgroups()?;
    let path = memberships.telling_path().map(|(_, path)| String::from_utf8_lossy(path).into_owned());
    let holder = Holder {
        tgid: dir.tgid(),
        comm: stat.comm,
        limits: nofile(dir)?,
        container: path.and_then(|path| container_of(&path)).map(|container| container.id),
    };
    Ok(Ancestor { holder, start_ns: stat.start_ns, parent: stat.parent_pid })
}

fn own_limits(proc: &ProcFs, key: ProcessKey) -> Result<Limits, ReadError> {
    let tgid = key.tgid;
    let dir = proc.process(tgid)?;
    let limits = nofile(&dir)?;
    let is_it = ProcessKey { tgid, start_ns: dir.stat()?.start_ns }.is_same(key);
    if is_it { Ok(limits) } else { Err(ReadError::Recycled { tgid }) }
}

fn nofile(dir: &ProcessDir) -> Result<Limits, ReadError> {
    let found = dir.limits()?.get(libc::RLIMIT_NOFILE).ok_or(ReadError::Gone { tgid: dir.tgid() })?;
    Ok(Limits { soft: found.soft, hard: found.hard })
}

#[cfg(test)]
mod tests;
