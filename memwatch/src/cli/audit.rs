//! `memwatch audit`: what cgroups truly hold, beside what the kernel charged them for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::values::{Color, Output, parse_size};
use crate::core::audit::{Audit, Report, Survey, Thresholds, balance::balance};
use crate::enrich::proc::ProcFs;
use crate::enrich::survey::{Reading, place, survey};
use crate::export::audit::{json, table};
use crate::export::clock::Clock;
use crate::sys;

/// Arguments of `memwatch audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the page tables of every process; needs root on the host, and no BPF. On a large host a sample of the pages is \
read, and every figure has an interval. Exit status: 0 no cgroup is under-charged, 3 one is, 1 failed.")]
pub struct Args {
    /// Read every page, however long it takes
    #[arg(long, conflicts_with = "sample")]
    exact: bool,
    /// Read one page in N; the default suits the host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    sample: Option<u64>,
    /// Tell of this cgroup and those below it only; all processes are read nevertheless
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Bytes charged elsewhere from which on a cgroup is under-charged
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    min_missing: u64,
    /// Percent of its true use charged elsewhere from which on a cgroup is under-charged
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = clap::value_parser!(u64).range(0..=100))]
    min_share: u64,
    /// Cgroups in the table at most
    #[arg(long, value_name = "N", default_value = "20")]
    top: usize,
    /// Files told of each owner at most
    #[arg(long, value_name = "N", default_value = "5")]
    files: usize,
    /// Show in the table for every cgroup what an under-charged one shows
    #[arg(long)]
    details: bool,
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Output>,
    /// When to use colours
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

/// Exit status when a cgroup is under-charged.
const FOUND: u8 = 3;

/// Runs the subcommand.
///
/// # Errors
/// When the host cannot be read, or the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let proc = ProcFs::open(Path::new("/proc")).context("cannot open /proc: mount proc there")?;
    let reading = match args.sample {
        _ if args.exact => Reading::Exact,
        Some(rate) => Reading::OneIn(rate),
        None => Reading::Suiting,
    };
    let (survey, notes) = survey(&proc, reading)?;
    let mut audit = balance(&survey, Thresholds { bytes: args.min_missing, percent: args.min_share });
    if let Some(path) = &args.cgroup {
        keep(&survey, &mut audit, path)?;
    }
    let listed = audit.balances.iter().flat_map(|balance| &balance.elsewhere);
    let listed = listed.flat_map(|elsewhere| elsewhere.of.iter().take(args.files));
    let items: std::collections::HashSet<u32> = listed.filter_map(|part| part.item).collect();
    let places: HashMap<_, _> =
        items.into_iter().filter_map(|number| Some((number, place(survey.items.get(number)?)))).collect();
    let report = Report { survey, audit, notes, places, time_ns: sys::boot_ns(), files: args.files };
    match Output::or_suitable(args.output) {
        Output::Json => {
            let mut lines = Vec::new();
            json::write(&report, Clock::of_this_host(), &mut lines);
            super::print(&lines)?
        }
        Output::Table => {
            let style = table::Style {
                top: args.top,
                has_details: args.details,
                is_coloured: args.color.on_stdout(),
            };
            super::print(table::text(&report, style).as_bytes())?
        }
        Output::None => ExitCode::SUCCESS,
    };
    Ok(if report.findings() > 0 { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// Leaves the cgroup at a path and those below it.
fn keep(survey: &Survey, audit: &mut Audit, path: &Path) -> anyhow::Result<()> {
    let wanted = path.as_os_str().as_encoded_bytes();
    let found = survey.tree.groups().iter().position(|group| {
        group.path == wanted
            || std::fs::metadata(path).is_ok_and(|it| std::os::unix::fs::MetadataExt::ino(&it) == group.id)
    });
    let found = found.and_then(|at| u32::try_from(at).ok()).with_context(|| {
        format!("there is no cgroup {path:?} that charges memory; `systemd-cgls` lists them")
    })?;
    audit.balances.retain(|it| survey.tree.is_within(it.group, found));
    audit.dying.retain(|it| survey.tree.is_within(it.below, found));
    Ok(())
}
