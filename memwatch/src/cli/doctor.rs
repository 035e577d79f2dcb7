//! `memwatch doctor`: what this machine offers.

mod host;
mod report;

use std::process::ExitCode;

use memwatch_ebpf::abi::knobs::Knobs;

use super::values::{Color, Output};
use crate::probe::attach::{Options, Probe};
use crate::probe::{REFUSE, WayKind};
use report::{HookReport, Report};

/// Arguments of `memwatch doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Attaches every hook for a moment and detaches it again. Exit status: 0 every hook that observes attaches, 3 tracing
works but some hook does not attach, 1 tracing is not possible.")]
pub struct Args {
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Output>,
    /// When to use colours
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    /// Use only these ways to attach
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    attach: Vec<WayKind>,
}

/// Exit status when tracing works with losses.
const DEGRADED: u8 = 3;

/// Runs the subcommand.
///
/// # Errors
/// When the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Other instances first: what they cost so far is not to be mixed with programs loaded here.
    let running = host::running_programs();
    let options = Options {
        ways: args.attach.clone(),
        ring_bytes: 1 << 16,
        processes: 64,
        refuse: true,
        watch_rss: true,
        ..Options::default()
    };
    let probed = Probe::load(&options, &Knobs::default());
    let (hooks, missing_fields, failure) = match &probed {
        Ok(probe) => (
            probe.hooks.iter().map(|status| HookReport::of(status, probe)).collect(),
            probe.missing_fields.clone(),
            None,
        ),
        Err(error) => (Vec::new(), Vec::new(), Some(error.to_string())),
    };
    let report = Report { host: host::look(), failure, hooks, missing_fields, running };
    drop(probed);
    match Output::or_suitable(args.output) {
        Output::Json => super::print(format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes())?,
        Output::Table => super::print(report.text(args.color.on_stdout()).as_bytes())?,
        Output::None => ExitCode::SUCCESS,
    };
    Ok(if report.failure.is_some() {
        ExitCode::FAILURE
    } else if report.hooks.iter().any(|hook| hook.attached.is_none() && hook.name != REFUSE.name) {
        ExitCode::from(DEGRADED)
    } else {
        ExitCode::SUCCESS
    })
}
