//! Acts on children of the test's own.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::act::{DryRun, Refusal};
use crate::core::policy::Reach;
use crate::enrich::proc::ProcFs;

fn key_of(pid: u32) -> ProcessKey {
    let stat = ProcFs::open(Path::new("/proc")).unwrap().process(pid).unwrap().stat().unwrap();
    ProcessKey { tgid: pid, start_ns: stat.start_ns }
}

/// A child that runs until it is killed or dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> (Self, ProcessKey) {
        Self::run(Command::new("sleep").arg("60"))
    }

    fn run(command: &mut Command) -> (Self, ProcessKey) {
        command.stdin(Stdio::null());
        let child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // A child that another test forked holds a copied program open for writing until it runs its own.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now()
                }
                Err(error) => panic!("{error}"),
            }
        };
        let key = key_of(child.id());
        (Self(child), key)
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn guard(reaches: &[Reach]) -> Guard {
    Guard::new(reaches).unwrap()
}

fn actuator(reaches: &[Reach]) -> PidfdActuator {
    PidfdActuator::new(guard(reaches)).unwrap()
}

/// What the guard says of a process, which nothing is done to.
fn refusal(reaches: &[Reach], key: ProcessKey) -> Option<Refusal> {
    guard(reaches).check(key).unwrap().err()
}

#[test]
fn a_signal_reaches_the_process_that_was_meant() {
    for signal in [Signal::TERM, Signal::KILL, Signal(libc::SIGRTMIN() + 1)] {
        let (mut child, key) = Sleeper::start();
        // As the kernel side gives it: to the nanosecond.
        let exact = ProcessKey { start_ns: key.start_ns + 1_234_567, ..key };
        assert_eq!(actuator(&[]).send(exact, signal), Outcome::Sent);
        assert_eq!(child.0.wait().unwrap().signal(), Some(signal.0));
    }
}

#[test]
fn another_start_time_is_another_process() {
    let (mut child, key) = Sleeper::start();
    for start_ns in [key.start_ns + ProcessKey::TICK_NS, key.start_ns - 1, 0, u64::MAX] {
        let other = ProcessKey { start_ns, ..key };
        assert_eq!(actuator(&[]).send(other, Signal::KILL), Outcome::Gone);
    }
    assert!(child.runs());
}

#[test]
fn who_has_ended_is_gone() {
    let (mut child, key) = Sleeper::start();
    child.0.kill().unwrap();
    let mut actuator = actuator(&[]);
    // A zombie first: its end is noticed before anybody waits for it.
    while actuator.send(key, Signal(0)) == Outcome::Sent {
        std::thread::yield_now();
    }
    assert_eq!(actuator.send(key, Signal::KILL), Outcome::Gone);
    child.0.wait().unwrap();
    assert_eq!(actuator.send(key, Signal::KILL), Outcome::Gone);
    assert_eq!(actuator.send(ProcessKey { tgid: 0, start_ns: 0 }, Signal::KILL), Outcome::Gone);
    assert_eq!(actuator.send(ProcessKey { tgid: u32::MAX, start_ns: 0 }, Signal::KILL), Outcome::Gone);
}

#[test]
fn a_signal_that_does_not_exist_is_told() {
    let (mut child, key) = Sleeper::start();
    assert_eq!(actuator(&[]).send(key, Signal(99)), Outcome::Failed(libc::EINVAL));
    assert!(child.runs());
}

#[test]
fn neither_itself_nor_what_started_it() {
    let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
    assert_eq!(refusal(&[], key_of(own)), Some(Refusal::Own));
    if parent > 1 {
        assert_eq!(refusal(&[], key_of(parent)), Some(Refusal::Supervisor));
    }
    assert_eq!(refusal(&[], key_of(1)), Some(Refusal::Init));
    // Signal 0 does no harm should it get through.
    assert_eq!(actuator(&[]).send(key_of(own), Signal(0)), Outcome::Guarded);
    assert_eq!(DryRun::new(guard(&[])).send(key_of(own), Signal(0)), Outcome::Guarded);
}

#[test]
fn no_thread_of_the_kernel() {
    let proc = ProcFs::open(Path::new("/proc")).unwrap();
    let is_kernel =
        |pid: &u32| proc.process(*pid).and_then(|dir| dir.stat()).is_ok_and(|stat| stat.is_kernel);
    // Within a pid namespace there are none to be seen.
    if let Some(thread) = proc.pids().unwrap().into_iter().find(is_kernel) {
        assert_eq!(refusal(&[], key_of(thread)), Some(Refusal::Kernel));
    }
}

#[test]
fn only_within_the_scope() {
    let (mut outside, outside_key) = Sleeper::start();
    let (mut inside, inside_key) = Sleeper::start();
    let tree = [Reach::Tree(inside_key.tgid)];
    assert_eq!(refusal(&tree, outside_key), Some(Refusal::OutOfScope));
    assert_eq!(actuator(&tree).send(outside_key, Signal::KILL), Outcome::Guarded);
    assert_eq!(actuator(&[Reach::Tree(std::process::id())]).send(outside_key, Signal(0)), Outcome::Sent);
    assert_eq!(refusal(&[Reach::Cgroup("/no/such".into())], outside_key), Some(Refusal::OutOfScope));
    assert_eq!(refusal(&[Reach::Cgroup("/no/such".into()), Reach::Cgroup("/".into())], outside_key), None);
    assert_eq!(refusal(&[Reach::Tree(inside_key.tgid), Reach::Host], outside_key), None);
    assert!(outside.runs() && inside.runs());
    assert_eq!(actuator(&tree).send(inside_key, Signal::KILL), Outcome::Sent);
    assert_eq!(inside.0.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_tree_whose_root_has_ended_holds_nobody() {
    let (mut root, root_key) = Sleeper::start();
    root.0.kill().unwrap();
    root.0.wait().unwrap();
    let (_child, key) = Sleeper::start();
    assert_eq!(refusal(&[Reach::Tree(root_key.tgid)], key), Some(Refusal::OutOfScope));
}

#[test]
fn a_name_of_its_own_making_gains_nothing() {
    let folder = std::env::temp_dir().join(format!("memwatch-guard-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("sshd");
    std::fs::copy("/bin/sleep", &copy).unwrap();
    let (_child, key) = Sleeper::run(Command::new(&copy).arg("60"));
    assert_eq!(refusal(&[], key), None);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn observing_sends_nothing() {
    let (mut child, key) = Sleeper::start();
    let mut dry_run = DryRun::new(guard(&[]));
    assert_eq!(dry_run.send(key, Signal::KILL), Outcome::WouldSend);
    assert_eq!(dry_run.send(ProcessKey { start_ns: 0, ..key }, Signal::KILL), Outcome::Gone);
    assert!(child.runs());
}
