//! Paths by cgroup id, of the living and of those recently removed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::sync::Arc;

/// Folders visited in one walk at most; a host has hundreds to a few thousand.
const FOLDERS_MAX: usize = 100_000;
/// Removed cgroups whose path is kept.
const REMOVED_MAX: usize = 4_096;
/// Ids remembered as being nowhere in the tree.
const ABSENT_MAX: usize = 4_096;

/// What is known of the tree.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_id: HashMap<u64, Entry>,
    removed: VecDeque<u64>,
    absent: HashSet<u64>,
    walks: u64,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    seen_in: u64,
    removed: bool,
}

impl Index {
    pub(super) fn path(&self, id: u64) -> Option<&Arc<str>> {
        self.by_id.get(&id).map(|entry| &entry.path)
    }

    /// Whether a whole walk did not find the id. Ids are not given twice (kernfs counts generations in the upper half
    /// of them), and a cgroup exists before a process of its can be seen: what was absent once stays absent.
    pub(super) fn is_absent(&self, id: u64) -> bool {
        self.absent.contains(&id)
    }

    pub(super) fn set_absent(&mut self, id: u64) {
        if self.absent.len() >= ABSENT_MAX {
            self.absent.clear();
        }
        self.absent.insert(id);
    }

    pub(super) fn insert(&mut self, id: u64, path: &str) {
        let seen_in = self.walks;
        let fresh = || Entry { path: Arc::from(path), seen_in, removed: false };
        let entry = self.by_id.entry(id).or_insert_with(fresh);
        entry.seen_in = seen_in;
        entry.removed = false;
        // A cgroup can be renamed on v1 only, but a path learned from another view of the tree gives way to the walk.
        if *entry.path != *path {
            entry.path = Arc::from(path);
        }
        self.absent.remove(&id);
    }

    /// Walks the tree below `point`. Returns whether all of it was visited.
    pub(super) fn walk(&mut self, point: &Path) -> bool {
        self.walks += 1;
        let mut waiting = vec![String::new()];
        let mut visited = 0;
        let mut whole = true;
        if let Ok(root) = std::fs::metadata(point) {
            self.insert(std::os::unix::fs::MetadataExt::ino(&root), "/");
        }
        while let Some(folder) = waiting.pop() {
            visited += 1;
            if visited > FOLDERS_MAX {
                whole = false;
                break;
            }
            // A cgroup may be removed during the walk; what was below it is gone as well.
            let Ok(entries) = std::fs::read_dir(point.join(folder.trim_start_matches('/'))) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                self.insert(entry.ino(), &path);
                waiting.push(path);
            }
        }
        if whole {
            self.note_removed();
        }
        whole
    }

    fn note_removed(&mut self) {
        for (id, entry) in &mut self.by_id {
            if entry.seen_in != self.walks && !entry.removed {
                entry.removed = true;
                self.removed.push_back(*id);
            }
        }
        while self.removed.len() > REMOVED_MAX {
            if let Some(oldest) = self.removed.pop_front()
                && self.by_id.get(&oldest).is_some_and(|entry| entry.removed)
            {
                self.by_id.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_removed_are_kept_up_to_a_bound() {
        let empty = std::env::temp_dir().join(format!("memwatch-index-{}", std::process::id()));
        std::fs::create_dir_all(&empty).unwrap();
        let mut index = Index::default();
        for id in 1..=REMOVED_MAX as u64 + 10 {
            index.insert(u64::MAX - id, &format!("/{id}"));
        }
        assert!(index.walk(&empty));
        // The root itself is known besides.
        assert_eq!(index.by_id.len(), REMOVED_MAX + 1);
        std::fs::remove_dir_all(&empty).unwrap();
    }
}
