//! A fact of every kind, for the tests of the exporters.

use std::sync::Arc;

use memwatch_ebpf::abi::event::*;
use memwatch_ebpf::abi::header::Header;
use memwatch_ebpf::abi::state::{Counters, LEARNED_READ, Learned};
use memwatch_ebpf::table::Fit;
use zerocopy::FromZeros;

use crate::core::detect::fd_table::standing::Expectation;
use crate::core::detect::fd_table::{Confidence, Finding, Reason, Source, State};
use crate::core::exposure::{Exposure, Risk};
use crate::core::fact::{Body, Container, Event, Fact, Hierarchy, Identity, Pod, ProcessKey, Qos};
use crate::core::naming::{Image, Label, Naming, PodNaming};
use crate::core::origin::{Limits, Origin};
use crate::enrich::cri::Containers;

/// 2023-11-14T22:13:20Z.
pub(super) const BOOT_UNIX_NS: u64 = 1_700_000_000_000_000_000;

pub(crate) fn name<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text);
    bytes
}

pub(super) fn header(kind: Kind) -> Header {
    let mut header = Header::new_zeroed();
    (header.time_ns, header.start_ns, header.tgid, header.tid) = (5_000_000_001, 3_000_000_000, 42, 43);
    (header.uid, header.parent_tgid, header.cgroup_id, header.kind) = (1000, 7, 99, kind as u16);
    header.comm = name(b"uwsgi http");
    header
}

pub(crate) fn identity() -> Identity {
    Identity {
        key: ProcessKey { tgid: 42, start_ns: 3_000_000_000 },
        parent_tgid: Some(7),
        comm: b"uwsgi".to_vec(),
        uid: Some(1000),
        exe: Some(b"/usr/bin/uwsgi".to_vec()),
        args: vec![b"uwsgi".to_vec(), b"--http".to_vec(), b":80".to_vec()],
        args_cut: false,
        cgroup_id: Some(99),
        cgroup_path: Some("/kubepods/pod1/abc".into()),
        cgroup_hierarchy: Some(Hierarchy::Memory),
        container: Some(Container { id: "abc".into(), runtime: Some("containerd") }),
        pod: Some(Pod { uid: "1-2-3".into(), qos: Some(Qos::Guaranteed) }),
        unit: Some("containerd.service".into()),
        slice: Some("system.slice".into()),
    }
}

/// What a runtime says of the container of [`identity`].
pub(crate) fn containers() -> Containers {
    let text = |text: &str| Some(text.to_owned());
    let label = |key: &str, value: &str| vec![Label { key: key.to_owned(), value: value.to_owned() }];
    let naming = Naming {
        name: text("app"),
        restarts: Some(2),
        image: Image {
            name: text("registry.example/app"),
            tag: text("1.2"),
            id: text("sha256:1"),
            digest: text("registry.example/app@sha256:2"),
        },
        labels: label("tier", "front"),
        pod: PodNaming {
            name: text("web-0"),
            namespace: text("shop"),
            uid: text("1-2-3"),
            labels: label("app.kubernetes.io/name", "web"),
        },
    };
    Containers::knowing([("abc".to_owned(), naming)])
}

/// A process of which nothing but its pid and name is known.
pub(super) fn stranger(tgid: u32, comm: &[u8]) -> Identity {
    Identity { comm: comm.to_vec(), ..Identity::unknown(ProcessKey { tgid, start_ns: 0 }) }
}

fn rlimit() -> Rlimit {
    Rlimit {
        soft: 1 << 20,
        hard: u64::MAX,
        new_soft: 1024,
        new_hard: 4096,
        result: 0,
        resource: 7,
        target: 50,
        has: RLIMIT_HAS_OLD | RLIMIT_HAS_NEW,
        _pad: 0,
    }
}

/// A limit of somebody whom the caller named by an id of its own pid namespace.
pub(super) fn of_foreign_target(kind: Kind) -> Fact {
    let mut fact = fact(kind);
    if let Body::RlimitRead(body) | Body::RlimitSet(body) = &mut fact.event.body {
        (body.target, body.has) = (0, body.has | RLIMIT_FOREIGN_TARGET);
    }
    fact
}

pub(super) const RESIDENT: Resident = Resident { anon: 3 << 20, file: 2 << 20, shmem: 1 << 20, swap: 0 };

pub(super) fn body(kind: Kind) -> Body {
    match kind {
        Kind::Mmap => Body::Mmap(Mapping {
            addr: 0,
            length: 8 << 30,
            old: 0,
            result: 0x7f00_0000_0000,
            prot: 3,
            flags: 0x22,
        }),
        Kind::Munmap => {
            Body::Munmap(Mapping { addr: 0x1000, length: 8192, old: 0, result: -22, prot: 0, flags: 0 })
        }
        Kind::Mremap => {
            Body::Mremap(Mapping { addr: 0x1000, length: 8192, old: 4096, result: -12, prot: 0, flags: 1 })
        }
        Kind::Brk => Body::Brk(Mapping {
            addr: 0x5000,
            length: 0x1000,
            old: 0x6000,
            result: 0x5000,
            prot: 0,
            flags: 0,
        }),
        Kind::Fault => Body::Fault(Fault { addr: UNKNOWN, major: 3, minor: 640 }),
        Kind::Rss => Body::Rss(Rss { resident: RESIDENT, limit: 5 << 20 }),
        Kind::RlimitRead => Body::RlimitRead(Rlimit { has: RLIMIT_HAS_OLD, target: 0, ..rlimit() }),
        Kind::RlimitSet => Body::RlimitSet(rlimit()),
        Kind::FdTableGrowth => {
            Body::FdTableGrowth(FdTableGrowth { old_slots: 64, new_slots: 1024, bytes: 8320 })
        }
        Kind::CloseSweep => Body::CloseSweep(CloseSweep {
            first_ns: 1_000_000_000,
            last_ns: 3_500_000_000,
            count: 65_533,
            limit: 65_536,
            phase: SWEEP_END,
            _pad: 0,
        }),
        Kind::FdTable => Body::FdTable(FdTable::default()),
        Kind::Action => Body::Action(Action {
            bytes: 8 << 30,
            bound: 1 << 30,
            result: -1,
            rule: 5,
            what: ACTION_SIGNAL_MAPPED,
            signal: 15,
            _pad: 0,
        }),
        Kind::OomKill => Body::OomKill(OomKill {
            resident: RESIDENT,
            page_tables: 40_960,
            total_vm: 9 << 30,
            start_ns: 4_000_000_000,
            cgroup_id: 123,
            memcg_id: 124,
            domain_id: 125,
            domain_limit: 1 << 30,
            domain_usage: 1 << 30,
            tgid: 77,
            tid: 78,
            uid: 33,
            oom_score_adj: -500,
            domain: OOM_CGROUP,
            parent_tgid: 8,
            comm: name(b"victim"),
        }),
        Kind::Exec => Body::Exec(Box::new(Exec {
            inode: 0,
            device: 0,
            generation: 0,
            args_len: 6,
            args_total: 17,
            outside: 0,
            _pad: 0,
            filename: name(b"/usr/bin/uwsgi"),
            args: name(b"uwsgi\0"),
        })),
        Kind::Fork => Body::Fork(Fork { start_ns: 5_000_000_000, tgid: 44, outside: 0 }),
        Kind::Exit => Body::Exit(Exit {
            counters: Counters { mmap_bytes: 1, munmap_bytes: 2, minor_faults: 7, ..Counters::default() },
            max_rss: 64 << 20,
            table_total: 8 << 30,
            table_touched: 4096,
            status: 11 | 0x80,
            outside: 0,
        }),
    }
}

pub(crate) fn fact(kind: Kind) -> Fact {
    Fact {
        event: Event { header: header(kind), body: body(kind) },
        process: Arc::new(identity()),
        other: None,
        domain: (kind == Kind::OomKill).then(|| Arc::from("/system.slice")),
    }
}

/// What a scan found of a process, under a limit of 1,000,003.
pub(super) fn exposure(risk: Risk, origin: Option<Origin>) -> Exposure {
    Exposure {
        process: Arc::new(identity()),
        time_ns: 5,
        limits: Limits { soft: 1_000_003, hard: 1 << 20 },
        origin,
        kernel_slots: Some(64),
        risk,
    }
}

/// An exposure of every kind and origin.
pub(super) fn exposures() -> Vec<Exposure> {
    let expectation = Expectation::of(Some(b"/usr/bin/uwsgi"), b"").expect("a known program");
    let unit = Origin::Setting { unit: Some("a.service".into()), file: "/etc/systemd/a".into() };
    vec![
        exposure(Risk::Table { finding: Box::new(finding()), touched: Some(4096) }, Some(unit)),
        exposure(
            Risk::Expected { expectation, limit: 1_000_003, changed: Some("/etc/systemd/b".into()) },
            Some(Origin::Own),
        ),
        exposure(Risk::Kernel, Some(Origin::Inherited { from: 7, comm: b"sh".to_vec() })),
        exposure(Risk::Kernel, Some(Origin::Runtime { name: None, from: Some(8) })),
    ]
}

pub(super) fn finding() -> Finding {
    Finding {
        id: 1,
        process: Arc::new(identity()),
        time_ns: 5_000_000_001,
        learned: Learned {
            limit: 1_073_741_816,
            time_ns: 4_900_000_000,
            tgid: 7,
            tid: 7,
            how: LEARNED_READ,
            forks: 1,
        },
        learned_by: Some(Arc::new(stranger(7, b"uwsgi-master"))),
        element_bytes: 8,
        bytes: 8_589_938_688,
        total_bytes: 8_589_938_688,
        overhead_bytes: 4160,
        fit: Fit::Exact,
        lag_ns: Some(100_000_001),
        asked_by: Some(43),
        source: Source::Mmap,
        state: State::Mapped,
        signalled: false,
        result: 0x7f00_0000_0000,
        touched_bytes: 0,
        ordinal: 1,
        confidence: Confidence::High,
        reasons: vec![
            Reason { code: "exact_length", text: "the length is N x 8".into() },
            Reason { code: "inherited", text: "an ancestor read the limit".into() },
        ],
        origin: None,
        advice: "set max-fd = 1048576 in the uWSGI configuration".into(),
        last: false,
    }
}
