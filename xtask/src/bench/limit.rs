//! A limit kept in the kernel: how much a process at full speed has above it when it dies.

use anyhow::Result;

use super::{
    Bench,
    daemon::Daemon,
    journal::Table,
    statistics::{Sample, verdict},
};

const MIB: f64 = 1_048_576.0;
/// Runs that the goal speaks of, and for each round of the task.
const RUNS: usize = 50;
const RUNS_A_ROUND: usize = 4;
/// The limit, and what a hog would take.
const LIMIT_MIB: u64 = 256;
const MOST_MIB: u64 = 512;
/// From its start to its first page: a process that starts takes longer.
const WAIT_MS: u64 = 100;
/// Bytes above the limit: the median, and the most.
const MEDIAN_GOAL: f64 = 2.0 * MIB;
const MOST_GOAL: f64 = 8.0 * MIB;

/// Lets one hog after the other pass the limit.
///
/// # Errors
/// The daemon or the load fails.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let runs = RUNS.min(bench.rounds * RUNS_A_ROUND);
    let mut load = bench.load()?;
    let policy = format!(
        "mode = \"enforce\"\n[[scope]]\nname = \"bench\"\ntree = {}\nmemory = \"8GiB\"\n\
         [[process_limit]]\nname = \"hog\"\nmatch = {{ exe = \"memwatch-load\" }}\nlimit = \"{LIMIT_MIB}MiB\"\n",
        load.id()
    );
    let _daemon = Daemon::start(&bench.memwatch, &policy)?;
    let mut above = Vec::new();
    let (mut unharmed, mut speed) = (0, Vec::new());
    for _ in 0..runs {
        let hog = load.hog(MOST_MIB << 20, WAIT_MS)?;
        unharmed += usize::from(hog.touched >= MOST_MIB << 20);
        above.push((hog.before + hog.touched) as f64 - (LIMIT_MIB << 20) as f64);
        speed.extend(hog.speed());
    }
    let above = Sample::new(above);
    let speed = Sample::new(speed);
    let mut table = Table::new(
        "Limit in the kernel",
        &format!(
            "`memwatch daemon`, enforcing a `[[process_limit]]` of {LIMIT_MIB} MiB in the tree of the load; {runs} processes one \
             after the other touch page after page of 4 KiB, {WAIT_MS} ms after they were forked, at {} GB/s. Above the limit: what was \
             resident before, read from smaps_rollup, and the pages that the process itself counted until it died, less the \
             limit. {unharmed} were not killed.",
            speed.spread(|speed| format!("{:.1}", speed / 1e9)),
        ),
        &["above the limit", "measured", "goal", ""],
    );
    let mebibytes = |bytes: f64| format!("{:.2}", bytes / MIB);
    table.row(vec![
        "median".into(),
        format!("{} MiB", above.spread(mebibytes)),
        format!("<= {} MiB", mebibytes(MEDIAN_GOAL)),
        verdict(above.median() <= MEDIAN_GOAL && unharmed == 0).into(),
    ]);
    let most = above.quantile(1.0);
    table.row(vec![
        "most".into(),
        format!("{} MiB", mebibytes(most)),
        format!("<= {} MiB", mebibytes(MOST_GOAL)),
        verdict(most <= MOST_GOAL).into(),
    ]);
    Ok(table)
}
