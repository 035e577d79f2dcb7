//! The process trees that scopes name, marked in the kernel: a fork hands the marks down, so a descendant is known by them
//! whatever became of the processes in between.

use std::sync::{Arc, Mutex, PoisonError};

use memwatch_ebpf::abi::knobs::{MARK_INHERITED, MARK_TREE, TREES_MAX};

use crate::act::Lineage;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Reach, Settings};
use crate::enrich::ledger::Ledger;
use crate::probe::attach::{Probe, ProbeError};
use crate::probe::marks::Marks;
use crate::runtime::mark_tree;

/// The trees, and the reader of their marks.
#[derive(Debug)]
pub(super) struct Trees {
    marks: Marks,
    /// Each tree's root, in the order of the marks; they stay as long as the daemon runs.
    roots: Mutex<Vec<ProcessKey>>,
}

impl Trees {
    /// `None` where the kernel side does not see forks and ends: trees are then told by living ancestors.
    pub(super) fn new(probe: &mut Probe) -> Result<Option<Arc<Self>>, ProbeError> {
        let marks = probe.marks()?;
        Ok(marks.map(|marks| Arc::new(Self { marks, roots: Mutex::default() })))
    }

    /// Marks the trees that the settings name and that are not marked yet.
    pub(super) fn name(&self, settings: &Settings, probe: &mut Probe, ledger: &mut Ledger) {
        for scope in &settings.scopes {
            let Reach::Tree(root) = scope.reach else { continue };
            if self.root(root).is_none()
                && let Err(error) = self.add(root, probe, ledger)
            {
                tracing::warn!(
                    "scope {}: who has no living ancestor below process {root} is not in it: {error:#}",
                    scope.name
                );
            }
        }
    }

    fn add(&self, root: u32, probe: &mut Probe, ledger: &mut Ledger) -> anyhow::Result<()> {
        let place = self.roots().len();
        anyhow::ensure!(place < TREES_MAX, "{TREES_MAX} trees are told apart; restart the daemon");
        let marked = mark_tree(probe, ledger, root, mark(place) | MARK_INHERITED)?;
        let key = ledger.living().find(|identity| identity.key.tgid == root).map(|identity| identity.key);
        self.roots().push(key.ok_or_else(|| anyhow::anyhow!("it has ended"))?);
        tracing::info!("the tree of process {root} is marked, {} processes", marked.len());
        Ok(())
    }

    /// Roots of the trees that a process is of.
    pub(super) fn of(&self, tgid: u32) -> Vec<u32> {
        let marks = self.marks.of(tgid);
        let roots = self.roots();
        let marked = roots.iter().enumerate().filter(|(place, _)| marks & mark(*place) != 0);
        marked.map(|(_, root)| root.tgid).collect()
    }

    fn roots(&self) -> std::sync::MutexGuard<'_, Vec<ProcessKey>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lineage for Trees {
    fn root(&self, tgid: u32) -> Option<ProcessKey> {
        self.roots().iter().find(|root| root.tgid == tgid).copied()
    }

    fn descends(&self, tgid: u32, root: ProcessKey) -> bool {
        let place = self.roots().iter().position(|known| *known == root);
        place.is_some_and(|place| self.marks.of(tgid) & mark(place) != 0)
    }
}

const fn mark(place: usize) -> u32 {
    MARK_TREE << place
}
