//! Who an event is put down to.

use std::sync::Arc;

use memwatch_ebpf::abi::event;
use memwatch_ebpf::abi::state::Learned;

use super::fake::{FakeProc, exec, exit, fork, header, mmap};
use crate::core::fact::{Body, Event, ProcessKey};

/// A start that is not on a clock tick, as the kernel gives them.
const START: u64 = 5_001_234_567;
const LATER: u64 = 9_001_234_567;

#[test]
fn a_process_is_read_once_and_then_known() {
    let proc = FakeProc::new("once");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "uwsgi");
    let first = ledger.attribute(mmap(header(40, START, "uwsgi"))).process;
    assert_eq!(first.key, ProcessKey { tgid: 40, start_ns: START });
    assert_eq!((first.parent_tgid, first.uid), (Some(1), Some(7)));
    assert_eq!(first.exe.as_deref(), Some(&b"/usr/bin/uwsgi"[..]));
    assert_eq!(first.args, [&b"uwsgi"[..], b"--flag"]);
    assert_eq!(first.cgroup_path.as_deref(), Some("/system.slice/web.service"));
    assert_eq!(first.cgroup_id, Some(proc.cgroup_id("system.slice/web.service")));
    assert_eq!(first.unit.as_deref(), Some("web.service"));

    proc.end(40);
    let second = ledger.attribute(mmap(header(40, START, "uwsgi"))).process;
    assert!(Arc::ptr_eq(&first, &second), "known processes cost a look-up");
    assert_eq!(ledger.losses().attribution_failed, 0);
}

#[test]
fn a_recycled_pid_lends_nothing() {
    let proc = FakeProc::new("recycled");
    let mut ledger = proc.ledger();
    proc.start(40, LATER, 1, "innocent");
    // The event speaks of an earlier holder, which nobody saw.
    let stranger = ledger.attribute(mmap(header(40, START, "culprit"))).process;
    assert_eq!((stranger.comm.as_slice(), stranger.exe.as_ref()), (&b"culprit"[..], None));
    assert_eq!(ledger.losses().attribution_failed, 1);
    // Then the pid's new holder speaks, and after it a late event of the old one comes in.
    let innocent = ledger.attribute(mmap(header(40, LATER, "innocent"))).process;
    assert_eq!(innocent.exe.as_deref(), Some(&b"/usr/bin/innocent"[..]));
    let late = ledger.attribute(mmap(header(40, START, "culprit"))).process;
    assert_eq!((late.comm.as_slice(), late.exe.as_ref()), (&b"culprit"[..], None));
    assert_eq!(ledger.losses().exits_inferred, 1);
    // An older one yet, of which nothing was ever known.
    let older = ledger.attribute(mmap(header(40, 1_001_000_001, "elder"))).process;
    assert_eq!((older.comm.as_slice(), older.exe.as_ref()), (&b"elder"[..], None));
    let again = ledger.attribute(mmap(header(40, LATER, "innocent"))).process;
    assert!(Arc::ptr_eq(&innocent, &again));
}

#[test]
fn the_dead_keep_their_identity() {
    let proc = FakeProc::new("dead");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "uwsgi");
    ledger.seed().unwrap();
    let alive = ledger.attribute(mmap(header(40, START, "uwsgi"))).process;
    assert!(Arc::ptr_eq(&alive, &ledger.attribute(exit(header(40, START, "uwsgi"))).process));
    proc.start(40, LATER, 1, "next");
    let late = ledger.attribute(mmap(header(40, START, "uwsgi"))).process;
    assert!(Arc::ptr_eq(&alive, &late));
    let next = ledger.attribute(mmap(header(40, LATER, "next"))).process;
    assert_eq!(next.exe.as_deref(), Some(&b"/usr/bin/next"[..]));
    assert_eq!(ledger.losses(), Default::default());
}

#[test]
fn a_seeded_start_is_made_exact() {
    let proc = FakeProc::new("exact");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "a");
    ledger.seed().unwrap();
    let rounded = ProcessKey { tgid: 40, start_ns: START - START % ProcessKey::TICK_NS };
    assert_eq!(ledger.descendants(40), [rounded]);
    let exact = ledger.attribute(mmap(header(40, START, "a"))).process.key;
    assert_eq!(exact.start_ns, START);
    assert!(ledger.get(rounded).is_some() && ledger.get(exact).is_some());
    // Another one of the same clock tick is another process.
    assert!(ledger.get(ProcessKey { start_ns: START + 1, ..exact }).is_none());
}

#[test]
fn without_a_start_the_holder_must_be_older_than_the_event() {
    let proc = FakeProc::new("nostart");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "a");
    let at = |time_ns| {
        let mut header = header(40, 0, "a");
        header.time_ns = time_ns;
        mmap(header)
    };
    assert!(ledger.attribute(at(START - 1)).process.exe.is_none());
    assert!(ledger.attribute(at(START + 1)).process.exe.is_none(), "not sure within the tick");
    assert!(ledger.attribute(at(START + ProcessKey::TICK_NS)).process.exe.is_some());
    assert_eq!(ledger.losses().attribution_failed, 2);
}

#[test]
fn names_follow_the_leader_and_cgroups_any_thread() {
    let proc = FakeProc::new("names");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "java");
    let mut thread = header(40, START, "GC Thread#0");
    thread.tid = 41;
    assert_eq!(ledger.attribute(mmap(thread)).process.comm, b"java");
    let renamed = ledger.attribute(mmap(header(40, START, "new name"))).process;
    assert_eq!(renamed.comm, b"new name");
    assert!(renamed.exe.is_some());

    proc.write(40, "cgroup", "0::/system.slice\n");
    thread.cgroup_id = proc.cgroup_id("system.slice");
    thread.parent_tgid = 2;
    let moved = ledger.attribute(mmap(thread)).process;
    assert_eq!(moved.cgroup_path.as_deref(), Some("/system.slice"));
    assert_eq!((moved.unit.as_deref(), moved.parent_tgid), (Some("system.slice"), Some(2)));
}

#[test]
fn a_child_is_its_parent_until_it_runs_another_program() {
    let proc = FakeProc::new("child");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "sh");
    let fact = ledger.attribute(fork(header(40, START, "sh"), 50, LATER));
    let child = fact.other.unwrap();
    assert_eq!(child.key, ProcessKey { tgid: 50, start_ns: LATER });
    assert_eq!((child.parent_tgid, &child.exe), (Some(40), &fact.process.exe));
    assert_eq!(ledger.descendants(40), [fact.process.key, child.key]);

    // It is gone before /proc is asked: the record alone tells, and what it was started by is no path of a file.
    let run = ledger.attribute(exec(header(50, LATER, "ls"), "./ls", b"ls\0-l\0", 6)).process;
    assert_eq!((run.comm.as_slice(), run.exe.as_deref()), (&b"ls"[..], None));
    assert_eq!(ledger.losses().executables_unknown, 1);
    assert_eq!((run.args.as_slice(), run.args_cut), (&[b"ls".to_vec(), b"-l".to_vec()][..], false));
    assert_eq!(run.cgroup_path, child.cgroup_path);
    let run = ledger.attribute(exec(header(50, LATER, "ls"), "./ls", b"ls\0-l\0--col", 600)).process;
    assert_eq!((run.args.len(), run.args_cut), (3, true), "the record has no more, and nobody else has");

    // It lives: /proc has the path, and the arguments that the record had no room for.
    proc.start(50, LATER, 40, "cat");
    let run = ledger.attribute(exec(header(50, LATER, "cat"), "cat", b"cat", 900)).process;
    assert_eq!(run.exe.as_deref(), Some(&b"/usr/bin/cat"[..]));
    assert_eq!((run.args.as_slice(), run.args_cut), (&[b"cat".to_vec(), b"--flag".to_vec()][..], false));
    let known = ledger.attribute(mmap(header(50, LATER, "cat"))).process;
    assert!(Arc::ptr_eq(&run, &known));
    assert_eq!(ledger.losses().attribution_failed, 0);
}

#[test]
fn the_victim_is_the_other_process() {
    let proc = FakeProc::new("victim");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "trigger");
    proc.start(60, LATER, 1, "victim");
    let kill = event::OomKill {
        start_ns: LATER,
        tgid: 60,
        tid: 60,
        uid: 7,
        comm: *b"victim\0\0\0\0\0\0\0\0\0\0",
        ..Default::default()
    };
    let mut fact =
        ledger.attribute(Event { header: header(40, START, "trigger"), body: Body::OomKill(kill) });
    assert_eq!(fact.process.comm, b"trigger");
    assert_eq!(fact.other.take().unwrap().exe.as_deref(), Some(&b"/usr/bin/victim"[..]));
    // A victim that is gone is known by what the record says.
    let kill = event::OomKill { start_ns: LATER + 1, tgid: 61, ..kill };
    let fact = ledger.attribute(Event { header: header(40, START, "trigger"), body: Body::OomKill(kill) });
    let victim = fact.other.unwrap();
    assert_eq!((victim.key.tgid, victim.comm.as_slice(), victim.uid), (61, &b"victim"[..], Some(7)));
}

#[test]
fn the_ancestor_that_learned_the_limit_is_the_other_process() {
    let proc = FakeProc::new("ancestor");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "master");
    ledger.attribute(fork(header(40, START, "master"), 50, LATER));
    ledger.attribute(exit(header(40, START, "master")));
    let learned_by = |tgid, time_ns| {
        let learned = Learned { tgid, time_ns, ..Default::default() };
        let table = event::FdTable { learned, ..Default::default() };
        Event { header: header(50, LATER, "child"), body: Body::FdTable(table) }
    };
    proc.start(40, LATER, 1, "next");
    let other = ledger.attribute(learned_by(40, LATER - 1)).other.unwrap();
    assert_eq!((other.comm.as_slice(), other.key.start_ns), (&b"master"[..], START));
    assert!(ledger.attribute(learned_by(50, LATER)).other.is_none(), "itself");
    assert!(ledger.attribute(learned_by(77, LATER)).other.is_none(), "nobody known");
}

#[test]
fn the_target_of_a_look_up_is_named() {
    let proc = FakeProc::new("target");
    let mut ledger = proc.ledger();
    proc.start(40, START, 1, "prlimit");
    proc.start(60, START, 1, "target");
    let look = |target| {
        let limit = event::Rlimit { target, ..Default::default() };
        Event { header: header(40, START, "prlimit"), body: Body::RlimitRead(limit) }
    };
    assert_eq!(ledger.attribute(look(60)).other.unwrap().comm, b"target");
    assert!(ledger.attribute(look(0)).other.is_none());
    assert!(ledger.attribute(look(40)).other.is_none());
    // A thread of process 60.
    proc.start(61, START, 1, "thread");
    proc.write(61, "status", "Tgid:\t60\nPPid:\t1\nUid:\t7\n");
    assert_eq!(ledger.attribute(look(61)).other.unwrap().key.tgid, 60);
}
