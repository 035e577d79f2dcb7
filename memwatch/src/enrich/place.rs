//! Where a process stands: its cgroup and what the cgroup's path names. Paths are taken apart once, not per process.

use std::collections::HashMap;
use std::sync::Arc;

use super::cgroup::{CgroupTree, hierarchy_of};
use super::container::{Names, names_of};
use super::proc::{Memberships, REMOVED};
use crate::core::fact::{Hierarchy, Identity};
use crate::sys::boot_ns;

/// Paths whose names are kept; beyond it they are read out anew.
const NAMED_MAX: usize = 4_096;

/// A cgroup and what its path names. Unknown is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    cgroup_id: Option<u64>,
    named: Option<Arc<Named>>,
}

#[derive(Debug)]
struct Named {
    path: Arc<str>,
    hierarchy: Hierarchy,
    names: Names,
}

impl Place {
    /// Puts a process here.
    pub(super) fn put(self, identity: &mut Identity) {
        identity.cgroup_id = self.cgroup_id;
        identity.cgroup_path = self.named.as_ref().map(|named| Arc::clone(&named.path));
        identity.cgroup_hierarchy = self.named.as_ref().map(|named| named.hierarchy);
        let names = self.named.as_ref().map(|named| named.names.clone()).unwrap_or_default();
        Names {
            container: identity.container,
            pod: identity.pod,
            unit: identity.unit,
            slice: identity.slice,
        } = names;
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }
}

/// Finds places.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) tree: CgroupTree,
    named: HashMap<(Hierarchy, Arc<str>), Arc<Named>>,
}

impl Places {
    pub(super) fn new(tree: CgroupTree) -> Self {
        Self { tree, named: HashMap::new() }
    }

    /// The place of a cgroup that was removed long ago, or that cannot be seen, has the id alone.
    pub(super) fn by_id(&mut self, id: Option<u64>, now_ns: u64) -> Place {
        let path = id.and_then(|id| self.tree.path(id, now_ns));
        let named = id.zip(path).map(|(id, path)| self.named(hierarchy_of(id), path));
        Place { cgroup_id: id, named }
    }

    /// The place that `/proc/PID/cgroup` tells, of a process whose cgroup id may be known from elsewhere.
    pub(super) fn by_memberships(&mut self, memberships: &Memberships, id: Option<u64>) -> Place {
        let alive = self.named_like_a_removed_one(memberships, id);
        let memberships = alive.as_ref().unwrap_or(memberships);
        let charged = memberships.charged_path();
        // Of a process on its way out the kernel shows the root in v1 hierarchies (`proc_cgroup_show` of kernel/cgroup/cgroup.c).
        if let (Some(known), Some((Hierarchy::Memory, b"/"))) = (id, charged)
            && hierarchy_of(known) == Hierarchy::Memory
            && self.tree.id(Hierarchy::Memory, "/") != id
        {
            return self.by_id(id, boot_ns());
        }
        let charged = charged.map(|(hierarchy, path)| (hierarchy, String::from_utf8_lossy(path)));
        let id = id.or_else(|| charged.as_ref().and_then(|(hierarchy, path)| self.tree.id(*hierarchy, path)));
        if let (Some(id), Some((hierarchy, path))) = (id, charged)
            && hierarchy_of(id) == hierarchy
        {
            self.tree.learn(id, &path);
        }
        let telling = memberships
            .telling_path()
            .map(|(hierarchy, path)| (hierarchy, Arc::from(String::from_utf8_lossy(path))));
        Place { cgroup_id: id, named: telling.map(|(hierarchy, path)| self.named(hierarchy, path)) }
    }

    /// What the memberships are if the unified cgroup lives and its name ends as those of removed ones do: whoever may name
    /// a cgroup so must not pass for another that is named without it.
    fn named_like_a_removed_one(&self, memberships: &Memberships, id: Option<u64>) -> Option<Memberships> {
        let path = memberships.unified.as_ref().filter(|_| memberships.unified_removed)?;
        let path = [path, REMOVED].concat();
        let found = self.tree.id(Hierarchy::Unified, &String::from_utf8_lossy(&path))?;
        let is_it = id.is_none_or(|id| id == found || hierarchy_of(id) != Hierarchy::Unified);
        let alive = || Memberships { unified: Some(path), unified_removed: false, ..memberships.clone() };
        is_it.then(alive)
    }

    fn named(&mut self, hierarchy: Hierarchy, path: Arc<str>) -> Arc<Named> {
        let key = (hierarchy, path);
        if let Some(known) = self.named.get(&key) {
            return Arc::clone(known);
        }
        if self.named.len() >= NAMED_MAX {
            self.named.clear();
        }
        let path = Arc::clone(&key.1);
        let names = names_of(&path);
        let named = Arc::new(Named { path, hierarchy, names });
        self.named.insert(key, Arc::clone(&named));
        named
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use memwatch_ebpf::abi::header::MEMORY_V1;

    use super::*;

    #[test]
    fn a_name_like_that_of_a_removed_cgroup_is_its_own() {
        let root = std::env::temp_dir().join(format!("memwatch-place-{}", std::process::id()));
        let (service, like) = (root.join("ssh.service"), root.join("ssh.service (deleted)"));
        std::fs::create_dir_all(&service).unwrap();
        std::fs::create_dir_all(&like).unwrap();
        let mounts = format!("30 1 0:26 / {} rw - cgroup2 cgroup2 rw\n", root.display());
        let mut places = Places::new(CgroupTree::new(mounts.as_bytes()));
        let told = crate::enrich::proc::parse_cgroups(b"0::/ssh.service (deleted)\n").unwrap();
        let id = |folder| std::fs::metadata(folder).unwrap().ino();
        let mut path = |id| places.by_memberships(&told, id).named.unwrap().path.to_string();
        assert_eq!(path(Some(id(&like))), "/ssh.service (deleted)");
        assert_eq!(path(None), "/ssh.service (deleted)");
        assert_eq!(path(Some(1)), "/ssh.service", "the removed one, of which the id is all that is left");
        std::fs::remove_dir_all(&like).unwrap();
        assert_eq!(path(None), "/ssh.service");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn who_is_on_its_way_out_of_a_v1_cgroup_is_still_of_it() {
        let root = std::env::temp_dir().join(format!("memwatch-leaving-{}", std::process::id()));
        let pod = root.join("kubepods/pod1");
        std::fs::create_dir_all(&pod).unwrap();
        let mounts = format!("31 1 0:27 / {} rw - cgroup cgroup rw,memory\n", root.display());
        let mut places = Places::new(CgroupTree::new(mounts.as_bytes()));
        let told = crate::enrich::proc::parse_cgroups(b"4:memory:/\n0::/\n").unwrap();
        let id = |folder| Some(std::fs::metadata(folder).unwrap().ino() | MEMORY_V1);
        let mut path = |id| places.by_memberships(&told, id).named.map(|named| named.path.to_string());
        assert_eq!(path(id(&pod)).as_deref(), Some("/kubepods/pod1"));
        assert_eq!(path(id(&root)).as_deref(), Some("/"), "it is there");
        std::fs::remove_dir_all(root).unwrap();
    }
}
