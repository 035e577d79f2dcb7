//! Every kind of line: it parses, its keys are in the table for it, its values are right.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use memwatch_ebpf::abi::event::{Kind, OomKill};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::detect::fd_table::State;
use crate::core::fact::{Body, Fact};
use crate::export::samples;
use crate::export::schema::Type;

fn exporter() -> Json {
    Json::with_clock(Clock::new(samples::BOOT_UNIX_NS)).with_containers(samples::containers())
}

fn parsed(out: &[u8]) -> Map<String, Value> {
    assert_eq!(out.last(), Some(&b'\n'));
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let Value::Object(object) = serde_json::from_slice(out).expect("a JSON object") else {
        panic!("no object")
    };
    object
}

fn line(fact: &Fact) -> Map<String, Value> {
    let mut out = Vec::new();
    exporter().fact(fact, &mut out);
    parsed(&out)
}

fn finding_line(finding: &Finding) -> Map<String, Value> {
    let mut out = Vec::new();
    exporter().finding(finding, &mut out);
    parsed(&out)
}

fn lost_line() -> Map<String, Value> {
    let mut out = Vec::new();
    exporter().lost(&Loss { time_ns: 1, kind: "ring_full", count: 3, total: 5 }, &mut out);
    parsed(&out)
}

fn has_type(value: &Value, ty: Type) -> bool {
    match (ty, value) {
        (Type::Integer, Value::Number(number)) => number.is_u64() || number.is_i64(),
        (Type::Text | Type::Labels, Value::String(_)) | (Type::Flag, Value::Bool(_)) => true,
        (Type::Hex, Value::String(text)) => {
            text.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok())
        }
        (Type::Time, Value::String(text)) => humantime::parse_rfc3339(text).is_ok(),
        (Type::Texts, Value::Array(texts)) => texts.iter().all(Value::is_string),
        _ => false,
    }
}

/// Lines that together carry every field.
fn lines() -> Vec<(Name, Map<String, Value>)> {
    let mut lines: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::FdTable)
        .map(|kind| (Name::Of(kind), line(&samples::fact(kind))))
        .collect();
    let varied = |kind: Kind, change: fn(&mut Body)| {
        let mut fact = samples::fact(kind);
        change(&mut fact.event.body);
        (Name::Of(kind), line(&fact))
    };
    lines.push(varied(Kind::Mmap, |body| {
        if let Body::Mmap(body) = body {
            (body.addr, body.result) = (0x1000, -12);
        }
    }));
    lines.push(varied(Kind::Mremap, |body| {
        if let Body::Mremap(body) = body {
            body.result = 0x1000;
        }
    }));
    let mut cut = samples::fact(Kind::Exec);
    Arc::make_mut(&mut cut.process).args_cut = true;
    lines.push((Name::Of(Kind::Exec), line(&cut)));
    lines.push(varied(Kind::Fault, |body| {
        if let Body::Fault(body) = body {
            body.addr = u64::MAX - 1;
        }
    }));
    for (soft, hard) in [(u64::MAX, 5), (5, u64::MAX)] {
        for kind in [Kind::RlimitRead, Kind::RlimitSet] {
            let mut fact = samples::fact(kind);
            if let Body::RlimitRead(body) | Body::RlimitSet(body) = &mut fact.event.body {
                (body.soft, body.hard, body.new_soft, body.new_hard) = (soft, hard, soft, hard);
                (body.target, body.result) = (9, -1);
            }
            lines.push((Name::Of(kind), line(&fact)));
            lines.push((Name::Of(kind), line(&samples::of_foreign_target(kind))));
        }
    }
    lines.push(varied(Kind::Exit, |body| {
        if let Body::Exit(body) = body {
            body.status = 3 << 8;
        }
    }));
    let mut refused = samples::finding();
    (refused.state, refused.result) = (State::Failed, -12);
    lines.push((Name::Of(Kind::FdTable), finding_line(&refused)));
    lines.push((Name::Of(Kind::FdTable), finding_line(&samples::finding())));
    for exposure in samples::exposures() {
        let mut found = samples::finding();
        found.set_origin(exposure.origin.clone());
        lines.push((Name::Of(Kind::FdTable), finding_line(&found)));
        let mut out = Vec::new();
        exporter().exposure(&exposure, &mut out);
        lines.push((Name::Exposure, parsed(&out)));
    }
    lines.push((Name::Lost, lost_line()));
    lines
}

#[test]
fn every_key_is_where_the_table_says() {
    let mut written = BTreeSet::new();
    for (name, line) in lines() {
        assert_eq!(line["event.name"], name.as_str());
        for (key, value) in &line {
            let field = fields::ALL.iter().find(|field| field.is(key));
            let field = field.unwrap_or_else(|| panic!("{key} is not in the table"));
            assert!(field.is_in(name), "{key} in {}", name.as_str());
            assert!(has_type(value, field.ty()), "{key}: {value} is no {}", field.ty().name());
            written.insert(field.key());
        }
    }
    let silent: Vec<_> =
        fields::ALL.iter().map(|field| field.key()).filter(|key| !written.contains(key)).collect();
    // The container fields of the victim and all others come from one place, so the samples cover them once.
    assert!(silent.is_empty(), "never written: {silent:?}");
}

#[test]
fn keys_are_told_once() {
    let mut seen = BTreeSet::new();
    for field in fields::ALL {
        assert!(seen.insert(field.key()), "{} twice", field.key());
    }
}

#[test]
fn mmap_in_full() {
    assert_eq!(
        Value::Object(line(&samples::fact(Kind::Mmap))),
        json!({
            "event.name": "memwatch.mmap",
            "memwatch.schema_version": 1,
            "timestamp": "2023-11-14T22:13:25.000000001Z",
            "memwatch.boot_ns": 5_000_000_001u64,
            "process.pid": 42,
            "process.creation.time": "2023-11-14T22:13:23.000000000Z",
            "memwatch.process.start_ns": 3_000_000_000u64,
            "process.parent_pid": 7,
            "memwatch.process.comm": "uwsgi",
            "process.real_user.id": 1000,
            "memwatch.cgroup.id": 99,
            "process.executable.path": "/usr/bin/uwsgi",
            "process.executable.name": "uwsgi",
            "process.command_args": ["uwsgi", "--http", ":80"],
            "memwatch.cgroup.path": "/kubepods/pod1/abc",
            "memwatch.cgroup.hierarchy": "memory",
            "memwatch.unit": "containerd.service",
            "memwatch.slice": "system.slice",
            "container.id": "abc",
            "container.runtime.name": "containerd",
            "container.name": "app",
            "container.image.name": "registry.example/app",
            "container.image.tags": ["1.2"],
            "container.image.id": "sha256:1",
            "container.image.repo_digests": ["registry.example/app@sha256:2"],
            "container.label.tier": "front",
            "k8s.pod.name": "web-0",
            "k8s.namespace.name": "shop",
            "k8s.container.name": "app",
            "k8s.container.restart_count": 2,
            "k8s.pod.label.app.kubernetes.io/name": "web",
            "k8s.pod.uid": "1-2-3",
            "k8s.pod.qos_class": "Guaranteed",
            "thread.id": 43,
            "thread.name": "uwsgi http",
            "memwatch.mmap.bytes": 8_589_934_592u64,
            "memwatch.mmap.prot": "PROT_READ|PROT_WRITE",
            "memwatch.mmap.prot_number": 3,
            "memwatch.mmap.flags": "MAP_PRIVATE|MAP_ANONYMOUS",
            "memwatch.mmap.flags_number": 34,
            "memwatch.mmap.result": "0x7f0000000000",
        })
    );
}

#[test]
fn names_are_added_to_an_object_that_is_written_already() {
    let naming = samples::containers().naming("abc").expect("a naming");
    let mut object = b"{\"process.pid\":7,\"container.id\":\"x\",\"k8s.pod.uid\":\"of the path\"}\n".to_vec();
    add_naming(&mut object, "abc", &naming);
    let object = parsed(&object);
    assert_eq!((&object["process.pid"], &object["k8s.pod.name"]), (&json!(7), &json!("web-0")));
    assert_eq!((&object["k8s.pod.uid"], &object["container.id"]), (&json!("of the path"), &json!("x")));
    let mut object = b"{\"process.pid\":7}\n".to_vec();
    add_naming(&mut object, "abc", &naming);
    let object = parsed(&object);
    assert_eq!((&object["k8s.pod.uid"], &object["container.id"]), (&json!("1-2-3"), &json!("abc")));
}

/// The event's own fields of a line, without their common beginning.
fn own(name: &str, line: &Map<String, Value>) -> Value {
    let prefix = format!("memwatch.{name}.");
    let own =
        line.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
    Value::Object(own.collect())
}

#[test]
fn values_of_every_kind() {
    let of = |kind: Kind, name: &str| own(name, &line(&samples::fact(kind)));
    assert_eq!(of(Kind::Munmap, "munmap"), json!({"address": "0x1000", "bytes": 8192, "error": "EINVAL"}));
    assert_eq!(
        of(Kind::Mremap, "mremap"),
        json!({"address": "0x1000", "old_bytes": 4096, "bytes": 8192, "flags": "MREMAP_MAYMOVE",
               "flags_number": 1, "error": "ENOMEM"})
    );
    assert_eq!(
        of(Kind::Brk, "brk"),
        json!({"address": "0x5000", "old_address": "0x6000", "change_bytes": -4096, "result": "0x5000"})
    );
    assert_eq!(
        of(Kind::Fault, "fault"),
        json!({"major_total": 3, "minor_total": 640}),
        "no address is known"
    );
    assert_eq!(
        of(Kind::Rss, "rss"),
        json!({"limit_bytes": 5 << 20, "rss_bytes": 6 << 20, "anon_bytes": 3 << 20, "file_bytes": 2 << 20,
               "shmem_bytes": 1 << 20, "swap_bytes": 0})
    );
    assert_eq!(
        of(Kind::RlimitRead, "rlimit_read"),
        json!({"resource": "nofile", "resource_number": 7, "soft": 1 << 20, "hard_unlimited": true})
    );
    assert_eq!(
        of(Kind::RlimitSet, "rlimit_set"),
        json!({"resource": "nofile", "resource_number": 7, "target_pid": 50, "soft": 1 << 20,
               "hard_unlimited": true, "new_soft": 1024, "new_hard": 4096})
    );
    for (kind, name) in [(Kind::RlimitRead, "rlimit_read"), (Kind::RlimitSet, "rlimit_set")] {
        let line = own(name, &line(&samples::of_foreign_target(kind)));
        assert_eq!((&line["target_unknown"], line.get("target_pid")), (&json!(true), None));
    }
    assert_eq!(
        of(Kind::FdTableGrowth, "fdtable_growth"),
        json!({"old_slots": 64, "new_slots": 1024, "bytes": 8320})
    );
    assert_eq!(
        of(Kind::CloseSweep, "close_sweep"),
        json!({"phase": "end", "count": 65_533, "duration_ns": 2_500_000_000u64, "limit": 65_536})
    );
    assert_eq!(
        of(Kind::Action, "action"),
        json!({"what": "signal_mapped", "rule": 5, "bytes": 8u64 << 30, "bound_bytes": 1 << 30,
               "signal": "SIGTERM", "error": "EPERM"})
    );
    assert_eq!(of(Kind::Exec, "exec"), json!({"filename": "/usr/bin/uwsgi", "args_bytes": 17}));
    assert_eq!(of(Kind::Fork, "fork"), json!({"child_pid": 44, "child_start_ns": 5_000_000_000u64}));
    let exit = of(Kind::Exit, "exit");
    assert_eq!((&exit["signal"], &exit["core_dumped"]), (&json!("SIGSEGV"), &json!(true)));
    assert_eq!((&exit["mmap_bytes"], &exit["minor_faults"]), (&json!(1), &json!(7)));
    assert_eq!(own("lost", &lost_line()), json!({"kind": "ring_full", "count": 3, "total": 5}));
}

#[test]
fn an_oom_kill_is_the_victims() {
    let mut fact = samples::fact(Kind::OomKill);
    let line_of_unknown = line(&fact);
    assert_eq!(line_of_unknown["process.pid"], 77);
    assert_eq!(line_of_unknown["memwatch.process.comm"], "victim");
    assert_eq!(line_of_unknown["process.real_user.id"], 33);
    assert_eq!(line_of_unknown["memwatch.cgroup.id"], 123);
    assert_eq!(line_of_unknown["memwatch.oom_kill.trigger_pid"], 42);
    assert_eq!(line_of_unknown["memwatch.oom_kill.trigger_comm"], "uwsgi http");
    assert_eq!(line_of_unknown["memwatch.oom_kill.oom_score_adj"], -500);
    assert!(!line_of_unknown.contains_key("container.id"), "the trigger's container is not the victim's");
    let mut victim = samples::identity();
    victim.key.tgid = 77;
    victim.container.as_mut().expect("a container").id = "of-the-victim".into();
    fact.other = Some(Arc::new(victim));
    assert_eq!(line(&fact)["container.id"], "of-the-victim");
}

#[test]
fn a_finding_in_full() {
    let line = finding_line(&samples::finding());
    assert_eq!(line["event.name"], "memwatch.fd_table");
    assert_eq!(
        own("fd_table", &line),
        json!({"id": 1, "last": false, "limit": 1_073_741_816, "element_bytes": 8, "bytes": 8_589_938_688u64,
               "total_bytes": 8_589_938_688u64, "overhead_bytes": 4160, "fit": "exact", "lag_ns": 100_000_001, "asked_by_tid": 43,
               "source": "mmap", "state": "mapped", "address": "0x7f0000000000", "touched_bytes": 0, "ordinal": 1,
               "confidence": "high", "reasons": ["exact_length", "inherited"],
               "reason_texts": ["the length is N x 8", "an ancestor read the limit"],
               "advice": "set max-fd = 1048576 in the uWSGI configuration", "learned_how": "read",
               "learned_boot_ns": 4_900_000_000u64, "learned_by_pid": 7, "learned_by_tid": 7,
               "learned_by_comm": "uwsgi-master", "learned_forks": 1})
    );
}

#[test]
fn what_is_unknown_is_left_out() {
    let mut fact = samples::fact(Kind::OomKill);
    fact.event.body = Body::OomKill(OomKill { tgid: 77, uid: u32::MAX, ..OomKill::default() });
    let line = line(&fact);
    for key in [
        "process.creation.time",
        "process.parent_pid",
        "process.real_user.id",
        "memwatch.cgroup.id",
        "memwatch.oom_kill.domain",
        "memwatch.oom_kill.domain_limit_bytes",
    ] {
        assert!(!line.contains_key(key), "{key}");
    }
    let finding = Finding { lag_ns: None, ..samples::finding() };
    assert!(!finding_line(&finding).contains_key("memwatch.fd_table.lag_ns"));
}

#[test]
fn tables_of_the_kernel_side_are_left_to_the_detector() {
    let mut out = Vec::new();
    exporter().fact(&samples::fact(Kind::FdTable), &mut out);
    assert!(out.is_empty());
}

#[test]
#[ignore = "prints the cost of a line: a figure for the journal, not a verdict"]
fn cost_of_a_line() {
    let (mut exporter, mut out) = (exporter(), Vec::with_capacity(4096));
    for kind in [Kind::Mmap, Kind::RlimitRead, Kind::Exit] {
        let fact = samples::fact(kind);
        let rounds = 100_000;
        let start = Instant::now();
        for _ in 0..rounds {
            out.clear();
            exporter.fact(std::hint::black_box(&fact), &mut out);
        }
        println!("{kind:?}: {} ns, {} bytes", start.elapsed().as_nanos() / rounds, out.len());
    }
}

proptest! {
    #[test]
    fn hostile_names(comm: [u8; 16], exe: Vec<u8>, args: Vec<Vec<u8>>, path: String) {
        let mut fact = samples::fact(Kind::Mmap);
        fact.event.header.comm = comm;
        let mut identity = samples::identity();
        identity.comm = comm.to_vec();
        (identity.exe, identity.args, identity.cgroup_path) = (Some(exe), args.clone(), Some(path.as_str().into()));
        fact.process = Arc::new(identity);
        let line = line(&fact);
        prop_assert_eq!(&line["process.pid"], 42);
        if !args.is_empty() {
            prop_assert_eq!(line["process.command_args"].as_array().map(Vec::len), Some(args.len()));
        }
    }
}
