//! Every kind round, every wrong number named, any bytes survived, the corpus replayed.

use std::path::PathBuf;

use memwatch_ebpf::abi::event::*;
use memwatch_ebpf::abi::state::LEARNED_READ;
use proptest::prelude::*;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::*;

fn record<T: IntoBytes + Immutable>(kind: Kind, body: &T) -> Vec<u8> {
    let mut header = Header::new_zeroed();
    (header.time_ns, header.tgid, header.kind, header.version) = (7, 42, kind as u16, VERSION);
    header.len = size_of::<Record<T>>() as u16;
    [header.as_bytes(), body.as_bytes()].concat()
}

fn zeroed<T: IntoBytes + Immutable + FromZeros>(kind: Kind, set: impl FnOnce(&mut T)) -> Vec<u8> {
    let mut body = T::new_zeroed();
    set(&mut body);
    record(kind, &body)
}

/// A record that decodes, of each kind.
fn sound(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Mmap | Kind::Munmap | Kind::Mremap | Kind::Brk => {
            zeroed::<Mapping>(kind, |body| body.length = 4096)
        }
        Kind::Fault => zeroed::<Fault>(kind, |body| body.addr = UNKNOWN),
        Kind::Rss => zeroed::<Rss>(kind, |body| body.limit = 1),
        Kind::RlimitRead | Kind::RlimitSet => {
            zeroed::<Rlimit>(kind, |body| (body.resource, body.has) = (7, RLIMIT_HAS_OLD))
        }
        Kind::FdTableGrowth => zeroed::<FdTableGrowth>(kind, |body| body.new_slots = 1024),
        Kind::CloseSweep => zeroed::<CloseSweep>(kind, |body| body.phase = SWEEP_END),
        Kind::FdTable => zeroed::<FdTable>(kind, |body| {
            (body.state, body.source, body.fit) = (TABLE_MAPPED, SOURCE_BRK, Fit::Heap as u32);
            body.learned.how = LEARNED_READ;
        }),
        Kind::Action => zeroed::<Action>(kind, |body| body.what = ACTION_REFUSE),
        Kind::OomKill => zeroed::<OomKill>(kind, |body| body.domain = OOM_HOST),
        Kind::Exec => zeroed::<Exec>(kind, |body| body.args_len = ARGS_LEN as u32),
        Kind::Fork => zeroed::<Fork>(kind, |body| body.tgid = 43),
        Kind::Exit => zeroed::<Exit>(kind, |body| body.status = 256),
    }
}

#[test]
fn every_kind() {
    for kind in Kind::ALL {
        let mut bytes = sound(kind);
        let event = decode(&bytes).expect("a record");
        assert_eq!((event.body.kind(), event.header.tgid), (kind, 42));
        bytes.extend([0xff; 7]);
        assert_eq!(decode(&bytes), Ok(event), "the ring buffer rounds up to 8");
    }
}

#[test]
fn cut_short() {
    for kind in Kind::ALL {
        let bytes = sound(kind);
        for have in 0..bytes.len() {
            let expected = if have < size_of::<Header>() {
                DecodeError::Short { have }
            } else {
                DecodeError::Truncated { kind, have, expected: bytes.len() }
            };
            assert_eq!(decode(&bytes[..have]), Err(expected));
        }
    }
}

#[test]
fn headers_that_lie() {
    let sound = sound(Kind::Mmap);
    let with = |at: usize, value: u16| {
        let mut bytes = sound.clone();
        bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        decode(&bytes).expect_err("a refusal")
    };
    let kind = core::mem::offset_of!(Header, kind);
    assert_eq!(with(kind, 999), DecodeError::Kind { found: 999 });
    assert_eq!(with(core::mem::offset_of!(Header, version), 9), DecodeError::Version { found: 9 });
    let expected = sound.len();
    for said in [0, expected as u16 - 1, expected as u16 + 1, u16::MAX] {
        let length = DecodeError::Length { kind: Kind::Mmap, said, expected };
        assert_eq!(with(core::mem::offset_of!(Header, len), said), length);
    }
}

#[test]
fn numbers_nobody_gave() {
    let table = |set: fn(&mut FdTable)| {
        zeroed::<FdTable>(Kind::FdTable, |body| {
            (body.state, body.source, body.fit, body.learned.how) = (1, 1, 1, 1);
            set(body);
        })
    };
    for (bytes, kind, field, value) in [
        (table(|body| body.state = 5), Kind::FdTable, "state", 5),
        (table(|body| body.source = 0), Kind::FdTable, "source", 0),
        (table(|body| body.fit = 6), Kind::FdTable, "fit", 6),
        (table(|body| body.learned.how = 9), Kind::FdTable, "way of learning a limit", 9),
        (zeroed::<CloseSweep>(Kind::CloseSweep, |body| body.phase = 0), Kind::CloseSweep, "phase", 0),
        (zeroed::<Action>(Kind::Action, |body| body.what = 5), Kind::Action, "action", 5),
        (zeroed::<OomKill>(Kind::OomKill, |body| body.domain = 3), Kind::OomKill, "domain", 3),
        (zeroed::<Rlimit>(Kind::RlimitSet, |body| body.has = 8), Kind::RlimitSet, "set of known limits", 8),
        (
            zeroed::<Exec>(Kind::Exec, |body| body.args_len = 513),
            Kind::Exec,
            "length of the kept arguments",
            513,
        ),
    ] {
        assert_eq!(decode(&bytes), Err(DecodeError::Number { kind, field, value }));
    }
}

/// What the corpus expects of bytes: the kind, or the error.
fn verdict(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(event) => format!("{:?}\n", event.body.kind()),
        Err(error) => format!("{error}\n"),
    }
}

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/decode"))
}

/// Seeds: a sound record of every kind and one of each fault. `UPDATE=1` writes them anew.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> =
        Kind::ALL.into_iter().map(|kind| (format!("{kind:?}").to_lowercase(), sound(kind))).collect();
    let exit = sound(Kind::Exit);
    let patched = |at: usize, byte: u8| {
        let mut bytes = exit.clone();
        bytes[at] = byte;
        bytes
    };
    seeds.extend([
        ("empty".to_owned(), Vec::new()),
        ("header_cut".to_owned(), exit[..71].to_vec()),
        ("payload_cut".to_owned(), exit[..100].to_vec()),
        ("rounded_up".to_owned(), [exit.as_slice(), &[0xff; 7]].concat()),
        ("other_kind".to_owned(), patched(core::mem::offset_of!(Header, kind), 0)),
        ("other_version".to_owned(), patched(core::mem::offset_of!(Header, version), 0)),
        ("other_length".to_owned(), patched(core::mem::offset_of!(Header, len), 0)),
        ("all_ones".to_owned(), vec![0xff; 256]),
    ]);
    seeds
}

#[test]
fn corpus_replayed() {
    let folder = corpus();
    if std::env::var_os("UPDATE").is_some() {
        for (name, bytes) in seeds() {
            std::fs::write(folder.join(&name), &bytes).expect("a writable corpus");
            std::fs::write(folder.join(format!("{name}.expect")), verdict(&bytes))
                .expect("a writable corpus");
        }
    }
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "expect") {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("expect")).expect("its verdict");
        assert_eq!(verdict(&std::fs::read(&path).expect("its bytes")), expected, "{}", path.display());
        replayed += 1;
    }
    assert!(replayed >= seeds().len(), "only {replayed} files in {}", folder.display());
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_sound_header(index in 0..Kind::ALL.len(), noise: [u8; 32], at in 72usize..400) {
        let mut bytes = sound(Kind::ALL[index]);
        for (byte, noise) in bytes.iter_mut().skip(at).zip(noise) {
            *byte = noise;
        }
        if let Ok(event) = decode(&bytes) {
            prop_assert_eq!(event.body.kind(), Kind::ALL[index]);
        }
    }
}
