//! What is taken above a bound until the signal goes out, and when the memory is back: memwatch beside others that kill, in a guest.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Bench,
    journal::Table,
    overshoot::{GOAL, MIB},
    statistics::{Sample, verdict},
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
    let [above, to_signal_ns, to_back_ns, killed] = numbers[..] else { return None };
    Some(Kill {
        tool,
        above,
        to_signal_ms: to_signal_ns / 1e6,
        to_back_ms: to_back_ns / 1e6,
        is_killed: killed > 0.0,
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
             every 45 s. Above the bound: bytes that the hog touched after the crossing. Signal: its last page. Back: the host has more \
             available than at the bound. Median and quartiles, and the most.",
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
    let own = above(kills, "memwatch").median();
    for (name, title) in TOOLS {
        let of_tool: Vec<&Kill> = kills.iter().filter(|kill| kill.tool == name).collect();
        let killed: Vec<&&Kill> = of_tool.iter().filter(|kill| kill.is_killed).collect();
        let mebibytes = |bytes: f64| format!("{:.1}", bytes / MIB as f64);
        let milliseconds = |ms: f64| format!("{ms:.0}");
        let above = above(kills, name);
        let times = |of: fn(&Kill) -> f64| {
            if killed.is_empty() {
                return "-".to_owned();
            }
            format!("{} ms", Sample::new(killed.iter().map(|kill| of(kill))).spread(milliseconds))
        };
        let mut row = vec![
            title.to_owned(),
            format!("{} of {}", killed.len(), of_tool.len()),
            format!("{} MiB", above.spread(mebibytes)),
            format!("{} MiB", mebibytes(above.quantile(1.0))),
            times(|kill| kill.to_signal_ms),
            times(|kill| kill.to_back_ms),
        ];
        if name != "memwatch" {
            let share = own / above.median().max(1.0);
            row.extend([format!("{share:.3}"), format!("<= {GOAL}"), verdict(share <= GOAL).to_owned()]);
        }
        table.row(row);
    }
    table
}

fn above(kills: &[Kill], tool: &str) -> Sample {
    Sample::new(kills.iter().filter(|kill| kill.tool == tool).map(|kill| kill.above))
}
