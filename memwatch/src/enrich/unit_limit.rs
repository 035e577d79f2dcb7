//! LimitNOFILE of systemd units, read from their files: neither D-Bus nor systemd itself is asked.
//!
//! Files are looked for where systemd looks (systemd.unit(5)), first come first served; drop-ins are applied in order
//! of their names. Unit files of users and of containers are not read.

mod setting;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub use setting::{NofileSetting, parse_setting};

use crate::core::fact::Identity;

/// Where systemd looks for units of the system, in order of precedence.
const UNIT_FOLDERS: [&str; 10] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Where it looks for its own configuration, in order of precedence.
const MANAGER_FOLDERS: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];
/// Bytes read of a file at most: unit files are short, and this one may be anything.
const FILE_MAX: u64 = 256 * 1024;

/// A setting and the file that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitLimit {
    /// What it says.
    pub setting: NofileSetting,
    /// Where.
    pub file: PathBuf,
    /// When that file last changed, in nanoseconds of Unix time.
    pub changed_ns: Option<u64>,
}

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The unit's own.
    Unit,
    /// The manager's, for units without one.
    Manager,
}

/// Reads unit files, each unit's once.
#[derive(Debug)]
pub struct UnitLimits {
    root: PathBuf,
    units: HashMap<String, Option<UnitLimit>>,
    manager: Option<Option<UnitLimit>>,
}

impl UnitLimits {
    /// Those of the file system at `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), units: HashMap::new(), manager: None }
    }

    /// Forgets what was read: files change.
    pub fn forget(&mut self) {
        self.units.clear();
        self.manager = None;
    }

    /// What a start of a process's service gives it: its own setting, or the manager's for all; `None` for what is no
    /// service of the system, and where no file says.
    pub fn of_service(&mut self, process: &Identity) -> Option<(&UnitLimit, Whose)> {
        let unit = process.unit.as_deref().filter(|unit| unit.ends_with(".service"))?;
        let path = process.cgroup_path.as_deref().unwrap_or_default();
        // Services of a user and of a container have other files; the user's manager itself is the system's.
        if process.container.is_some() || (path.contains("/user@") && !unit.starts_with("user@")) {
            return None;
        }
        if self.of(unit).is_some() {
            return self.of(unit).map(|limit| (limit, Whose::Unit));
        }
        self.manager().map(|limit| (limit, Whose::Manager))
    }

    /// LimitNOFILE of a unit, if one of its files sets it.
    pub fn of(&mut self, unit: &str) -> Option<&UnitLimit> {
        if !self.units.contains_key(unit) {
            let read = self.read_unit(unit);
            self.units.insert(unit.to_owned(), read);
        }
        self.units.get(unit).and_then(Option::as_ref)
    }

    /// DefaultLimitNOFILE of the system's manager, if a file sets it.
    pub fn manager(&mut self) -> Option<&UnitLimit> {
        if self.manager.is_none() {
            let mut files = vec![self.first(&MANAGER_FOLDERS, "system.conf")];
            files
                .extend(self.drop_ins(&MANAGER_FOLDERS, &["system.conf.d".to_owned()]).into_iter().map(Some));
            self.manager = Some(last(files.into_iter().flatten(), "Manager", "DefaultLimitNOFILE"));
        }
        self.manager.as_ref().and_then(Option::as_ref)
    }

    fn read_unit(&self, unit: &str) -> Option<UnitLimit> {
        // A name comes from a cgroup path: nobody is to choose another folder by it.
        if unit.contains('/') || unit.starts_with('.') {
            return None;
        }
        let names = names(unit);
        let own = names.iter().find_map(|name| self.first(&UNIT_FOLDERS, name));
        let folders: Vec<String> = names.iter().map(|name| format!("{name}.d")).collect();
        let drop_ins = self.drop_ins(&UNIT_FOLDERS, &folders);
        last(own.into_iter().chain(drop_ins), "Service", "LimitNOFILE")
    }

    fn first(&self, folders: &[&str], name: &str) -> Option<PathBuf> {
        folders.iter().map(|folder| self.root.join(folder).join(name)).find(|path| path.is_file())
    }

    /// Drop-ins by name; of one name the folder of the highest precedence counts.
    fn drop_ins(&self, folders: &[&str], below: &[String]) -> Vec<PathBuf> {
        let mut found = BTreeMap::new();
        for name in below {
            for folder in folders {
                let Ok(entries) = std::fs::read_dir(self.root.join(folder).join(name)) else { continue };
                for path in entries.flatten().map(|entry| entry.path()) {
                    if path.extension().is_some_and(|ending| ending == "conf")
                        && let Some(file) = path.file_name()
                    {
                        found.entry(file.to_owned()).or_insert(path);
                    }
                }
            }
        }
        found.into_values().collect()
    }
}

/// The names under which files of a unit stand, the most specific first: its own, its template's, those that its dashes
/// make, and the one of all services.
fn names(unit: &str) -> Vec<String> {
    let mut names = vec![unit.to_owned()];
    let (stem, ending) = unit.rsplit_once('.').unwrap_or((unit, ""));
    if let Some((template, _)) = stem.split_once('@') {
        names.push(format!("{template}@.{ending}"));
    }
    let dashes = stem.rmatch_indices('-').filter_map(|(at, _)| stem.get(..=at));
    names.extend(dashes.map(|prefix| format!("{prefix}.{ending}")));
    names.push(ending.to_owned());
    names
}

fn changed_ns(file: &Path) -> Option<u64> {
    let changed = std::fs::metadata(file).ok()?.modified().ok()?;
    u64::try_from(changed.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// The last setting in these files; an empty one takes back those before it.
fn last(files: impl Iterator<Item = PathBuf>, section: &str, key: &str) -> Option<UnitLimit> {
    let mut found = None;
    for file in files {
        let mut text = Vec::new();
        let read = File::open(&file).and_then(|open| open.take(FILE_MAX).read_to_end(&mut text));
        if read.is_err() {
            continue;
        }
        match parse_setting(&text, section, key) {
            None => {}
            Some(None) => found = None,
            Some(Some(setting)) => {
                found = Some(UnitLimit { setting, changed_ns: changed_ns(&file), file });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files below a folder of its own and reads them as systemd would.
    fn limits(files: &[(&str, &str)], look: impl FnOnce(&mut UnitLimits)) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("memwatch-units-{}-{number}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        look(&mut UnitLimits::new(&root));
        std::fs::remove_dir_all(root).unwrap();
    }

    fn found(limits: &mut UnitLimits, unit: &str) -> Option<(u64, u64, String)> {
        let root = limits.root.clone();
        let limit = limits.of(unit)?;
        let file = limit.file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        Some((limit.setting.soft, limit.setting.hard, file))
    }

    #[test]
    fn the_file_of_the_highest_precedence_counts() {
        let files = [
            ("usr/lib/systemd/system/a.service", "[Service]\nLimitNOFILE=1\n"),
            ("etc/systemd/system/a.service", "[Service]\nLimitNOFILE=2:3\n"),
            ("usr/lib/systemd/system/w@.service", "[Service]\nLimitNOFILE=infinity\n"),
        ];
        limits(&files, |limits| {
            assert_eq!(found(limits, "a.service"), Some((2, 3, "etc/systemd/system/a.service".into())));
            let template = "usr/lib/systemd/system/w@.service".to_owned();
            assert_eq!(found(limits, "w@1.service"), Some((u64::MAX, u64::MAX, template)));
            assert_eq!(found(limits, "none.service"), None);
            assert_eq!(found(limits, "../a.service"), None);
        });
    }

    #[test]
    fn drop_ins_are_applied_by_name() {
        let files = [
            ("usr/lib/systemd/system/a-b.service", "[Service]\nLimitNOFILE=1\n"),
            ("usr/lib/systemd/system/service.d/10-all.conf", "[Service]\nLimitNOFILE=5\n"),
            ("usr/lib/systemd/system/a-.service.d/20-a.conf", "[Service]\nLimitNOFILE=6\n"),
            ("usr/lib/systemd/system/a-b.service.d/30-b.conf", "[Service]\nLimitNOFILE=7\n"),
            ("etc/systemd/system/a-b.service.d/30-b.conf", "[Service]\nLimitNOFILE=8\n"),
            ("run/systemd/system/z.service.d/1.conf", "[Service]\nLimitNOFILE=\n"),
            ("etc/systemd/system/z.service.d/0.conf", "[Service]\nLimitNOFILE=9\n"),
        ];
        limits(&files, |limits| {
            let override_file = "etc/systemd/system/a-b.service.d/30-b.conf".to_owned();
            assert_eq!(found(limits, "a-b.service"), Some((8, 8, override_file)));
            let all = "usr/lib/systemd/system/service.d/10-all.conf".to_owned();
            assert_eq!(
                found(limits, "z.service"),
                Some((5, 5, all)),
                "1.conf took 0.conf back, 10-all follows"
            );
        });
    }

    #[test]
    fn the_manager_s_default() {
        let files = [
            ("etc/systemd/system.conf", "[Manager]\n#DefaultLimitNOFILE=1\n"),
            ("usr/lib/systemd/system.conf.d/x.conf", "[Manager]\nDefaultLimitNOFILE=1024:1048576\n"),
        ];
        limits(&files, |limits| {
            let setting = limits.manager().unwrap().setting;
            assert_eq!((setting.soft, setting.hard), (1024, 1 << 20));
        });
        limits(&[("etc/x", "")], |limits| assert_eq!(limits.manager(), None));
    }
}
