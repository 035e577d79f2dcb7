//! Pools that follow the load: a day compressed to minutes, played to real servers of a fixed size, sized by memwatch, and sized by
//! uWSGI's own algorithm; and what reading the queues of many pools costs.

mod site;

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};

use self::site::{Site, Watch};
use super::{
    Bench,
    daemon::Daemon,
    journal::Table,
    statistics::{Sample, change, verdict},
};
use crate::{build, report, rootfs};

/// Workers at most, and those that stay.
const MOST: usize = 8;
const LEAST: usize = 2;
/// Clients at a time in each phase of the day: each sends its next request when the last is answered.
const DAY: [usize; 9] = [1, 2, 4, 6, 7, 5, 3, 2, 1];
/// Seconds of a phase for each round asked for.
const PHASE_SECONDS: usize = 2;
/// Share of the fixed pool's memory, and of its 99th percentile, and changes of direction in a phase.
const MEMORY_GOAL: f64 = 0.7;
const LATENCY_GOAL: f64 = 1.1;
const TURNS_GOAL: usize = 2;
/// Pools whose queues are read, and what that may cost at each look.
const POOLS: usize = 200;
const TICK_GOAL_MS: f64 = 5.0;
const LOOKS: u64 = 20;

/// A server and who sizes it.
struct Variant {
    name: &'static str,
    /// Row that it is compared with.
    beside: usize,
    start: &'static str,
    is_sized: bool,
}

const UWSGI: &str = "exec uwsgi-core --plugin python3 --http-socket 127.0.0.1:8080 --master --workers 8 --max-fd 1024 --listen 100 --lazy-apps \
                     --need-app --wsgi-file /tmp/app.py --callable app";

const GUNICORN: &str = "exec gunicorn --bind 127.0.0.1:8080 --workers 8 --timeout 200 --chdir /tmp app:app";

const VARIANTS: [Variant; 5] = [
    Variant { name: "gunicorn, 8 workers", beside: 0, start: GUNICORN, is_sized: false },
    Variant { name: "gunicorn, memwatch", beside: 0, start: GUNICORN, is_sized: true },
    Variant { name: "uWSGI, 8 workers", beside: 2, start: UWSGI, is_sized: false },
    Variant {
        name: "uWSGI, memwatch",
        beside: 2,
        start: "UWSGI --master-fifo /tmp/fifo --cheaper 2 --cheaper-initial 8 --cheaper-algo manual",
        is_sized: true,
    },
    Variant {
        name: "uWSGI, cheaper busyness",
        beside: 2,
        start: "UWSGI --plugin cheaper_busyness --cheaper 2 --cheaper-initial 8 --cheaper-algo busyness --cheaper-overload 1",
        is_sized: false,
    },
];

/// What came of a day.
struct Day {
    memory_mib: f64,
    latency_ms: f64,
    median_ms: f64,
    requests: u64,
    failed: u64,
    /// The most changes of direction in one phase.
    turns: usize,
    workers: f64,
}

/// Plays the day to each, and reads many queues.
///
/// # Errors
/// A server, the clients or memwatch fail.
pub(super) fn measure(bench: &Bench) -> Result<Table> {
    let seconds = PHASE_SECONDS * bench.rounds;
    let root = match std::env::var_os("MEMWATCH_ROOTFS") {
        Some(named) => named.into(),
        None => rootfs::lock().and_then(|_lock| rootfs::ensure(&rootfs::FULL))?,
    };
    let trigger = build::static_program("memwatch-tests", "memwatch-trigger")?;
    let mut table = Table::new(
        "Pools that follow the load",
        &format!(
            "A Flask app whose requests take 50 ms, and a day of {} phases of {seconds} s with {DAY:?} clients at a time (`ab`), \
             each on a connection of its own. Memory: the sum of the shares (PSS) of master and workers, four times a second. Goals \
             beside the fixed pool: memory at most {:.0} %, 99th percentile at most {:.0} %, no failed request, at most {TURNS_GOAL} \
             changes of direction in a phase.",
            DAY.len(),
            MEMORY_GOAL * 100.0,
            LATENCY_GOAL * 100.0
        ),
        &[
            "pool",
            "memory",
            "",
            "workers",
            "median",
            "99th percentile",
            "",
            "requests",
            "failed",
            "turns",
            "goals",
        ],
    );
    let mut days: Vec<Day> = Vec::new();
    for variant in &VARIANTS {
        report::step(variant.name);
        let day = play(bench, &root, &trigger, variant, seconds)?;
        let beside = days.get(variant.beside).unwrap_or(&day);
        let (memory, latency) = (day.memory_mib / beside.memory_mib, day.latency_ms / beside.latency_ms);
        let is_reached =
            memory <= MEMORY_GOAL && latency <= LATENCY_GOAL && day.failed == 0 && day.turns <= TURNS_GOAL;
        table.row(vec![
            variant.name.to_owned(),
            format!("{:.0} MiB", day.memory_mib),
            change(memory),
            format!("{:.1}", day.workers),
            format!("{:.0} ms", day.median_ms),
            format!("{:.0} ms", day.latency_ms),
            change(latency),
            day.requests.to_string(),
            day.failed.to_string(),
            day.turns.to_string(),
            if variant.is_sized { verdict(is_reached).to_owned() } else { String::new() },
        ]);
        days.push(day);
    }
    let (cost, queues) = cost(bench, &root)?;
    table.row(vec![
        format!("reading the queues of {queues} pools"),
        format!(
            "{cost:.2} ms of processor time a look; at most {TICK_GOAL_MS} ms: {}",
            verdict(cost <= TICK_GOAL_MS)
        ),
    ]);
    Ok(table)
}

fn policy(root: u32, size: &str) -> String {
    format!(
        "mode = \"enforce\"\n[growth]\nenabled = false\n[[scope]]\nname = \"site\"\ntree = {root}\nmemory = \"64GiB\"\n\
         [found_pools]\nmin_alive = {LEAST}\n{size}"
    )
}

fn play(
    bench: &Bench,
    root: &std::path::Path,
    trigger: &std::path::Path,
    variant: &Variant,
    seconds: usize,
) -> Result<Day> {
    let start = variant.start.replace("UWSGI", UWSGI);
    let site = Site::start(trigger, root, &start, MOST)?;
    let size = format!(
        "size = {{ max_workers = {MOST}, spare = 1, waiting = 0, waiting_for = \"200ms\", idle_for = \"{}ms\", turn = \"{}ms\" }}\n",
        seconds * 100,
        seconds * 400
    );
    let daemon =
        variant.is_sized.then(|| Daemon::start(&bench.memwatch, &policy(site.id(), &size))).transpose()?;
    let watch = Watch::start(site.id());
    let (mut times, mut failed, mut ends) = (Vec::new(), 0, Vec::new());
    for clients in DAY {
        let served = site.load(clients, seconds)?;
        failed += served.failed;
        times.extend(served.times_ms);
        ends.push(watch.looks());
    }
    let looks = watch.end()?;
    drop(daemon);
    ensure!(!looks.is_empty(), "nothing was seen of {}", variant.name);
    let mut turns = 0;
    let mut from = 0;
    for end in ends {
        turns = turns.max(changes(looks.get(from..end).unwrap_or_default().iter().map(|look| look.workers)));
        from = end;
    }
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / looks.len() as f64;
    let requests = times.len() as u64;
    let times = Sample::new(times);
    Ok(Day {
        memory_mib: mean(&mut looks.iter().map(|look| look.bytes as f64)) / (1 << 20) as f64,
        latency_ms: times.quantile(0.99),
        median_ms: times.median(),
        requests,
        failed,
        turns,
        workers: mean(&mut looks.iter().map(|look| look.workers as f64)),
    })
}

/// How often a number that rose falls, or the other way round.
fn changes(numbers: impl Iterator<Item = usize>) -> usize {
    let (mut last, mut direction, mut changes) = (None, None, 0);
    for number in numbers {
        if let Some(last) = last.replace(number).filter(|last| *last != number) {
            let now = Some(number > last);
            changes += usize::from(direction.is_some() && direction != now);
            direction = now;
        }
    }
    changes
}

/// Milliseconds of processor time that a look at many pools takes, and how many pools there are.
fn cost(bench: &Bench, root: &std::path::Path) -> Result<(f64, usize)> {
    let crowd = site::Crowd::start(root, POOLS)?;
    let policy = "[[pool]]\nname = \"crowd\"\nmatch = { exe = \"python3*\", args = \"one-of-a-crowd\" }\nsignal = \"SIGHUP\"\n";
    let daemon = Daemon::start(&bench.memwatch, policy)?;
    // Sockets are looked for in portions.
    thread::sleep(Duration::from_secs(POOLS as u64 / 16 + 5));
    let before = on_cpu_ns(daemon.id())?;
    // Without `size` there is a look a second.
    thread::sleep(Duration::from_secs(LOOKS));
    let spent = on_cpu_ns(daemon.id())? - before;
    Ok((spent as f64 / LOOKS as f64 / 1e6, crowd.pools()))
}

/// Processor time of the thread that reads queues.
fn on_cpu_ns(daemon: u32) -> Result<u64> {
    for task in fs::read_dir(format!("/proc/{daemon}/task")).context("the daemon has ended")? {
        let task = task?.path();
        // The kernel cuts names at 15 bytes.
        if fs::read_to_string(task.join("comm"))?.starts_with("memwatch-queues") {
            let text = fs::read_to_string(task.join("schedstat"))?;
            return text.split(' ').next().and_then(|ns| ns.parse().ok()).context("schedstat has no number");
        }
    }
    anyhow::bail!("the daemon has no thread that reads queues")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_direction_is_one() {
        assert_eq!(changes([8, 8, 7, 7, 6, 6].into_iter()), 0);
        assert_eq!(changes([8, 7, 8, 8, 7, 6, 7].into_iter()), 3);
    }
}
