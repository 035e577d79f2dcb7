//! Confidence where lengths are round (the limits and buffers that people choose are powers of two, too), what a lost
//! record leaves unknown, and advice.

use std::sync::Arc;

use memwatch_ebpf::abi::event::{
    CloseSweep, Exit, FdTable, SOURCE_BRK, SOURCE_MMAP, TABLE_FAILED, TABLE_MAPPED, TABLE_TOUCHED,
};
use memwatch_ebpf::abi::header::Header;
use memwatch_ebpf::abi::state::{LEARNED_READ, LEARNED_SET, Learned};
use memwatch_ebpf::table::{Fit, explain_mapping};

use super::{Confidence, FdTables, Finding, Source};
use crate::core::fact::{Body, Event, Fact, Identity, ProcessKey};
use crate::core::origin::Origin;

/// The limit of the incident.
const HUGE: u64 = (1 << 30) - 8;
const LOOK_UP_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

#[derive(Clone)]
struct Case {
    exe: &'static str,
    limit: u64,
    how: u32,
    lag_ns: u64,
    lengths: Vec<u64>,
}

/// What `malloc` asks the kernel for.
const fn malloc(bytes: u64) -> u64 {
    (bytes + 16).next_multiple_of(4096)
}

impl Case {
    fn fact(&self, time_ns: u64, table: FdTable) -> Fact {
        let key = ProcessKey { tgid: 100, start_ns: 7 };
        let process = Arc::new(Identity {
            parent_tgid: Some(1),
            comm: b"main".to_vec(),
            uid: Some(0),
            exe: Some(self.exe.as_bytes().to_vec()),
            ..Identity::unknown(key)
        });
        let header = Header {
            time_ns,
            start_ns: key.start_ns,
            cgroup_id: 1,
            seq: 1,
            tgid: key.tgid,
            tid: key.tgid,
            uid: 0,
            parent_tgid: 1,
            cpu: 0,
            kind: 48,
            version: 1,
            len: 0,
            comm: [0; 16],
        };
        Fact { event: Event { header, body: Body::FdTable(table) }, process, other: None, domain: None }
    }

    /// The kernel side's records when all regions are mapped and then touched.
    fn records(&self) -> Vec<Fact> {
        let mut records = Vec::new();
        let mut table = FdTable {
            learned: Learned {
                limit: self.limit,
                time_ns: LOOK_UP_NS,
                tgid: 100,
                tid: 100,
                how: self.how,
                forks: 0,
            },
            result: 0x7f00_0000_0000,
            source: SOURCE_MMAP,
            state: TABLE_MAPPED,
            ..FdTable::default()
        };
        for &length in &self.lengths {
            let fits = explain_mapping(self.limit, length, 0).expect("a length that fits");
            table.ordinal += 1;
            table.total += length;
            table.length = length;
            (table.element, table.overhead, table.fit) = (fits.element, fits.overhead, fits.fit as u32);
            records.push(self.fact(LOOK_UP_NS + self.lag_ns, table));
        }
        (table.state, table.touched) = (TABLE_TOUCHED, table.total);
        records.push(self.fact(LOOK_UP_NS + self.lag_ns + 500 * MS, table));
        records
    }

    /// The last finding while nothing is touched, and the one after.
    fn mapped_and_touched(&self) -> [Finding; 2] {
        let found = findings(&self.records());
        found.last_chunk().expect("two findings").clone()
    }

    fn touched(&self) -> Finding {
        let [_, touched] = self.mapped_and_touched();
        touched
    }
}

fn findings(records: &[Fact]) -> Vec<Finding> {
    findings_from(64 << 20, records)
}

fn findings_from(min_table: u64, records: &[Fact]) -> Vec<Finding> {
    let mut detector = FdTables::new(min_table);
    let mut found = Vec::new();
    for record in records {
        detector.take(record, &mut found);
    }
    found
}

fn pointers(limit: u64, count: usize) -> Case {
    Case { exe: "/opt/server", limit, how: LEARNED_READ, lag_ns: MS, lengths: vec![malloc(limit * 8); count] }
}

#[test]
fn pointers_at_the_limit_of_the_incident_are_sure_in_any_program() {
    assert_eq!(pointers(HUGE, 1).touched().confidence, Confidence::High);
}

#[test]
fn a_huge_request_right_after_the_look_up_is_sure_though_round() {
    let at_once = Case { how: LEARNED_SET, ..pointers((1 << 28) - 8, 1) };
    assert_eq!(at_once.touched().confidence, Confidence::High);
    let late = Case { lag_ns: 10 * MS, ..at_once.clone() };
    assert_eq!(late.touched().confidence, Confidence::Medium, "2 GiB are asked for on other grounds too");
    let smaller = Case { how: LEARNED_SET, ..pointers((1 << 26) - 8, 1) };
    assert_eq!(smaller.touched().confidence, Confidence::Medium, "and so are 512 MiB, at any time");
}

#[test]
fn four_tables_of_pointers_are_no_arenas() {
    // As many as libvma keeps (report Mellanox/libvma#1063), here all mapped before the first is written.
    let [mapped, touched] = pointers(HUGE, 4).mapped_and_touched();
    assert_eq!(
        (mapped.ordinal, mapped.confidence),
        (4, Confidence::Medium),
        "address space may be reserved so"
    );
    assert_eq!((touched.ordinal, touched.confidence), (4, Confidence::High));
    assert_eq!(pointers(HUGE, 9).touched().confidence, Confidence::Low);
}

#[test]
fn a_touch_is_no_request() {
    let case = pointers(HUGE, 1);
    let records = case.records();
    let [mapped, touched] = case.mapped_and_touched();
    assert_eq!((mapped.lag_ns, touched.lag_ns), (Some(MS), Some(MS)));
    let [alone] = &findings(&records[1..])[..] else { panic!("one record, one finding") };
    assert_eq!(alone.lag_ns, None, "the record of the request was lost");
    assert!(alone.reasons.iter().all(|reason| !reason.code.starts_with("lag_")), "{:?}", alone.reasons);
    assert!(alone.confidence <= touched.confidence);
}

#[test]
fn at_a_small_limit_an_unknown_program_is_medium_at_best() {
    let small = pointers(20_000, 1);
    let touched = |case: &Case| findings_from(0, &case.records()).pop().expect("a finding").confidence;
    assert_eq!(touched(&small), Confidence::Low);
    let set = Case { how: LEARNED_SET, ..small.clone() };
    assert_eq!(touched(&set), Confidence::Medium);
    let mut swept = set.records();
    let sweep = CloseSweep { count: 19_997, ..CloseSweep::default() };
    let header = swept[0].event.header;
    swept.insert(0, Fact { event: Event { header, body: Body::CloseSweep(sweep) }, ..swept[0].clone() });
    assert_eq!(findings_from(0, &swept).pop().expect("a finding").confidence, Confidence::Medium);
}

#[test]
fn numbers_of_small_regions_are_arenas() {
    let case = Case {
        exe: "/opt/server",
        limit: 1 << 20,
        how: LEARNED_READ,
        lag_ns: MS,
        lengths: vec![malloc(64 << 20); 4],
    };
    assert_eq!(case.touched().confidence, Confidence::Low);
}

#[test]
fn round_buffers_are_never_sure() {
    // Both read and raise the limit at their start; neither keeps a table by it.
    for exe in ["/usr/lib/jvm/bin/java", "/usr/sbin/mysqld", "/usr/sbin/mariadbd", "/usr/bin/python3"] {
        for mib in [64, 128, 256, 1024] {
            let lengths = vec![malloc(mib << 20)];
            let case = Case { exe, limit: 1 << 20, how: LEARNED_SET, lag_ns: 100 * MS, lengths };
            let found = case.touched();
            assert!(found.confidence <= Confidence::Medium, "{exe}, {mib} MiB: {:?}", found.reasons);
        }
    }
}

#[test]
fn advice_says_what_the_lower_limit_would_cost() {
    for (limit, length, overhead, gain) in [
        (20_000, 163_840, 3840, "(8.0 KiB instead of 160.0 KiB)"),
        (HUGE, malloc(HUGE * 8), malloc(HUGE * 8) - HUGE * 8, "(8.0 MiB instead of 8.0 GiB)"),
        // A table that ended at 2^27 slots, as Erlang's do, is proportional to those.
        (HUGE, 1 << 30, 0, "(8.0 MiB instead of 1.0 GiB)"),
    ] {
        let learned = Learned { limit, how: LEARNED_READ, ..Learned::default() };
        let table = FdTable { learned, element: 8, length, total: length, overhead, ..FdTable::default() };
        let process = Identity { cgroup_path: None, ..(*pointers(limit, 0).fact(0, table).process).clone() };
        let advice = super::advice::advise(&process, None, None, &table);
        assert!(advice.contains(gain), "{advice}");
    }
}

#[test]
fn a_users_service_is_edited_with_the_users_manager() {
    let learned = Learned { limit: HUGE, how: LEARNED_READ, ..Learned::default() };
    let table = FdTable { learned, element: 8, length: 8 << 30, total: 8 << 30, ..FdTable::default() };
    let advice = |path: &str| {
        let case =
            Case { exe: "/opt/server", limit: HUGE, how: LEARNED_READ, lag_ns: MS, lengths: Vec::new() };
        let fact = case.fact(LOOK_UP_NS, FdTable::default());
        let process = Identity {
            cgroup_path: Some(path.into()),
            unit: Some("x.service".into()),
            ..(*fact.process).clone()
        };
        super::advice::advise(&process, None, None, &table)
    };
    assert!(advice("/system.slice/x.service").contains("`systemctl edit x.service`"));
    assert!(
        advice("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service")
            .contains("`systemctl --user edit x.service`")
    );
}

#[test]
fn the_last_report_of_a_refused_request_is_of_the_programs_own() {
    let case = pointers(HUGE, 1);
    let mut records = case.records();
    records.truncate(1);
    let record = records.first().cloned().expect("a record");
    let Body::FdTable(asked) = record.event.body else { panic!("a table") };
    // malloc asks by mmap, and when that is refused by brk, with its padding on top.
    let refused = |ordinal, length, source, fit| FdTable {
        ordinal,
        length,
        source,
        fit,
        total: 0,
        state: TABLE_FAILED,
        result: -12,
        ..asked
    };
    let first = refused(1, asked.length, SOURCE_MMAP, asked.fit);
    let again = refused(2, asked.length + 132 * 1024, SOURCE_BRK, Fit::Heap as u32);
    let mut exit = case.fact(LOOK_UP_NS + 2 * MS, first);
    exit.event.body = Body::Exit(Exit { status: 6, ..Exit::default() });
    let found = findings(&[case.fact(LOOK_UP_NS, first), case.fact(LOOK_UP_NS + MS, again), exit]);
    let last = found.last().expect("a last report");
    assert!(last.last);
    assert_eq!((last.ordinal, last.source, last.bytes), (1, Source::Mmap, asked.length));
}

#[test]
fn one_region_of_many_keeps_its_number() {
    let case =
        Case { lengths: (0..40).map(|more| malloc((8 + 8 * more) * HUGE)).collect(), ..pointers(HUGE, 1) };
    let records = case.records();
    let (touched, asked) = records.split_last().expect("records");
    let found = findings(&[asked, &[touched.clone(), touched.clone()]].concat());
    let ids: Vec<u64> = found.iter().map(|finding| finding.id).collect();
    let expected: Vec<u64> = (1..=40).chain([40, 40]).collect();
    assert_eq!(ids, expected);
}

#[test]
fn only_a_table_that_was_granted_is_watched() {
    let case = pointers(HUGE, 1);
    let Some(mapped) = case.records().first().cloned() else { panic!("no record") };
    let Body::FdTable(table) = mapped.event.body else { panic!("no table") };
    let mut sweep = mapped.clone();
    sweep.event.body = Body::CloseSweep(CloseSweep { count: 5000, limit: HUGE, ..CloseSweep::default() });
    let refused = case.fact(LOOK_UP_NS, FdTable { state: TABLE_FAILED, result: -12, ..table });
    let mut detector = FdTables::new(0);
    for (fact, is_watching) in [(sweep, false), (refused, false), (mapped, true)] {
        detector.take(&fact, &mut Vec::new());
        assert_eq!(detector.is_watching(), is_watching);
    }
}

#[test]
fn a_table_that_is_touched_is_watched_no_longer() {
    let case = pointers(HUGE, 1);
    let Some(mapped) = case.records().first().cloned() else { panic!("no record") };
    let Body::FdTable(table) = mapped.event.body else { panic!("no table") };
    let total = table.total;
    let touched = |touched| case.fact(LOOK_UP_NS, FdTable { state: TABLE_TOUCHED, touched, ..table });
    let another = FdTable { ordinal: 2, total: 2 * total, touched: total, ..table };
    let another = case.fact(LOOK_UP_NS, another);
    let mut detector = FdTables::new(0);
    for (fact, is_watching) in
        [(mapped, true), (touched(total / 2), true), (touched(total - total / 64), false), (another, true)]
    {
        detector.take(&fact, &mut Vec::new());
        assert_eq!(detector.is_watching(), is_watching, "{:?}", fact.event.body);
    }
}

#[test]
fn an_aligned_table_is_medium_at_most() {
    let length = (1_000_003 * 8 + 65_536 + 56_u64).next_multiple_of(4096);
    let case = Case { lengths: vec![length], ..pointers(1_000_003, 1) };
    let found = findings_from(0, &case.records());
    let last = found.last().expect("a finding");
    assert_eq!((last.fit, last.element_bytes), (Fit::Aligned, 8));
    assert_eq!(last.overhead_bytes, length - 1_000_003 * 8);
    assert!(last.confidence <= Confidence::Medium, "{:?}", last.reasons);
}

#[test]
fn advice_names_where_the_limit_comes_from() {
    let records = pointers(HUGE, 1).records();
    let mut detector = FdTables::new(64 << 20);
    let mut found = Vec::new();
    let learned = detector.lacks_origin(&records[0]).expect("a table that will be reported");
    assert_eq!(learned.limit, HUGE);
    detector.set_origin(&records[0], Some(Origin::Inherited { from: 50, comm: b"sh".to_vec() }));
    for record in &records {
        assert_eq!(detector.lacks_origin(record), None, "asked once");
        detector.take(record, &mut found);
    }
    assert_eq!(found.len(), 2);
    for finding in &found {
        assert!(finding.advice.contains("inherited from process 50 (sh)"), "{}", finding.advice);
    }
    let asked = |min_table| FdTables::new(min_table).lacks_origin(&records[0]).is_some();
    assert!(asked(8 << 30) && !asked(9 << 30), "only of what is reported");
    let unit = Origin::Setting { unit: Some("x.service".into()), file: "/etc/x".into() };
    let mut finding = found.remove(0);
    finding.set_origin(Some(unit));
    assert!(finding.advice.contains("LimitNOFILE of x.service in /etc/x"), "{}", finding.advice);
}

#[test]
fn those_that_end_unseen_are_looked_for_in_turn() {
    let mut detector = FdTables::new(0);
    for tgid in 1..=150 {
        let key = ProcessKey { tgid, start_ns: 1 };
        detector.processes.insert(key, super::Process::default());
    }
    let ended = |key: ProcessKey| key.tgid.is_multiple_of(2);
    detector.forget_ended(ended);
    assert_eq!(detector.tracked(), 150 - 32, "a few at a time");
    detector.forget_ended(ended);
    detector.forget_ended(ended);
    assert_eq!(detector.tracked(), 75);
    detector.forget_ended(|key| key.tgid == 1);
    assert_eq!(detector.tracked(), 74, "from the first again");
}
