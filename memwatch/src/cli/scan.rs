//! `memwatch scan`: what is on the host already, read from `/proc` alone.

mod look;
mod pending;
mod select;
mod walk;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use super::values::{Color, Level, Output, parse_size};
use crate::export::scan::{Report, Unread};
use walk::Walked;

/// Arguments of `memwatch scan`.
#[derive(Debug, clap::Args)]
#[command(
    about = "List processes whose memory follows from their descriptor limit, or will after a restart",
    after_help = "\
Examples:
  memwatch scan                                  the whole host
  memwatch scan --cgroup /kubepods.slice         the pods of a node
  memwatch scan --min-table 1GiB 2>/dev/null || notify      from cron: silent when nothing is found and all could be read
  memwatch scan --output json --min-confidence low

Needs neither BPF nor root; without root the memory of other users' processes is out of sight, and is counted.

Exit status: 0 nothing at or above --min-table, 1 something found, 2 the scan failed or wrong usage, 3 nothing found \
but some processes could not be read."
)]
pub struct Args {
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Output>,
    /// When to use colours
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
struct Filters {
    /// Only these processes
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pid: Vec<u32>,
    /// Only this process and its descendants
    #[arg(long, value_name = "PID", conflicts_with = "pid")]
    tree: Option<u32>,
    /// Only processes in this cgroup (of any hierarchy) and those below
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Smallest sum of a process's fd tables that is a finding
    #[arg(long, default_value = "64MiB", value_parser = parse_size, value_name = "SIZE")]
    min_table: u64,
    /// Least confidence that is a finding
    #[arg(long, default_value = "medium", value_name = "LEVEL")]
    min_confidence: Level,
}

/// Something is at or above the floor.
const FOUND: u8 = 1;
/// The scan failed. Wrong usage ends in the same status.
const FAILED: u8 = 2;
/// Nothing was found, but not everything could be read.
const DEGRADED: u8 = 3;

/// Runs the subcommand. A failure has an exit status of its own, as the usual one means that something was found.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    scan(args).unwrap_or_else(|error| {
        super::complain(&error);
        ExitCode::from(FAILED)
    })
}

fn scan(args: &Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let Walked { mut exposures, unread, scanned } = walk::walk(&args.filters)?;
    exposures.sort_by_cached_key(|exposure| exposure.rank());
    let report = Report { exposures, unread, scanned, took: started.elapsed() };
    let form = Output::or_suitable(args.output);
    print(&report, form, args.color).context("cannot write standard output")?;
    if form != Output::Table {
        // Nobody to tell is no reason to fail.
        let _ = writeln!(std::io::stderr(), "memwatch: {}", report.summary());
    }
    Ok(if !report.exposures.is_empty() {
        ExitCode::from(FOUND)
    } else if report.unread != Unread::default() {
        ExitCode::from(DEGRADED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Writes the report; a reader that went away is a quiet end.
fn print(report: &Report, form: Output, color: Color) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let written = match form {
        Output::Json => report.json(&mut output),
        Output::Table => report.table(super::trace::width(), color.on_stdout(), &mut output),
        Output::None => Ok(()),
    };
    match written.and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
