//! Trees of ordinary folders stand in for cgroups: both have inode numbers.

use super::*;

/// No cgroup's id.
const ABSENT: u64 = MEMORY_V1 - 1;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memwatch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        Self(path)
    }

    fn tree(&self) -> CgroupTree {
        let point = self.0.display();
        CgroupTree::new(
            format!("1 0 0:1 / {point} rw - cgroup2 c rw\n2 0 0:1 / /v1/cpu rw - cgroup c rw,cpu").as_bytes(),
        )
    }

    fn make(&self, below: &str) -> u64 {
        std::fs::create_dir_all(self.0.join(below)).unwrap();
        std::fs::metadata(self.0.join(below)).unwrap().ino()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn ids_are_found_and_the_removed_remembered() {
    let folder = Folder::new("ids");
    let mut tree = folder.tree();
    let id = folder.make("a/b");
    assert_eq!(tree.path(id, 0).as_deref(), Some("/a/b"));
    assert_eq!(tree.path(folder.make("."), 0).as_deref(), Some("/"));

    let late = folder.make("a/late");
    assert_eq!(tree.path(late, 1), None, "walked too soon");
    let later = u64::MAX / 2;
    assert_eq!(tree.path(late, later).as_deref(), Some("/a/late"));

    std::fs::remove_dir(folder.0.join("a/late")).unwrap();
    assert_eq!(tree.path(ABSENT, later * 2), None);
    assert_eq!(tree.path(late, later * 2).as_deref(), Some("/a/late"), "forgotten when it was removed");
    assert!(tree.unified.is_some_and(|branch| branch.index.is_absent(ABSENT)));
}

#[test]
fn a_path_is_learned_only_when_the_folder_agrees() {
    let folder = Folder::new("learn");
    let mut tree = folder.tree();
    let id = folder.make("a/b");
    assert!(!tree.learn(id, "/a"));
    assert!(!tree.learn(id, "/../a/b"));
    assert!(tree.learn(id, "/a/b"));
    assert_eq!(tree.path(id, 0).as_deref(), Some("/a/b"));
}

#[test]
fn a_path_of_either_form_is_resolved() {
    let folder = Folder::new("resolve");
    let tree = folder.tree();
    let cgroup = Cgroup { id: folder.make("a/b"), level: 2, path: "/a/b".into() };
    let root = Cgroup { id: folder.make("."), level: 0, path: "/".into() };
    for path in ["/a/b", "a/b", "a/b/", "/a//b/.", &format!("{}/a/b", folder.0.display())] {
        assert_eq!(tree.resolve(Path::new(path)), Ok(cgroup.clone()), "{path}");
    }
    assert_eq!(tree.resolve(Path::new("/")), Ok(root.clone()));
    assert_eq!(tree.resolve(&folder.0), Ok(root));
}

#[test]
fn a_path_that_names_nothing_is_told_apart() {
    let folder = Folder::new("refuse");
    let tree = folder.tree();
    std::fs::write(folder.0.join("cgroup.procs"), "").unwrap();
    for path in ["/x", "cgroup.procs", "/a/b/c", "\u{1b}[31m"] {
        let error = tree.resolve(Path::new(path)).unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }), "{path}: {error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    assert!(matches!(tree.resolve(Path::new("/v1/cpu/docker")), Err(ResolveError::V1 { .. })));
    assert!(matches!(tree.resolve(Path::new("a/../b")), Err(ResolveError::LeadsUp { .. })));
    assert_eq!(CgroupTree::new(b"").resolve(Path::new("/")), Err(ResolveError::NoHierarchy));
}

#[test]
fn the_memory_controller_s_own_hierarchy_is_known_too() {
    let (unified, memory) = (Folder::new("beside"), Folder::new("memory"));
    let mounts = format!(
        "1 0 0:1 / {} rw - cgroup2 c rw\n2 0 0:2 / {} rw - cgroup c rw,memory",
        unified.0.display(),
        memory.0.display()
    );
    let mut tree = CgroupTree::new(mounts.as_bytes());
    let only = memory.make("docker/ab") | MEMORY_V1;
    let cgroup = Cgroup { id: only, level: 2, path: "/docker/ab".into() };
    assert_eq!(tree.resolve(&memory.0.join("docker/ab")), Ok(cgroup.clone()));
    assert_eq!(
        tree.resolve(Path::new("/docker/ab")),
        Ok(cgroup),
        "not in the unified one: the memory controller's"
    );
    let both = tree.resolve(Path::new("/a/b")).map(|cgroup| cgroup.hierarchy());
    assert_eq!(both, Ok(Hierarchy::Unified));

    assert_eq!(tree.path(only, 0).as_deref(), Some("/docker/ab"));
    assert_eq!(tree.path(only & !MEMORY_V1, 0), None, "the same number in the other hierarchy");
    assert_eq!(tree.id(Hierarchy::Memory, "/docker/ab"), Some(only));
    assert!(tree.learn(only, "/docker/ab") && !tree.learn(only & !MEMORY_V1, "/docker/ab"));
}
