//! Every kind as a person sees it.

use std::sync::Arc;

use memwatch_ebpf::abi::event::Kind;
use proptest::prelude::*;

use super::*;
use crate::core::detect::fd_table::{Reason, State};
use crate::core::fact::Fact;
use crate::core::origin::Origin;
use crate::export::{escape, samples};

fn table(width: usize, coloured: bool) -> Table {
    Table::with_clock(Clock::new(samples::BOOT_UNIX_NS), width, coloured)
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn line(fact: &Fact, width: usize) -> String {
    let text = text(|out| table(width, false).fact(fact, out));
    text.lines().nth(1).expect("a line under the titles").to_owned()
}

#[test]
fn every_kind_in_words() {
    for (kind, details) in [
        (Kind::Mmap, "mapped 8.0 GiB at 0x7f0000000000, PROT_READ|PROT_WRITE MAP_PRIVATE|MAP_ANONYMOUS"),
        (Kind::Munmap, "gave back 8.0 KiB at 0x1000: failed, EINVAL"),
        (Kind::Mremap, "resized 4.0 KiB to 8.0 KiB at 0x1000: failed, ENOMEM"),
        (Kind::Brk, "heap shrank by 4.0 KiB to 0x5000"),
        (Kind::Fault, "major fault, so far 3 major and about 640 minor"),
        (Kind::Rss, "6.0 MiB resident, over 5.0 MiB: anon 3.0 MiB, file 2.0 MiB, shmem 1.0 MiB"),
        (Kind::RlimitRead, "nofile: soft 1048576, hard unlimited"),
        (Kind::RlimitSet, "nofile of process 50: soft 1048576, hard unlimited, set to soft 1024, hard 4096"),
        (Kind::FdTableGrowth, "kernel's descriptor table grew from 64 to 1024 slots, 8.1 KiB"),
        (Kind::CloseSweep, "65533 closes of descriptors that are not open in 2.5 s, limit 65536 (end)"),
        (Kind::Action, "rule 5: signal_mapped SIGTERM at 8.0 GiB, bound 1.0 GiB: failed, EPERM"),
        (Kind::Exec, "/usr/bin/uwsgi: uwsgi --http :80"),
        (Kind::Fork, "made process 44"),
        (
            Kind::Exit,
            "killed by SIGSEGV, core dumped, mapped 1 B, max RSS 64.0 MiB, fd tables 8.0 GiB (4.0 KiB touched)",
        ),
    ] {
        let name = Name::Of(kind).as_str().trim_start_matches("memwatch.");
        let expected = format!("22:13:25.000      42 uwsgi           {name:<14} {details}");
        assert_eq!(line(&samples::fact(kind), 200), expected);
    }
    let mut exec = samples::fact(Kind::Exec);
    Arc::make_mut(&mut exec.process).args_cut = true;
    assert!(line(&exec, 200).ends_with("/usr/bin/uwsgi: uwsgi --http :80 …"));
    let foreign = line(&samples::of_foreign_target(Kind::RlimitSet), 200);
    assert!(foreign.contains("  nofile of another process in its pid namespace: soft 1048576"), "{foreign}");
    let oom = line(&samples::fact(Kind::OomKill), 300);
    assert!(
        oom.starts_with("22:13:25.000      77 victim          oom_kill       killed for lack of memory"),
        "{oom}"
    );
    assert!(
        oom.ends_with("; cgroup /system.slice at 1.0 GiB of 1.0 GiB; triggered by 42 uwsgi http"),
        "{oom}"
    );
    assert!(text(|out| table(80, false).fact(&samples::fact(Kind::FdTable), out)).is_empty());
}

#[test]
fn a_container_is_told_by_its_names_where_they_are_known() {
    let named =
        |finding| text(|out| table(110, false).with_containers(samples::containers()).finding(finding, out));
    let shown = named(&samples::finding());
    let place = "container app (registry.example/app:1.2) of pod shop/web-0";
    let joined = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains(&format!("--http :80, {place}")), "{shown}");
}

#[test]
fn lines_fit_the_terminal() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::FdTable) {
        let shown = text(|out| table(80, false).fact(&samples::fact(kind), out));
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{kind:?}: {shown}");
        let is_cut = shown.contains('…');
        assert!(!is_cut || kind == Kind::Exec, "{kind:?}: {shown}");
    }
}

#[test]
fn a_finding_ends_in_advice() {
    let shown = text(|out| table(110, false).finding(&samples::finding(), out));
    let lines: Vec<_> = shown.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "22:13:25.000      42 uwsgi           fd_table       8.0 GiB mapped, 0 B touched (high confidence)",
            "    table    one slot per descriptor: 1073741816 x 8 bytes + 4160 over = 8.0 GiB by mmap (exact fit)",
            "    limit    1073741816 read by process 7 (uwsgi-master), 1 fork before, 100.0 ms before the memory was asked",
            "             for",
            "    process  /usr/bin/uwsgi --http :80, container abc of pod 1-2-3",
            "    because  the length is N x 8; an ancestor read the limit",
            "    advice   set max-fd = 1048576 in the uWSGI configuration",
        ]
    );
}

#[test]
fn a_narrow_terminal_shows_all_of_a_finding() {
    let shown = text(|out| table(80, false).finding(&samples::finding(), out));
    let lines: Vec<_> = shown.lines().skip(1).take(2).collect();
    assert_eq!(
        lines,
        [
            "22:13:25.000      42 uwsgi           fd_table       8.0 GiB mapped, 0 B touched",
            "                                                    (high confidence)",
        ]
    );
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn an_update_tells_what_is_new() {
    let mut table = table(110, false);
    let mut update = samples::finding();
    update.reasons.push(Reason { code: "touched_partly", text: "the process's memory grew".into() });
    (update.state, update.touched_bytes) = (State::Touched, 1 << 30);
    let mut end = update.clone();
    end.reasons.push(Reason { code: "ended_by_oom", text: "the kernel killed the process".into() });
    (end.last, end.touched_bytes) = (true, 2 << 30);
    table.finding(&samples::finding(), &mut Vec::new());
    let shown = text(|out| {
        table.finding(&update, out);
        table.finding(&Finding { touched_bytes: 2 << 30, ..update.clone() }, out);
        table.finding(&end, out);
    });
    let lines: Vec<_> =
        shown.lines().map(|line| line.split_once("fd_table       ").map_or(line, |(_, said)| said)).collect();
    assert_eq!(
        lines,
        [
            "8.0 GiB mapped, 1.0 GiB touched (high confidence)",
            "    because  the process's memory grew",
            "8.0 GiB mapped, 2.0 GiB touched (high confidence)",
            "8.0 GiB mapped, 2.0 GiB touched (high confidence, process",
            "                                                    ended)",
            "    because  the kernel killed the process",
        ]
    );
    let other = Finding { id: 2, ..samples::finding() };
    assert!(text(|out| table.finding(&other, out)).contains("advice"), "another finding is told in full");
}

#[test]
fn a_refused_table_says_so() {
    let mut finding = samples::finding();
    (finding.state, finding.result, finding.last) = (State::Failed, -12, true);
    let shown = text(|out| table(130, false).finding(&finding, out));
    assert!(shown.contains("8.0 GiB refused with ENOMEM (high confidence, process ended)\n"), "{shown}");
}

#[test]
fn the_limit_s_origin_is_told_and_harms_no_terminal() {
    let mut finding = samples::finding();
    finding.set_origin(Some(Origin::Inherited { from: 7, comm: b"\x1b[31mred".to_vec() }));
    let shown = text(|out| table(200, false).finding(&finding, out));
    let said = "inherited from process 7 (\\x1b[31mred), the eldest ancestor that has it";
    assert_eq!(shown.matches(said).count(), 2, "under limit and in the advice: {shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
}

#[test]
fn a_lost_request_has_no_time() {
    let finding = Finding { lag_ns: None, ..samples::finding() };
    let shown = text(|out| table(130, false).finding(&finding, out));
    assert!(shown.contains("1073741816 read by process 7 (uwsgi-master), 1 fork before\n"), "{shown}");
}

#[test]
fn colours_only_when_told() {
    let finding = samples::finding();
    assert!(!text(|out| table(100, false).finding(&finding, out)).contains('\x1b'));
    assert!(text(|out| table(100, true).finding(&finding, out)).contains("\x1b[1;31mfd_table"));
}

#[test]
fn titles_come_once() {
    let mut table = table(200, false);
    let shown = text(|out| {
        for count in 1..3 {
            table.lost(&Loss { time_ns: 0, kind: "ring_full", count, total: 5 }, out);
        }
    });
    assert_eq!(shown.matches("DETAILS").count(), 1);
    assert!(
        shown.ends_with("2 ring_full, 5 since the start: records for which the ring buffer had no room\n"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_name_steers_the_terminal(bytes: Vec<u8>, args: Vec<Vec<u8>>, width in 0usize..200) {
        let mut identity = samples::identity();
        (identity.comm, identity.exe, identity.args) = (bytes.clone(), Some(bytes.clone()), args);
        identity.unit = Some(String::from_utf8_lossy(&bytes).into_owned());
        let identity = Arc::new(identity);
        let mut finding = samples::finding();
        (finding.process, finding.learned_by) = (Arc::clone(&identity), Some(Arc::clone(&identity)));
        let shown = text(|out| {
            let mut table = table(width, false);
            table.finding(&finding, out);
            for kind in [Kind::Exec, Kind::OomKill] {
                let fact = Fact { process: Arc::clone(&identity), other: Some(Arc::clone(&identity)), ..samples::fact(kind) };
                table.fact(&fact, out);
            }
        });
        prop_assert!(!shown.chars().any(|c| c != '\n' && escape::is_unsafe(c)));
    }
}
