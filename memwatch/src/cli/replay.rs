//! `memwatch replay`: what a policy would have done to what was recorded.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::daemon::Output;
use crate::config;
use crate::core::quantity::{Bytes, Counted};
use crate::export::decision::{Decisions, sentence};
use crate::export::route::Form;
use crate::replay::{self, Player};

/// Arguments of `memwatch replay`.
#[derive(Debug, clap::Args)]
#[command(
    about = "Play a recording to a policy and print every decision it would have made",
    after_help = "\
`memwatch record` and `memwatch daemon --record FILE` make recordings. Whoever is signalled ends at once in the play, and what it held is free \
from then on. The same recording and policy give the same lines, byte for byte; times are those of the recording.

Example:
  memwatch replay --config policy.toml incident.jsonl"
)]
pub struct Args {
    /// The policy, in TOML; it is played as if it were enforced
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Form of the lines about decisions; the default is text on a terminal, else json
    #[arg(long, short, value_enum, value_name = "FORM")]
    output: Option<Output>,
    /// The recording
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
}

/// Runs the subcommand.
///
/// # Errors
/// When the configuration has faults, or the recording cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut settings = config::load(&args.config)?.policy;
    settings.mode = crate::core::policy::Mode::Enforce;
    let file = File::open(&args.recording)
        .with_context(|| format!("cannot open the recording {}", args.recording.display()))?;
    let form = Output::or_suitable(args.output);
    // The recording's host may have been another one: its boot clock is all there is.
    let decisions = Decisions::new(None);
    let mut player = Player::new(settings);
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    for recorded in replay::read(BufReader::new(file)) {
        player.play(recorded?, &mut |time_ns, command, engine, outbox| {
            let mut line = Vec::new();
            match form {
                Form::Json => decisions.json(time_ns, command, engine, outbox, &mut line),
                Form::Text => {
                    if let Some(text) = sentence(command, engine, outbox) {
                        line = format!("{:>12.3} s  {text}\n", time_ns as f64 / 1e9).into_bytes();
                    }
                }
            }
            if written.is_ok() {
                written = output.write_all(&line);
            }
        });
    }
    let total = player.total();
    let freed = total.ended.iter().map(|(_, bytes)| bytes).sum();
    let text = format!(
        "{} played: {}, {} freed; {} in use at most\n",
        Counted(total.inputs, "input"),
        Counted(total.ended.len() as u64, "victim"),
        Bytes(freed),
        Bytes(total.highest_use)
    );
    drop(output);
    written.context("cannot write standard output")?;
    // Nobody to tell is no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
