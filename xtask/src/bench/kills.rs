//! What is taken above a bound until the signal goes out, and when the memory is back: memwatch beside others that kill, in a guest.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    overshoot::{MIB, share},
    statistics::Sample,
};
use crate::{vm, workspace};

/// The kernel they kill on.
const KERNEL: &str = "6.12";
/// What the hog may take until the bound, and what it takes and holds: less than the guest has.
const BOUND: u64 = 768 * MIB;
const ALL: u64 = 2048 * MIB;
const ROUNDS: usize = 5;
/// Several times what the rounds take on an emulated processor.
const IN_ALL: Duration = Duration::from_secs(60 * 60);

const SCRIPT: &str = include_str!("kills.sh");
const LOOP: &str = include_str!("overshoot/psutil_loop.py");

/// Where the table is published.
const PAGE: &str = "docs/kills.md";
const TITLE: &str = "# Kills\n\nHow much is taken above the bound by the time that a tool's signal arrives, how long that takes, and how long \
                     until the memory is back. [overshoot.md](overshoot.md) has the same of decisions alone, at the speed of a real \
                     processor.\n\n";

/// The tools as the script names them, and as they are called here.
const TOOLS: [(&str, &str); 4] = [
    ("memwatch", "memwatch"),
    ("earlyoom", "earlyoom"),
    ("systemd-oomd", "systemd-oomd"),
    ("psutil", "psutil, every 45 s"),
];

/// One hog's end.
struct Kill {
    tool: String,
    above: f64,
    to_signal_ms: f64,
    to_back_ms: f64,
    is_killed: bool,
    /// Whether it was killed, and before it had all it takes: else it would have taken more.
    is_whole: bool,
}

/// Lets every tool kill hogs, in turns.
///
/// # Errors
/// The guest fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let dir = workspace::target()?.join("bench-kills");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let written = [("kills.sh", SCRIPT), ("psutil_loop.py", LOOP)].map(|(name, text)| (dir.join(name), text));
    for (path, text) in &written {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let files: Vec<_> = written
        .into_iter()
        .map(|(path, _)| path)
        .chain([bench.memwatch.clone(), bench.load.clone()])
        .collect();
    let line = format!("sh kills.sh {} {BOUND} {ALL}", ROUNDS.min(bench.rounds));
    let (release, lines) = vm::lines_of(KERNEL, &line, &files, IN_ALL)?;
    let kills: Vec<Kill> = lines.iter().filter_map(|line| parse(line)).collect();
    Ok(table(&release, &kills).published(PAGE, TITLE))
}

/// A line of the script, or nothing when it is another program's.
fn parse(line: &str) -> Option<Kill> {
    let mut words = line.split_whitespace();
    let tool = words.next().filter(|word| TOOLS.iter().any(|(name, _)| name == word))?.to_owned();
    let numbers: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [above, to_signal_ns, to_back_ns, killed, has_all] = numbers[..] else { return None };
    Some(Kill {
        tool,
        above,
        to_signal_ms: to_signal_ns / 1e6,
        to_back_ms: to_back_ns / 1e6,
        is_killed: killed > 0.0,
        is_whole: killed > 0.0 && has_all == 0.0,
    })
}

fn table(release: &str, kills: &[Kill]) -> Table {
    let mut table = Table::new(
        "Overshoot of kills",
        &format!(
            "In a guest on kernel {release}, whose processor is emulated: a process touches {} MiB, page after page of 4 KiB, and holds \
             them. Each tool is given the same bound in turn, {} MiB below what was available before, and kills (memwatch `mode = \
             \"enforce\"` on the whole host). systemd-oomd acts on memory only where swap is short as well: it has a small one that is \
             full from the start, in the unit of the hog. psutil stands for the loop of a known incident, which looks at a worker's RSS \
             every 45 s. Above the bound: bytes that the hog touched after MemAvailable, read every millisecond, was seen to be at the \
             bound; `>=` where it was not killed before it had all. Signal: its last page, or its last sign of life once it has all. \
             Back: the host has more available than at the bound. Median and quartiles, and the most. A tool that killed nobody neither \
             reaches nor misses a goal.",
            ALL / MIB,
            BOUND / MIB
        ),
        &[
            "tool",
            "kills",
            "above the bound",
            "most",
            "bound to signal",
            "signal to memory back",
            "memwatch's share",
            "goal",
            "",
        ],
    );
    // Where memwatch's own figure is a lower bound no share is known.
    let is_own_whole = kills.iter().filter(|kill| kill.tool == "memwatch").all(|kill| kill.is_whole);
    let own = above(kills, "memwatch").median();
    for (name, title) in TOOLS {
        let of_tool: Vec<&Kill> = kills.iter().filter(|kill| kill.tool == name).collect();
        let killed: Vec<&&Kill> = of_tool.iter().filter(|kill| kill.is_killed).collect();
        let mebibytes = |bytes: f64| format!("{:.1}", bytes / MIB as f64);
        let milliseconds = |ms: f64| format!("{ms:.0}");
        let above = above(kills, name);
        let at_least = if of_tool.iter().all(|kill| kill.is_whole) { "" } else { ">= " };
        let times = |of: fn(&Kill) -> f64| {
            if killed.is_empty() {
                return "-".to_owned();
            }
            format!("{} ms", Sample::new(killed.iter().map(|kill| of(kill))).spread(milliseconds))
        };
        let mut row = vec![
            title.to_owned(),
            format!("{} of {}", killed.len(), of_tool.len()),
            format!("{at_least}{} MiB", above.spread(mebibytes)),
            format!("{at_least}{} MiB", mebibytes(above.quantile(1.0))),
            times(|kill| kill.to_signal_ms),
            times(|kill| kill.to_back_ms),
        ];
        if name != "memwatch" && is_own_whole && !killed.is_empty() {
            row.extend(share(own, above.median(), !at_least.is_empty()));
        }
        table.row(row);
    }
    table
}

fn above(kills: &[Kill], tool: &str) -> Sample {
    Sample::new(kills.iter().filter(|kill| kill.tool == tool).map(|kill| kill.above))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &[&str]) -> Vec<String> {
        let kills: Vec<Kill> = lines.iter().filter_map(|line| parse(line)).collect();
        let text = table("6.12", &kills).to_markdown();
        text.lines().filter(|line| line.starts_with("| ")).skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_tool_that_killed_nobody_has_no_verdict() {
        let rows = rows(&[
            "memwatch 1048576 9000000 90000000 1 0",
            "earlyoom 10485760 90000000 90000000 1 0",
            "systemd-oomd 1236254720 20000000000 0 0 1",
            "psutil 1342177280 40000000000 200000000 1 1",
            "another line of the guest",
        ]);
        assert_eq!(
            rows,
            [
                "| memwatch | 1 of 1 | 1.0 (1.0..1.0) MiB | 1.0 MiB | 9 (9..9) ms | 90 (90..90) ms |",
                "| earlyoom | 1 of 1 | 10.0 (10.0..10.0) MiB | 10.0 MiB | 90 (90..90) ms | 90 (90..90) ms | 0.100 | <= 0.2 | reached |",
                "| systemd-oomd | 0 of 1 | >= 1179.0 (1179.0..1179.0) MiB | >= 1179.0 MiB | - | - |",
                "| psutil, every 45 s | 1 of 1 | >= 1280.0 (1280.0..1280.0) MiB | >= 1280.0 MiB | 40000 (40000..40000) ms | 200 (200..200) ms | <= 0.001 | <= 0.2 | reached |",
            ]
        );
    }

    #[test]
    fn what_is_not_known_of_memwatch_is_compared_with_nobody() {
        let rows = rows(&["memwatch 1342177280 9000000 0 0 1", "earlyoom 10485760 90000000 90000000 1 0"]);
        assert!(rows[0].contains("| >= 1280.0"), "{rows:?}");
        assert!(!rows[1].contains("0.2"), "{rows:?}");
    }
}
