//! The daemon beside processes that sleep: what it costs while nothing happens.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Bench,
    daemon::Daemon,
    footprint,
    journal::Table,
    statistics::{Sample, verdict},
};

/// After this it has looked at everybody once.
const SETTLE: Duration = Duration::from_secs(3);
/// Time over which its processor time is taken, and the most such times.
const SPAN: Duration = Duration::from_secs(10);
const SPANS: usize = 5;
/// Share of one processor.
const CPU_GOAL: f64 = 0.005;

/// A crowd and its goals.
struct Scene {
    processes: u32,
    /// Share of one processor, where there is a goal.
    cpu_goal: Option<f64>,
    rss_goal_mib: u64,
}

const SCENES: [Scene; 2] = [
    Scene { processes: 1_000, cpu_goal: Some(CPU_GOAL), rss_goal_mib: 30 },
    Scene { processes: 10_000, cpu_goal: None, rss_goal_mib: 60 },
];

/// Policies: their name, and what is written.
const POLICIES: [(&str, &str); 2] = [
    ("the default", "\n"),
    (
        "bounds and a limit over every process",
        "[[scope]]\nname = \"host\"\nany_process = true\n[[process_limit]]\nname = \"all\"\nmatch = \"all\"\nlimit = \"64GiB\"\n",
    ),
];

/// Measures each crowd under each policy.
///
/// # Errors
/// The daemon or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let spans = SPANS.min(bench.rounds);
    let mut table = Table::new(
        "Daemon at rest",
        &format!(
            "`memwatch daemon`, observing, beside processes that sleep, forked from one small static program, and whatever else \
             runs on the host. Processor time of all its threads, from schedstat, in {spans} spans of {} s; memory: sum of Rss in \
             /proc/PID/smaps, the ring's pages included.",
            SPAN.as_secs()
        ),
        &["processes", "policy", "share of one processor", "goal", "", "memory", "goal", ""],
    );
    let mut load = bench.load()?;
    for scene in &SCENES {
        let started = load.crowd(scene.processes, 0, 0)?;
        for (name, policy) in POLICIES {
            let daemon = Daemon::start(&bench.memwatch, policy)?;
            thread::sleep(SETTLE);
            let shares = (0..spans).map(|_| share(daemon.id())).collect::<Result<Vec<_>>>()?;
            let shares = Sample::new(shares);
            let kib = footprint::resident(daemon.id())?.all;
            table.row(vec![
                started.to_string(),
                name.into(),
                shares.spread(|share| format!("{:.2} %", share * 100.0)),
                scene.cpu_goal.map_or_else(String::new, |goal| format!("<= {} %", goal * 100.0)),
                scene.cpu_goal.map_or("", |goal| verdict(shares.median() <= goal)).into(),
                format!("{:.1} MiB", kib as f64 / 1024.0),
                format!("<= {} MiB", scene.rss_goal_mib),
                verdict(kib <= scene.rss_goal_mib << 10).into(),
            ]);
        }
    }
    Ok(table)
}

/// Share of one processor that a process takes in the next while.
fn share(pid: u32) -> Result<f64> {
    let before = processor_ns(pid)?;
    thread::sleep(SPAN);
    Ok((processor_ns(pid)? - before) as f64 / SPAN.as_nanos() as f64)
}

/// Nanoseconds that all threads of a process have run.
fn processor_ns(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let ran = |text: String| text.split_whitespace().next()?.parse::<u64>().ok();
    let threads = threads.flatten().map(|thread| thread.path().join("schedstat"));
    Ok(threads.filter_map(|path| ran(fs::read_to_string(path).ok()?)).sum())
}
