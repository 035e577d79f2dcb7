//! What stands is weighed like what is seen asked for, and never surer.

use super::*;
use crate::core::detect::fd_table::{Confidence, State};
use crate::core::fact::ProcessKey;

const HUGE: u64 = (1 << 30) - 8;

fn process(exe: &str, args: &[&str]) -> Arc<Identity> {
    Arc::new(Identity {
        parent_tgid: Some(1),
        comm: b"main".to_vec(),
        uid: Some(0),
        exe: Some(exe.into()),
        args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        ..Identity::unknown(ProcessKey { tgid: 100, start_ns: 7 })
    })
}

fn finding(exe: &str, limit: u64, lengths: &[u64], touched: Option<u64>) -> Option<Finding> {
    let identity = process(exe, &[]);
    let mut areas = Areas::default();
    for &length in lengths {
        let limits = Limits { soft: limit, hard: limit };
        if let Some(area) =
            Area::explained(0x7000_0000_0000, length, false, limits, known_elements(&identity))
        {
            areas.add(Area { touched, ..area });
        }
    }
    areas.appraise(&identity, 5)
}

fn malloc(bytes: u64) -> u64 {
    (bytes + 16).next_multiple_of(4096)
}

fn codes(finding: &Finding) -> Vec<&'static str> {
    finding.reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn the_table_of_the_incident_is_found_alone_and_among_neighbours() {
    for beside in [0, 300 << 10] {
        let length = malloc(HUGE * 8) + beside;
        let known = finding("/usr/bin/uwsgi", HUGE, &[length], Some(length)).expect("a table");
        assert_eq!((known.element_bytes, known.state), (8, State::Touched));
        assert_eq!(known.confidence, Confidence::High, "{:?}", known.reasons);
        assert!(known.advice.contains("max-fd"));
        let unknown = finding("/opt/server", HUGE, &[length], Some(length)).expect("a table");
        assert_eq!(unknown.confidence, Confidence::Medium, "{:?}", unknown.reasons);
        assert!(codes(&unknown).contains(&"limit_in_force"), "{:?}", unknown.reasons);
        assert_eq!(unknown.lag_ns, None);
    }
}

#[test]
fn tables_side_by_side_are_known_by_their_sum() {
    // slapd keeps 56 and 664 bytes per descriptor; the kernel shows one area.
    let length = malloc((1 << 20) * 56) + malloc((1 << 20) * 664);
    let found = finding("/usr/sbin/slapd", 1 << 20, &[length], Some(length)).expect("a table");
    assert_eq!(found.element_bytes, 720);
    assert!(codes(&found).contains(&"program_known"), "{:?}", found.reasons);
    assert!(found.confidence >= Confidence::Medium, "{:?}", found.reasons);
}

#[test]
fn other_memory_may_have_joined_the_tables() {
    // Seen of HAProxy on Debian 12 with kernel 5.10, at a limit of 65,003: 128 + 16 + 16 + 4 bytes per descriptor, and more.
    let found = finding("/usr/sbin/haproxy", 65_003, &[11_980_800], Some(8_400_896)).expect("a table");
    assert!(codes(&found).contains(&"program_known"), "{:?}", found.reasons);
    let found = finding("/usr/sbin/haproxy", 1 << 20, &[(164 << 20) + (2 << 20)], None).expect("a table");
    assert_eq!(found.element_bytes, 164);
    assert_eq!(
        finding("/usr/sbin/haproxy", 1 << 20, &[(164 << 20) + (5 << 20)], None),
        None,
        "too much of it"
    );
    assert_eq!(
        finding("/opt/server", 1 << 20, &[(164 << 20) + (2 << 20)], None),
        None,
        "of an unknown program"
    );
}

#[test]
fn a_low_limit_explains_every_length() {
    let found = finding("/usr/sbin/rpcbind", 20_000, &[184_320], Some(0)).expect("an area that fits");
    assert_eq!((found.confidence, found.state), (Confidence::Low, State::Mapped));
    assert_eq!(finding("/opt/server", 20_000, &[184_320], Some(0)), None, "of an unknown program");
}

#[test]
fn unknown_residence_is_not_zero() {
    let length = malloc(HUGE * 8);
    let found = finding("/opt/server", HUGE, &[length], None).expect("a table");
    assert!(codes(&found).contains(&"residence_unknown"), "{:?}", found.reasons);
    assert_eq!((found.state, found.lag_ns), (State::Mapped, None));
}

#[test]
fn arenas_come_in_numbers() {
    let found = finding("/opt/server", 1 << 20, &[64 << 20; 100], Some(0)).expect("areas that fit");
    assert_eq!((found.confidence, found.total_bytes), (Confidence::Low, 6400 << 20));
    let mut areas = Areas::default();
    let limits = Limits { soft: 1 << 20, hard: 1 << 20 };
    for n in 1..=100 {
        areas.add(Area::explained(n << 40, n * (8 << 20), false, limits, &[]).expect("a multiple of 8"));
    }
    assert_eq!(areas.kept_mut().len(), AREAS_MAX);
    assert!(areas.kept_mut().iter().any(|area| area.length == 800 << 20), "the largest are kept");
}

#[test]
fn the_hard_limit_counts_for_less() {
    let length = malloc(HUGE * 8);
    let limits = Limits { soft: 1024, hard: HUGE };
    let mut areas = Areas::default();
    areas.add(Area::explained(1 << 40, length, false, limits, &[]).expect("a table"));
    let found = areas.appraise(&process("/opt/server", &[]), 5).expect("a finding");
    assert!(codes(&found).contains(&"limit_hard"), "{:?}", found.reasons);
    assert_eq!(found.learned.limit, HUGE);
}

#[test]
fn what_a_program_would_ask_for() {
    let uwsgi = process("/usr/bin/uwsgi-core", &["uwsgi", "--http", ":80"]);
    let expected = Expectation::of(uwsgi.exe.as_deref(), b"").expect("a known program");
    assert_eq!((expected.program(), expected.bytes(HUGE)), ("uWSGI", HUGE * 8));
    assert!(!expected.is_bounded_by(&uwsgi.args));
    for bounded in [&["uwsgi", "--max-fd", "4096"][..], &["uwsgi", "--max-fd=4096"]] {
        assert!(expected.is_bounded_by(&process("", bounded).args), "{bounded:?}");
    }
    assert!(!expected.is_bounded_by(&process("", &["uwsgi", "--max-fdx", "1"]).args));
    let erlang = Expectation::of(Some(b"/usr/lib/erlang/bin/beam.smp"), b"").expect("a known program");
    assert_eq!(erlang.bytes(HUGE), 2 << 30, "2^27 slots at most");
    assert!(Expectation::of(Some(b"/sbin/rpcbind"), b"").is_none(), "never touches its table");
    assert!(Expectation::of(Some(b"/usr/bin/java"), b"").is_none(), "no element is known");
    assert!(Expectation::of(Some(b"/bin/sleep"), b"uwsgi").is_none(), "the executable decides");
    assert!(Expectation::of(None, b"uwsgi").is_some());
}
