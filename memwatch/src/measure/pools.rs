//! Looks at pools of workers from `/proc` alone: who runs, what masters and workers take, which limits they are under.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::process::ProcessMeter;
use super::requests;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Input, Who};
use crate::enrich::identify::Identifier;
use crate::enrich::memory_cgroups::{Limited, MemoryHierarchy};
use crate::enrich::proc::ProcFs;
use crate::sys;

/// The looks of one run.
#[derive(Debug)]
pub struct PoolMeter {
    proc: ProcFs,
    identifier: Identifier,
    meter: ProcessMeter,
    /// `None`: the host has no memory controller, so that nothing but it has a limit.
    hierarchy: Option<MemoryHierarchy>,
    known: HashSet<ProcessKey>,
}

impl PoolMeter {
    /// Of the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it cannot be opened, or the mounts cannot be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        let proc = ProcFs::open(root)?;
        Ok(Self {
            identifier: Identifier::new(&proc)?,
            meter: ProcessMeter::open(root)?,
            hierarchy: MemoryHierarchy::find(&proc.mountinfo()?).ok(),
            known: HashSet::new(),
            proc,
        })
    }

    /// Who ended and who began since the last look, parents before children. What vanishes meanwhile is passed over.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn look_around(&mut self, inputs: &mut Vec<Input>) -> io::Result<()> {
        let mut running = HashSet::new();
        let mut begun = Vec::new();
        for pid in self.proc.pids()? {
            let Ok(dir) = self.proc.process(pid) else { continue };
            let Ok(stat) = dir.stat() else { continue };
            let key = ProcessKey { tgid: pid, start_ns: stat.start_ns };
            running.insert(key);
            if !self.known.contains(&key)
                && let Ok(identity) = self.identifier.identify(&dir)
            {
                begun.push(Who::new(&identity, None, false));
            }
        }
        inputs.extend(self.known.difference(&running).map(|key| Input::Ended(*key)));
        begun.sort_by_key(|who| (who.key.start_ns, who.key.tgid));
        inputs.extend(begun.into_iter().map(|who| Input::Runs(Box::new(who))));
        self.known = running;
        Ok(())
    }

    /// What these take. They are identified again: what was forked as a worker may have run another program since.
    pub fn look_at(&mut self, members: impl Iterator<Item = ProcessKey>, inputs: &mut Vec<Input>) {
        for key in members {
            let identity = self.proc.process(key.tgid).and_then(|dir| self.identifier.identify(&dir));
            if let Ok(identity) = identity.as_ref().map_err(drop)
                && identity.key.is_same(key)
            {
                let mut who = Who::new(identity, None, false);
                who.key = key;
                inputs.push(Input::Runs(Box::new(who)));
            }
            inputs.push(match self.meter.figures(key) {
                Ok(figures) => Input::Figures { key, figures },
                Err(_) => Input::Unreadable(key),
            });
        }
    }

    /// Connections that the pool of a master took since its network name space was made; `None` where that cannot be told from
    /// those of others.
    #[must_use]
    pub fn connections_of(&self, master: u32, workers: &[u32]) -> Option<u64> {
        requests::connections(&self.proc, master, workers)
    }

    /// The cgroups with a limit that a process is in.
    #[must_use]
    pub fn limits_of(&self, pid: u32) -> Vec<Limited> {
        let Some(hierarchy) = &self.hierarchy else { return Vec::new() };
        let memberships = self.proc.process(pid).and_then(|dir| dir.cgroups());
        let Ok(memberships) = memberships else { return Vec::new() };
        hierarchy
            .path_of(&memberships)
            .map_or_else(Vec::new, |path| hierarchy.limits_above(path, sys::page_size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_told_once_and_its_end_too() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let mut meter = PoolMeter::open(Path::new("/proc")).expect("/proc");
        let mut inputs = Vec::new();
        meter.look_around(&mut inputs).expect("a look");
        let is_child = |input: &&Input| matches!(input, Input::Runs(who) if who.key.tgid == child.id());
        assert_eq!(inputs.iter().filter(is_child).count(), 1);
        let Some(Input::Runs(who)) = inputs.iter().find(is_child) else { panic!("no child") };
        let key = who.key;
        let mut seen = Vec::new();
        meter.look_at([key].into_iter(), &mut seen);
        assert!(
            seen.iter()
                .any(|input| matches!(input, Input::Figures { figures, .. } if figures.peak > Some(0)))
        );
        child.kill().expect("an end");
        child.wait().expect("an end");
        inputs.clear();
        meter.look_around(&mut inputs).expect("a look");
        assert!(inputs.contains(&Input::Ended(key)), "{inputs:?}");
    }
}
