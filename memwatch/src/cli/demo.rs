//! `memwatch demo`: the incident in small, without a server.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::FromArgMatches;

use super::trace;
use crate::sys;

/// Arguments of `memwatch demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The child reads RLIMIT_NOFILE as a server does at its start, allocates one pointer per possible descriptor, and \
touches all of them. Its memory is small where the limit is small: raise it first (`ulimit -n 1048576`, or more \
where the hard limit allows) to see what a large one costs.

Exit status: 0 with a finding, else not 0.")]
pub struct Args {
    /// Be the child: allocate and end
    #[arg(long, hide = true)]
    child: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When tracing or the child fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.child {
        sys::allocate_per_descriptor().context("the demonstration's child cannot allocate its table")?;
        return Ok(ExitCode::SUCCESS);
    }
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let words =
        ["trace", "--output", "table", "--min-table", "0", "--event", "rlimit_read,mmap,fd_table,exit"];
    let words = words.iter().map(OsString::from);
    let child = [OsString::from("--"), own.into(), "demo".into(), "--child".into()];
    // The same arguments as on the command line, so that the demonstration shows what a user would type.
    let command = <trace::Args as clap::Args>::augment_args(clap::Command::new("trace"));
    let matches = command.try_get_matches_from(words.chain(child))?;
    let traced = trace::run(trace::Args::from_arg_matches(&matches)?, false)?;
    ensure!(
        traced.findings > 0 || traced.code != ExitCode::SUCCESS,
        "the demonstration's child ended without a finding; `memwatch doctor` tells what could not be attached"
    );
    Ok(traced.code)
}
