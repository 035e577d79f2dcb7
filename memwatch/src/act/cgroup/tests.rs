//! Cgroups of the test's own, with children of its own in them.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::act::{Actuator, DryRun, PidfdActuator};
use crate::core::fact::Hierarchy;
use crate::core::pattern::Pattern;
use crate::core::policy::{Match, Protect, Reach};
use crate::enrich::cgroup::{parse_mounts, widest};

/// A cgroup, with the processes that were started in it; it ends with them.
struct Group {
    folder: PathBuf,
    children: Vec<Child>,
}

impl Group {
    /// `None` where this hierarchy is not mounted, or may not be written to.
    fn new(hierarchy: Hierarchy) -> Option<Self> {
        Self::with(hierarchy, "")
    }

    /// The same with an end to its name.
    fn with(hierarchy: Hierarchy, ending: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = parse_mounts(&fs::read("/proc/self/mountinfo").unwrap());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("memwatch-act-{}-{number}{ending}", std::process::id());
        let folder = widest(&mounts, hierarchy)?.point.join(name);
        fs::create_dir(&folder).ok()?;
        Some(Self { folder, children: Vec::new() })
    }

    fn start(&mut self, script: &str) -> ProcessKey {
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        fs::write(self.folder.join("cgroup.procs"), child.id().to_string()).unwrap();
        // The script waits for its input, so that all it starts is in the cgroup.
        drop(child.stdin.take());
        let key = Guard::new([]).unwrap().key_of(child.id()).unwrap();
        self.children.push(child);
        key
    }

    fn processes(&self) -> usize {
        fs::read_to_string(self.folder.join("cgroup.procs")).unwrap().lines().count()
    }

    fn sleepers(&self) -> usize {
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap();
        let names = members.lines().filter_map(|id| fs::read(format!("/proc/{id}/comm")).ok());
        names.filter(|name| name == b"sleep\n").count()
    }

    fn is_empty_soon(&mut self) {
        let started = Instant::now();
        loop {
            for child in &mut self.children {
                child.try_wait().unwrap();
            }
            if self.processes() == 0 {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{} are left", self.processes());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What the children started is orphaned now, and would sleep on; nobody else is in this cgroup.
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let started = Instant::now();
        while fs::remove_dir(&self.folder).is_err() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A process that starts three more.
const FAMILY: &str = "cat; sleep 60 & sleep 60 & sleep 60 & wait";

fn each_hierarchy(test: impl Fn(Group)) {
    [Hierarchy::Unified, Hierarchy::Memory].into_iter().filter_map(Group::new).for_each(test);
}

fn family(group: &mut Group) -> ProcessKey {
    let key = group.start(FAMILY);
    // Those that it forked are shells for a moment.
    while group.sleepers() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    key
}

fn actuator() -> PidfdActuator {
    PidfdActuator::new(Guard::new([]).unwrap()).unwrap()
}

#[test]
fn all_in_the_cgroup_are_killed_and_nobody_else() {
    each_hierarchy(|mut group| {
        let Some(mut neighbour) = Group::new(Hierarchy::Memory) else { return };
        neighbour.start("cat; sleep 60");
        let key = family(&mut group);
        assert_eq!(DryRun::new(Guard::new([]).unwrap()).kill_cgroup(key), Outcome::WouldSend);
        assert_eq!(group.processes(), 4);
        assert_eq!(actuator().kill_cgroup(key), Outcome::Sent);
        group.is_empty_soon();
        assert!(neighbour.processes() > 0);
        assert_eq!(actuator().kill_cgroup(key), Outcome::Gone);
    });
}

#[test]
fn one_that_is_spared_saves_all() {
    each_hierarchy(|mut group| {
        let key = family(&mut group);
        let other = group.start("cat; sleep 60");
        let reach = Reach::Tree(key.tgid);
        let mut scoped = PidfdActuator::new(Guard::new([&reach]).unwrap()).unwrap();
        assert_eq!(scoped.kill_cgroup(key), Outcome::Guarded);
        assert!(group.processes() >= 5);
        assert_eq!(actuator().kill_cgroup(ProcessKey { start_ns: 0, ..other }), Outcome::Gone);
        assert!(group.processes() >= 5);
    });
}

#[test]
fn one_that_the_configuration_protects_saves_all() {
    let by = |matching| Protect { matching: vec![matching] };
    let pattern = |text| vec![Pattern::parse(text).unwrap()];
    each_hierarchy(|mut group| {
        let key = family(&mut group);
        let name = group.folder.file_name().unwrap().to_str().unwrap();
        for protect in [
            by(Match { exe: pattern("*/sleep"), ..Match::default() }),
            by(Match { args: pattern("60"), ..Match::default() }),
            by(Match { comm: pattern("sleep"), parent_exe: pattern("*sh"), ..Match::default() }),
            by(Match { cgroup: vec![format!("/{name}")], ..Match::default() }),
        ] {
            let guard = || Guard::new([]).unwrap().protecting(&protect);
            assert_eq!(DryRun::new(guard()).kill_cgroup(key), Outcome::Guarded, "{protect:?}");
            assert_eq!(PidfdActuator::new(guard()).unwrap().kill_cgroup(key), Outcome::Guarded);
            assert_eq!(group.processes(), 4);
        }
        let nobody = by(Match { exe: pattern("*/no-such-program"), ..Match::default() });
        let guard = Guard::new([]).unwrap().protecting(&nobody);
        assert_eq!(PidfdActuator::new(guard).unwrap().kill_cgroup(key), Outcome::Sent);
        group.is_empty_soon();
    });
}

#[test]
fn our_own_cgroup_and_the_root_are_spared() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let mut guard = Guard::new([]).unwrap();
    let key = guard.key_of(child.id()).unwrap();
    assert_eq!(Target::find(&mut guard, key).err(), Some(Outcome::Guarded));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_unit_is_taken_as_one_and_only_where_nobody_is_spared() {
    for hierarchy in [Hierarchy::Unified, Hierarchy::Memory] {
        let Some(mut unit) = Group::with(hierarchy, ".service") else { continue };
        let key = family(&mut unit);
        let name = unit.folder.file_name().unwrap().to_str().unwrap().to_owned();
        let below = unit.folder.join("inner");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("cgroup.procs"), key.tgid.to_string()).unwrap();
        let (found, folder) = Guard::new([]).unwrap().unit_of(key.tgid).unwrap();
        assert_eq!((found, &folder), (name, &unit.folder));
        assert_eq!(DryRun::new(Guard::new([]).unwrap()).stop_unit(key), Outcome::WouldSend);
        let sleeps = Match { exe: vec![Pattern::parse("*/sleep").unwrap()], ..Match::default() };
        let guard = Guard::new([]).unwrap().protecting(&Protect { matching: vec![sleeps] });
        assert_eq!(DryRun::new(guard).stop_unit(key), Outcome::Guarded);
        fs::write(unit.folder.join("cgroup.procs"), key.tgid.to_string()).unwrap();
        fs::remove_dir(&below).unwrap();
    }
    each_hierarchy(|mut group| {
        let key = group.start("cat; sleep 60");
        assert_eq!(DryRun::new(Guard::new([]).unwrap()).stop_unit(key), Outcome::Guarded, "no unit");
    });
}
