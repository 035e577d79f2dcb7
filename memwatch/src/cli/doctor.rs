//! `memwatch doctor`: what this machine offers.

mod host;
mod remedy;
mod report;
mod running;

use std::io::IsTerminal;
use std::process::ExitCode;

use memwatch_ebpf::abi::knobs::Knobs;

use super::values::Color;
use crate::probe::attach::{HookStatus, Options, Probe, ProbeError};
use crate::probe::{REFUSE, WayKind};
use report::{HookReport, Report};

/// Arguments of `memwatch doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Attaches every hook for a moment and detaches it again.

Exit status: 0 every hook that observes attaches, 3 tracing works but some hook does not attach, 1 tracing is not \
possible.")]
pub struct Args {
    /// Form of the output; the default is table on a terminal, else json
    #[arg(long, short)]
    output: Option<Form>,
    /// When to use colours
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: Color,
    /// Use only these ways to attach; a hook that has none of them keeps its own
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    attach: Vec<WayKind>,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Text for people
    Table,
    /// One JSON object, indented
    Json,
}

/// Exit status when tracing works with losses.
const DEGRADED: u8 = 3;

/// Runs the subcommand.
///
/// # Errors
/// When the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Other instances first: what they cost so far is not to be mixed with programs loaded here.
    let running = running::programs(host::has_bpf_stats() == Some(true));
    let options = Options {
        ways: args.attach.clone(),
        ring_bytes: 1 << 16,
        processes: 64,
        refuse: true,
        watch_rss: true,
        watch_touch: true,
        ..Options::default()
    };
    let probed = Probe::load(&options, &Knobs::default());
    let host = host::look();
    let told = |hooks: &[HookStatus], probe| {
        hooks.iter().map(|status| HookReport::of(status, probe, &host)).collect()
    };
    let (hooks, missing_fields, failure) = match &probed {
        Ok(probe) => (told(&probe.hooks, Some(probe)), probe.missing_fields.clone(), None),
        Err(error @ ProbeError::NothingAttached(hooks)) => {
            (told(hooks, None), Vec::new(), Some(error.to_string()))
        }
        Err(error) => (HookReport::all_untried(), Vec::new(), Some(error.to_string())),
    };
    let report = Report { host, failure, hooks, missing_fields, running };
    drop(probed);
    let suitable = if std::io::stdout().is_terminal() { Form::Table } else { Form::Json };
    match args.output.unwrap_or(suitable) {
        Form::Json => super::print(format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes())?,
        Form::Table => super::print(report.text(args.color.on_stdout(), super::trace::width()).as_bytes())?,
    };
    Ok(if report.failure.is_some() {
        ExitCode::FAILURE
    } else if report.hooks.iter().any(|hook| hook.attached.is_none() && hook.name != REFUSE.name) {
        ExitCode::from(DEGRADED)
    } else {
        ExitCode::SUCCESS
    })
}
