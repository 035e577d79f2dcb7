//! A run looked back at, for a person.

use std::io::Write;

use memwatch_ebpf::abi::event::UNKNOWN;

use super::schema::Name;
use super::table::layout::{Layout, cut, cut_front};
use super::wrap::wrap;
use super::{Summary, TopCgroup, TopProcess, escape, lost_kinds, table};
use crate::core::quantity::{Bytes, Counted, Nanos};

/// Appends a formatted line. Writing to a Vec cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{ let _ = writeln!($out, $($text)*); }};
}

/// Appends the summary.
pub(super) fn push(summary: &Summary, layout: Layout, out: &mut Vec<u8>) {
    let total: u64 = summary.events.iter().map(|(_, count)| count).sum();
    line!(out, "\n{} in {}", Counted(total, "event"), Nanos(summary.duration_ns));
    for (kind, count) in &summary.events {
        let name = Name::Of(*kind).as_str();
        line!(out, "  {:<14} {count:>10}", name.strip_prefix("memwatch.").unwrap_or(name));
    }
    losses(summary, layout, out);
    top(&summary.top, layout, out);
    cgroups(&summary.cgroups, layout, out);
    findings(summary, layout, out);
}

/// Losses are stated even when there are none: silence could mean that nobody counted.
fn losses(summary: &Summary, layout: Layout, out: &mut Vec<u8>) {
    let mut lost = summary.losses.iter().filter(|loss| loss.total > 0).peekable();
    match (lost.peek().is_none(), summary.hooks_missing.as_slice()) {
        (true, []) => line!(out, "nothing lost"),
        (true, missing) => {
            let text = format!(
                "nothing lost of what the attached hooks saw; not attached: {} (`memwatch doctor` tells what that loses)",
                missing.join(", ")
            );
            wrap(&text, (0, 2), layout.width(), out);
        }
        (false, _) => line!(out, "lost"),
    }
    for loss in lost {
        let meaning = lost_kinds::find(loss.kind).map_or("", |kind| kind.meaning);
        let _ = write!(out, "  {:<22} {:>10}  ", loss.kind, loss.total);
        layout.wrap(meaning, 2 + 22 + 1 + 10 + 2, out);
    }
}

fn top(processes: &[TopProcess], layout: Layout, out: &mut Vec<u8>) {
    if processes.is_empty() {
        return;
    }
    let room = layout.room(2 + 7 + 1 + 4 * 11 + 9 + 7, 8, 15);
    line!(
        out,
        "processes by memory asked for\n  {:>7} {:<room$} {:>10} {:>10} {:>10} {:>10} {:>8} {:>6}",
        "PID",
        "COMM",
        "MAPPED",
        "ANON",
        "FILE",
        "SHMEM",
        "MINOR",
        "MAJOR"
    );
    for process in processes {
        let resident = process.resident.map(|resident| [resident.anon, resident.file, resident.shmem]);
        let [anon, file, shmem] = resident.unwrap_or([UNKNOWN; 3]).map(size);
        line!(
            out,
            "  {:>7} {:<room$} {:>10} {anon:>10} {file:>10} {shmem:>10} {:>8} {:>6}",
            process.identity.key.tgid,
            cut(&name(&process.identity.comm), room),
            size(process.mapped_bytes),
            process.minor_faults,
            process.major_faults
        );
    }
}

fn cgroups(cgroups: &[TopCgroup], layout: Layout, out: &mut Vec<u8>) {
    if cgroups.is_empty() {
        return;
    }
    line!(
        out,
        "cgroups by memory asked for\n  {:>10} {:>10} {:>9} {:>8}  {}",
        "MAPPED",
        "FREED",
        "MINOR",
        "MAJOR",
        "CGROUP"
    );
    for cgroup in cgroups {
        let path =
            cgroup.path.as_deref().map_or_else(|| format!("id {}", cgroup.id), |path| name(path.as_bytes()));
        let room = layout.room(2 + 11 + 11 + 10 + 8 + 2, 20, usize::MAX);
        let path = cut_front(&path, room);
        line!(
            out,
            "  {:>10} {:>10} {:>9} {:>8}  {path}",
            size(cgroup.mapped_bytes),
            size(cgroup.freed_bytes),
            cgroup.minor_faults,
            cgroup.major_faults
        );
    }
}

/// That there was none is said only as far as it would have been seen.
fn findings(summary: &Summary, layout: Layout, out: &mut Vec<u8>) {
    let missing = match summary.table_hooks_missing.as_slice() {
        [] => String::new(),
        [one] => format!("; hook {one} is not attached: fd tables may go unnoticed"),
        several => format!("; hooks {} are not attached: fd tables may go unnoticed", several.join(", ")),
    };
    let said = match (summary.findings.is_empty(), summary.min_table) {
        (true, None) if summary.has_rule => {
            format!("fd tables are not told of, only acted on: --event leaves fd_table out{missing}")
        }
        (true, None) => "fd tables were not looked for: --event leaves fd_table out".to_owned(),
        (true, Some(0)) => format!("no fd table found{missing}"),
        (true, Some(floor)) => format!("no fd table of {} or more found{missing}", Bytes(floor)),
        (false, _) => format!("fd tables{missing}"),
    };
    wrap(&said, (0, 2), layout.width(), out);
    for finding in &summary.findings {
        let _ = write!(out, "  {:>7} {:<15} ", finding.process.key.tgid, name(&finding.process.comm));
        let mut headline = Vec::new();
        table::push_headline(finding, &mut headline);
        layout.wrap(&String::from_utf8_lossy(&headline), 2 + 7 + 1 + 15 + 1, out);
        out.extend_from_slice(b"          ");
        layout.wrap(&format!("advice: {}", name(finding.advice.as_bytes())), 10, out);
    }
}

fn size(bytes: u64) -> String {
    if bytes == UNKNOWN { "-".to_owned() } else { Bytes(bytes).to_string() }
}

fn name(comm: &[u8]) -> String {
    let mut text = Vec::new();
    escape::terminal(comm, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use memwatch_ebpf::abi::event::{Kind, Resident};

    use super::*;
    use crate::export::{Loss, samples};

    #[test]
    fn tells_all_parts() {
        let summary = Summary {
            duration_ns: 2_500_000_000,
            events: vec![(Kind::Mmap, 12), (Kind::Exit, 3)],
            findings: vec![samples::finding()],
            losses: vec![Loss { time_ns: 0, kind: "ring_full", count: 0, total: 5 }],
            top: vec![TopProcess {
                identity: Arc::new(samples::stranger(42, b"evil\x1b[31m")),
                mapped_bytes: 8 << 30,
                minor_faults: 640,
                major_faults: 3,
                resident: Some(Resident { swap: UNKNOWN, file: UNKNOWN, ..samples::RESIDENT }),
            }],
            min_table: Some(64 << 20),
            has_rule: false,
            hooks_missing: Vec::new(),
            table_hooks_missing: Vec::new(),
            cgroups: vec![
                TopCgroup {
                    id: 7,
                    path: Some("/system.slice/uwsgi.service".into()),
                    mapped_bytes: 8 << 30,
                    freed_bytes: 4096,
                    minor_faults: 700,
                    major_faults: 3,
                },
                TopCgroup {
                    id: 9,
                    path: None,
                    mapped_bytes: 0,
                    freed_bytes: 0,
                    minor_faults: 1,
                    major_faults: 0,
                },
            ],
        };
        let mut out = Vec::new();
        push(&summary, Layout::new(100, false), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(
            text,
            "
15 events in 2.5 s
  mmap                   12
  exit                    3
lost
  ring_full                       5  records for which the ring buffer had no room
processes by memory asked for
      PID COMM                MAPPED       ANON       FILE      SHMEM    MINOR  MAJOR
       42 evil\\x1b[31m       8.0 GiB    3.0 MiB          -    1.0 MiB      640      3
cgroups by memory asked for
      MAPPED      FREED     MINOR    MAJOR  CGROUP
     8.0 GiB    4.0 KiB       700        3  /system.slice/uwsgi.service
         0 B        0 B         1        0  id 9
fd tables
       42 uwsgi           8.0 GiB mapped, 0 B touched (high confidence)
          advice: set max-fd = 1048576 in the uWSGI configuration
"
        );
    }

    fn text(summary: &Summary) -> String {
        let mut out = Vec::new();
        push(summary, Layout::new(200, false), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn says_that_nothing_happened() {
        let summary = Summary { min_table: Some(64 << 20), ..Summary::default() };
        assert_eq!(
            text(&summary),
            "\n0 events in 0 ns\nnothing lost\nno fd table of 64.0 MiB or more found\n"
        );
    }

    #[test]
    fn says_what_it_could_not_have_seen() {
        let unasked = text(&Summary { events: vec![(Kind::Mmap, 1)], ..Summary::default() });
        assert!(unasked.contains("\n1 event in"), "{unasked}");
        assert!(unasked.contains("fd tables were not looked for"), "{unasked}");
        let acted = text(&Summary { has_rule: true, ..Summary::default() });
        assert!(acted.contains("fd tables are not told of, only acted on"), "{acted}");
        let blind = text(&Summary {
            min_table: Some(0),
            hooks_missing: vec!["close", "mmap"],
            table_hooks_missing: vec!["mmap"],
            ..Summary::default()
        });
        assert!(
            blind.contains("nothing lost of what the attached hooks saw; not attached: close, mmap"),
            "{blind}"
        );
        assert!(blind.contains("no fd table found; hook mmap is not attached"), "{blind}");
    }

    #[test]
    fn what_was_never_looked_at_is_not_zero() {
        let top = TopProcess {
            identity: Arc::new(samples::stranger(42, b"idle")),
            mapped_bytes: 0,
            minor_faults: 0,
            major_faults: 0,
            resident: None,
        };
        let shown = text(&Summary { top: vec![top], ..Summary::default() });
        assert!(
            shown.contains(
                " 42 idle                   0 B          -          -          -        0      0\n"
            ),
            "{shown}"
        );
    }
}
