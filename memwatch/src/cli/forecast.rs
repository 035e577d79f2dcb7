//! `memwatch forecast`: the worst case of pools of workers, and the settings that follow.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::values::{Output, parse_bound, parse_duration, parse_pid};
use crate::core::forecast::conclude::KEEP_FREE;
use crate::core::forecast::pool::Pool;
use crate::core::forecast::rate::LEAST;
use crate::core::forecast::{Assumed, Check, Checked, Forecast, History, forecast};
use crate::core::policy::Input;
use crate::core::quantity::Counted;
use crate::export::clock::Clock;
use crate::export::forecast::{json, table};
use crate::measure::{HostMeter, PoolMeter};
use crate::replay::{self, Recorded, ReplayError};
use crate::sys;

/// Arguments of `memwatch forecast`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Watches the prefork servers of the host (gunicorn, uWSGI, PHP-FPM, Apache, unicorn, Puma, Celery) for a while, without BPF, \
and works out how large they can get: common memory, and every worker as large as the largest one ever was. Let the \
heaviest requests come while it watches, or have come before: the kernel keeps the largest size of each worker that lives. \
Below stand the settings under which the worst case fits, in the server's own words. docs/forecast.md has the arithmetic. \
Reading the memory of other users' processes takes root. Exit status: 0 every worst case fits, 3 one does not, 1 failed.

Examples:
  memwatch forecast --for 5min                      watch the host for five minutes
  memwatch forecast --for 5min --requests 1200      the same, with the requests that the access log counted meanwhile
  memwatch forecast --memory 2GiB --workers 8       would eight workers fit into a container of 2 GiB?
  memwatch forecast --for 1h --record hour.jsonl    keep what was seen
  memwatch forecast hour.jsonl                      forecast from it; recordings of `memwatch daemon` do as well
  memwatch forecast --check hour.jsonl              what would forecasts from its first parts have been worth?")]
pub struct Args {
    /// How long to watch
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    time: Duration,
    /// Time from look to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    every: Duration,
    /// Take the children of this process for a pool although it is no known server
    #[arg(long, value_name = "PID", value_parser = parse_pid)]
    master: Option<u32>,
    /// Memory that each pool is to have for itself; the default is what its host or cgroup leaves
    #[arg(long, value_name = "SIZE", value_parser = parse_bound)]
    memory: Option<u64>,
    /// Percent of memory to keep free
    #[arg(long, value_name = "PERCENT", default_value_t = KEEP_FREE, value_parser = clap::value_parser!(u64).range(0..=90))]
    keep_free: u64,
    /// Workers to reckon with; the default is the most that lived at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    workers: Option<u64>,
    /// Requests that each pool served while it was watched; the default is the connections that it took, where the kernel
    /// tells them from those of others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Keep what is seen in this file
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    record: Option<PathBuf>,
    /// Forecast from the first parts of the recording, and compare with the rest
    #[arg(long, requires = "recording")]
    check: bool,
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Output>,
    /// A recording, instead of the host
    #[arg(value_name = "RECORDING")]
    recording: Option<PathBuf>,
}

/// Exit status when a worst case does not fit.
const FOUND: u8 = 3;

/// Runs the subcommand.
///
/// # Errors
/// When neither the host nor the recording can be read, or the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let assumed = Assumed {
        memory: args.memory,
        keep_free: args.keep_free,
        workers: args.workers,
        requests: args.requests,
    };
    let is_table = Output::or_suitable(args.output) == Output::Table;
    let mut text = Vec::new();
    let found = match &args.recording {
        Some(path) if args.check => {
            let (from_ns, to_ns) = span(path)?;
            let mut check = Check::new(from_ns, to_ns, args.master, assumed);
            for recorded in read(path)? {
                let Recorded { time_ns, input } = recorded?;
                check.take(time_ns, &input);
            }
            let (checked, found) = check.finish();
            tell_of_too_short(&checked, path);
            if is_table {
                text.extend_from_slice(table::checked(&checked).as_bytes());
            } else {
                json::write_checked(&checked, &mut text);
            }
            found
        }
        Some(path) => {
            let mut history = History::new(args.master);
            for recorded in read(path)? {
                let Recorded { time_ns, input } = recorded?;
                history.take(time_ns, &input);
            }
            forecast(&history, assumed)
        }
        None => forecast(&watch(args)?, assumed),
    };
    if !args.check {
        if is_table {
            text.extend_from_slice(table::text(&found).as_bytes());
        } else {
            json::write(&found, args.recording.is_none().then(Clock::of_this_host), &mut text);
        }
    }
    if Output::or_suitable(args.output) != Output::None {
        super::print(&text)?;
    }
    tell_of_nothing(&found);
    let fits = args.check || found.pools.iter().all(|pool| pool.fits());
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

fn tell_of_too_short(checked: &[Checked], path: &Path) {
    let looks = |it: &Checked| Counted(it.looks as u64, "look").to_string();
    if let Some(last) = checked.iter().rev().find(|it| it.host.is_none()) {
        tracing::warn!(
            "the first {} % of {} hold {} at the host, too few to foretell its use: a rate takes {LEAST}; record for longer, or look \
             more often with --every",
            last.percent,
            path.display(),
            looks(last)
        );
    }
    if checked.is_empty() {
        tracing::warn!("{} spans too little time to be cut into parts; record for longer", path.display());
    }
}

fn tell_of_nothing(found: &Forecast) {
    if found.pools.is_empty() {
        tracing::warn!(
            "no pool of a known prefork server was seen; --master PID names the master of any other"
        );
    }
}

fn read(path: &Path) -> anyhow::Result<impl Iterator<Item = Result<Recorded, ReplayError>>> {
    let file = File::open(path).with_context(|| format!("cannot open the recording {}", path.display()))?;
    Ok(replay::read(BufReader::new(file)))
}

/// Times of the first line and the last.
fn span(path: &Path) -> anyhow::Result<(u64, u64)> {
    let mut span = None;
    for recorded in read(path)? {
        let time_ns = recorded?.time_ns;
        let (from_ns, to_ns) = span.get_or_insert((time_ns, time_ns));
        (*from_ns, *to_ns) = ((*from_ns).min(time_ns), (*to_ns).max(time_ns));
    }
    span.with_context(|| {
        format!("the recording {} is empty; `memwatch forecast --record` makes one", path.display())
    })
}

/// Looks at the host for the time asked for.
fn watch(args: &Args) -> anyhow::Result<History> {
    let proc = Path::new("/proc");
    let mut pools = PoolMeter::open(proc).context("cannot open /proc: mount proc there")?;
    let mut host = HostMeter::open(proc).context("cannot open /proc/meminfo: mount proc there")?;
    let record = args.record.as_ref().map(|path| {
        let file = File::create(path)
            .with_context(|| format!("cannot create {}: is its folder there, and writable?", path.display()));
        file.map(BufWriter::new)
    });
    let mut record = record.transpose()?;
    let mut history = History::new(args.master);
    if let Some(master) = args.master {
        ensure!(
            proc.join(master.to_string()).exists(),
            "there is no process {master}: --master names one that runs"
        );
    }
    ensure!(!args.every.is_zero(), "--every 0s leaves no time between two looks; write for example 1s");
    let mut inputs = Vec::new();
    let begun = Instant::now();
    loop {
        pools.look_around(&mut inputs).context("cannot list the processes of /proc: mount proc there")?;
        feed(&mut history, &mut inputs, record.as_mut())?;
        pools.look_at(history.members().collect::<Vec<_>>().into_iter(), &mut inputs);
        inputs.push(Input::Host(host.look(sys::boot_ns()).context("cannot read /proc/meminfo")?));
        feed(&mut history, &mut inputs, record.as_mut())?;
        let workers = |pool: &Pool| pool.workers.keys().map(|key| key.tgid).collect();
        let masters: Vec<(_, Vec<u32>)> =
            history.pools().iter().map(|(master, pool)| (*master, workers(pool))).collect();
        for (master, workers) in masters {
            history.take_connections(master, pools.connections_of(master.tgid, &workers));
            for limited in pools.limits_of(master.tgid) {
                history.take_cgroup(sys::boot_ns(), master, &limited.path, limited.limit, limited.held);
            }
        }
        // One that is killed leaves what it saw.
        record.as_mut().map(Write::flush).transpose().context("cannot write the recording")?;
        let left = args.time.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(args.every));
    }
    Ok(history)
}

/// Has the history take the inputs, and keeps them.
fn feed(
    history: &mut History,
    inputs: &mut Vec<Input>,
    mut record: Option<&mut BufWriter<File>>,
) -> anyhow::Result<()> {
    let time_ns = sys::boot_ns();
    for input in inputs.drain(..) {
        history.take(time_ns, &input);
        if let Some(record) = &mut record {
            replay::write(record, &Recorded { time_ns, input }).context("cannot write the recording")?;
        }
    }
    Ok(())
}
