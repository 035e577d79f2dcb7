//! `memwatch daemon`: the policy, enforced or observed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::values::parse_time_to_end;
use crate::export::route::Form;
use crate::probe::WayKind;
use crate::probe::attach::Options;
use crate::runtime::daemon::{self, Policy, Socket, Start};

/// Arguments of `memwatch daemon`.
#[derive(Debug, clap::Args)]
#[command(
    about = "Keep a memory policy: tell what would be done, or do it",
    after_help = "\
The configuration says whether the policy is only observed (the default) or enforced, and in which part of the host; \
`memwatch check FILE` explains one in words. SIGHUP, or a change of the file, puts a new one in force: one with faults \
changes nothing.

Examples:
  memwatch daemon --config policy.toml                  decisions as sentences
  memwatch daemon --config policy.toml --output json    decisions as JSON lines, for a log pipeline
  memwatch daemon --config policy.toml --record f.jsonl keep every input for `memwatch replay`"
)]
pub struct Args {
    /// The policy, in TOML
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Form of the lines about decisions; the default is text on a terminal, else json
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<Output>,
    /// Write every input to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Socket at which `memwatch explain` asks; its folder is made if need be [default: /run/memwatch/daemon.sock]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// End after this time
    #[arg(long, value_parser = parse_time_to_end, allow_hyphen_values = true, value_name = "TIME")]
    duration: Option<Duration>,
    /// Use only these ways to attach; a hook that has none of them keeps its own
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    attach: Vec<WayKind>,
}

/// Form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// A sentence a line
    Text,
    /// One object a line
    Json,
}

impl Output {
    /// The form asked for, or the one that suits standard output.
    pub(super) fn or_suitable(asked: Option<Self>) -> Form {
        let is_text = match asked {
            Some(form) => form == Self::Text,
            None => std::io::IsTerminal::is_terminal(&std::io::stdout()),
        };
        if is_text { Form::Text } else { Form::Json }
    }
}

/// Runs the subcommand; `kernel_log` asks for the kernel side's own log as well.
///
/// # Errors
/// When the configuration has faults, or nothing can be attached.
pub fn run(args: Args, kernel_log: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Start {
        policy: Policy::File(args.config),
        options: Options { ways: args.attach, kernel_log, ..Options::default() },
        form: Some(Output::or_suitable(args.output)),
        record: args.record,
        record_cgroup: None,
        socket: args.socket.map_or(Socket::Usual, Socket::At),
        duration: args.duration,
    };
    let recording = runtime.block_on(daemon::run(start))?;
    if let Some(tally) = recording.filter(|tally| tally.missing() > 0) {
        tracing::error!("the recording lacks {} inputs", tally.missing());
    }
    Ok(ExitCode::SUCCESS)
}
