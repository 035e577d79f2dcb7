//! `memwatch trace`: live events.

mod act;
mod banner;
mod setup;

use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use memwatch_ebpf::abi::event::Kind;

use super::values::{
    Color, CriSocket, EventKind, Output, Pattern, parse_bound, parse_comm, parse_cri_socket, parse_pid,
    parse_ring_size, parse_size, parse_time_to_end, parse_uid, parse_whole,
};
use crate::enrich::cri::Containers;
use crate::export::Exporter;
use crate::export::json::Json;
use crate::export::table::Table;
use crate::export::wrap::wrap;
use crate::probe::{HOOKS, WayKind};
use crate::runtime::{self, Ended, Ends, Outcome, Stop};
pub(super) use setup::NotStarted;

/// Arguments of `memwatch trace`.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("acted_on").multiple(true)),
    about = "Show memory, limits and fd tables live",
    after_help = "\
Examples:
  memwatch trace                                   the whole host, until Ctrl-C
  memwatch trace -- uwsgi --ini app.ini            one program from its first instruction
  memwatch trace --event fd_table --output json    findings only, for a log pipeline
  memwatch trace --tree 4711 --min-bytes 16MiB     a process and its descendants
  memwatch trace --cgroup /kubepods.slice --event oom_kill,rss --rss-limit 2GiB
  memwatch trace --cgroup /system.slice/app.service --act signal-touched
                                                   kill what touches 64 MiB of a table, in this unit only

Sizes are bytes, or have a unit: KiB, MiB, GiB of 1024 (64MiB), or kB, MB, GB of 1000, for which k, M, G are short. \
Times have one: ms, s, min, h, d (500ms, 1h 30min).

Filters are applied in the kernel where they can be: pid, tree, cgroup, user, kind, bytes, and one name without \
wildcards. Several filters must all match; --pid and --tree do not go with a command.

The command shares standard output. Where that goes to a program, send the command's own elsewhere: \
`memwatch trace -- sh -c 'exec ./server >server.log'`.

Exit status: that of the command, 127 when there is no such command, 126 when it cannot be executed; without a command \
0 when tracing ended, 1 when it failed."
)]
pub struct Args {
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Output>,
    /// When to use colours
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    /// Command to start and trace, with its descendants; its exit status is passed on. Tracing ends with the last of them, so
    /// that a server that goes into the background is seen. If tracing ends first (--duration, --count, closed output) the
    /// command goes on untraced and is waited for; a rule of --act stays until it ends
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["pid", "tree"], group = "acted_on")]
    command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    ends: EndArgs,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    act: act::Args,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
struct Filters {
    /// Only these processes
    #[arg(long, value_delimiter = ',', value_parser = parse_pid, allow_hyphen_values = true, value_name = "PID")]
    pid: Vec<u32>,
    /// Only this process and its descendants, those of today and those to come
    #[arg(long, value_parser = parse_pid, allow_hyphen_values = true, value_name = "PID", conflicts_with = "pid")]
    tree: Option<u32>,
    /// Only threads with such a name (`*` any text, `?` one character)
    #[arg(long, value_parser = parse_comm, value_name = "PATTERN")]
    comm: Vec<Pattern>,
    /// Only executables with such a path or file name
    #[arg(long, value_parser = Pattern::parse, value_name = "PATTERN")]
    exe: Vec<Pattern>,
    /// Only this cgroup and those below: its folder, or its path in the unified or the memory controller's hierarchy
    #[arg(long, value_name = "PATH", group = "acted_on")]
    cgroup: Option<PathBuf>,
    /// Only processes of this user
    #[arg(long, value_parser = parse_uid, allow_hyphen_values = true, value_name = "UID")]
    uid: Option<u32>,
    /// Only these kinds of events; the default is all
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    event: Vec<EventKind>,
    /// Smallest mapping that is an event of its own; smaller ones are counted only. What a loader maps of most programs'
    /// libraries is smaller than the default
    #[arg(long, default_value = "4MiB", value_parser = parse_size, allow_hyphen_values = true, value_name = "SIZE")]
    min_bytes: u64,
    /// Smallest sum of a process's fd tables that is a finding
    #[arg(long, default_value = "64MiB", value_parser = parse_size, allow_hyphen_values = true, value_name = "SIZE")]
    min_table: u64,
    /// Tell when a process's RSS passes this
    #[arg(long, value_parser = parse_bound, allow_hyphen_values = true, value_name = "SIZE")]
    rss_limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "End")]
struct EndArgs {
    /// End after this time
    #[arg(long, value_parser = parse_time_to_end, allow_hyphen_values = true, value_name = "TIME")]
    duration: Option<Duration>,
    /// End after this many events and findings; lines that tell of losses do not count
    #[arg(long, value_parser = |text: &str| parse_whole(text, 1..=u64::MAX), allow_hyphen_values = true, value_name = "N")]
    count: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Tuning")]
struct Tuning {
    /// Use only these ways to attach; a hook that has none of them keeps its own
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    attach: Vec<WayKind>,
    /// Do not attach these hooks, which spares what they cost; `memwatch doctor` tells what that loses
    #[arg(long, value_delimiter = ',', value_name = "HOOK", value_parser = PossibleValuesParser::new(HOOKS.iter().map(|hook| hook.name)), hide_possible_values = true)]
    without: Vec<String>,
    /// Size of the ring buffer: a power of two
    #[arg(long, default_value = "4MiB", value_parser = parse_ring_size, allow_hyphen_values = true, value_name = "SIZE")]
    ring_size: u32,
    /// Processes followed at once
    #[arg(long, default_value_t = 32_768, value_parser = |text: &str| parse_whole(text, 64..=4_194_304), allow_hyphen_values = true, value_name = "N")]
    max_processes: u64,
    /// Socket of a container runtime that is asked for the names of containers; `none` asks nobody [default: those of
    /// containerd, CRI-O and cri-dockerd where they are]
    #[arg(long, value_parser = parse_cri_socket, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    cri_socket: Vec<CriSocket>,
    /// Look at what runs on each CPU this often a second: RSS, faults, descriptor table
    #[arg(long, default_value_t = 100, value_parser = |text: &str| parse_whole(text, 1..=10_000), allow_hyphen_values = true, value_name = "HZ")]
    sample_hz: u64,
}

impl Args {
    /// Refuses what can never do anything. `ends_open` says that the words end with `--`.
    pub(super) fn check(&self, ends_open: bool) -> Result<(), &'static str> {
        let shows = |kind: Kind| self.filters.event.contains(&EventKind(kind));
        if self.command.is_empty() && ends_open {
            return Err("no command after `--`: write one, or leave `--` out to trace the whole host");
        }
        if shows(Kind::Rss) && self.filters.rss_limit.is_none() {
            return Err(
                "--event rss never happens without a limit to pass: add --rss-limit SIZE, or leave rss out",
            );
        }
        if shows(Kind::Action) && !self.act.is_set() {
            return Err("--event action never happens without a rule: add --act ACT, or leave action out");
        }
        self.act.check(self.programs())
    }

    /// The programs that are named.
    fn programs(&self) -> act::Programs<'_> {
        act::Programs {
            command: self.command.first().map(AsRef::as_ref),
            comm: &self.filters.comm,
            exe: &self.filters.exe,
        }
    }
}

/// How a trace went.
#[derive(Debug)]
pub struct Traced {
    /// Exit status to pass on.
    pub code: ExitCode,
    /// Findings that were told.
    pub findings: usize,
}

/// Runs the subcommand; `kernel_log` asks for the kernel side's own log as well.
///
/// # Errors
/// When nothing can be attached, a filter names what does not exist, or the command cannot be started.
pub fn run(args: Args, kernel_log: bool) -> anyhow::Result<Traced> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trace(args, kernel_log))
}

async fn trace(args: Args, kernel_log: bool) -> anyhow::Result<Traced> {
    let form = Output::or_suitable(args.output);
    let mut setup = setup::prepare(&args, kernel_log)?;
    let mut stop = Stop::listen()?;
    // After that: its thread takes no signals.
    let containers = match form {
        // Nobody reads a name.
        Output::None => Containers::none(),
        Output::Json | Output::Table => Containers::start(&CriSocket::all(&args.tuning.cri_socket))
            .context("cannot start the thread that asks container runtimes")?,
    };
    let exporter: Option<Box<dyn Exporter>> = match form {
        Output::Json => Some(Box::new(Json::new().with_containers(containers.clone()))),
        Output::Table => {
            let table = Table::new(width(), args.color.on_stdout());
            Some(Box::new(table.with_containers(containers.clone())))
        }
        Output::None => None,
    };
    let command = setup.start_command(&args.command, &stop)?;
    stop.with(command, setup.probe.marks()?);
    say(&wrapped(&setup.banner(form)));
    let outcome = if form == Output::Table { Outcome::WithSummary } else { Outcome::Lines };
    let mut pipeline = setup.pipeline(exporter, outcome).context("the stages were taken before")?;
    pipeline.name_containers(containers);
    let ends = Ends { duration: args.ends.duration, count: args.ends.count };
    let ended = runtime::run(&mut setup.probe, pipeline, ends, &mut stop).await;
    // A rule lives as long as its programs: whoever asked for it counts on it until the command has ended, too.
    let guard = args.act.is_set().then_some(setup);
    if guard.is_some() && stop.has_command() {
        say("memwatch: tracing has ended; the rule of --act stays until the command ends");
    }
    let status = stop.wait_for_command().await;
    drop(guard);
    let ended = match (ended, status) {
        // The command's own failure says more than that of telling about it.
        (Err(error), Some(status)) if !status.success() => {
            say(&format!("memwatch: {error:#}"));
            return Ok(Traced { code: code_of(status), findings: 0 });
        }
        (ended, _) => ended?,
    };
    if (form != Output::Table || ended.gave_up) && !ended.output_closed {
        say(&summary_text(&ended));
    }
    Ok(Traced { code: status.map_or(ExitCode::SUCCESS, code_of), findings: ended.summary.findings.len() })
}

fn summary_text(ended: &Ended) -> String {
    let mut text = Vec::new();
    Table::new(width(), false).summary(&ended.summary, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The command's own status as a shell would give it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Columns of standard output, or enough where it is no terminal.
pub(super) fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return 160;
    }
    crate::sys::terminal_width().unwrap_or(100)
}

/// Lines that fit the terminal, if there is one.
fn wrapped(text: &str) -> String {
    if !std::io::stderr().is_terminal() {
        return text.to_owned();
    }
    let mut lines = Vec::new();
    for line in text.lines() {
        wrap(line, (0, 2), width(), &mut lines);
    }
    String::from_utf8_lossy(&lines).into_owned()
}

/// Tells the person at the terminal; standard output is for events.
fn say(text: &str) {
    // Nobody to tell is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
