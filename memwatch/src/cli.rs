//! The command line: one file per subcommand.

pub mod audit;
pub mod check;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod forecast;
pub mod manual;
mod quiet_stderr;
pub mod record;
pub mod replay;
pub mod scan;
pub mod trace;
pub mod values;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

/// Sees memory asked for in the kernel, names the limit that led to it, and explains what it will cost.
#[derive(Debug, Parser)]
#[command(
    name = "memwatch",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Start with `memwatch demo`: it needs no server and shows what a finding looks like.
Then `memwatch trace` watches the whole host, and `memwatch trace -- COMMAND` one program from its first instruction.
Exit status: 0 done, 1 failed, 2 wrong usage; `audit`, `doctor`, `scan` and `trace -- COMMAND` have their own."
)]
pub struct Cli {
    /// Log to standard error: -v hooks, rules and state changes, -vv refusals too, -vvv all; MEMWATCH_LOG takes a
    /// filter instead
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show memory, limits and fd tables live
    Trace(Box<trace::Args>),
    /// List processes whose memory follows from their descriptor limit, or will after a restart
    Scan(scan::Args),
    /// Tell what this machine offers: kernel, rights, each hook and the way it attaches
    Doctor(doctor::Args),
    /// Set what each cgroup's processes truly hold beside what the kernel charged it for
    Audit(audit::Args),
    /// Work out the worst case of pools of workers, and the settings that follow
    Forecast(forecast::Args),
    /// Start a child that allocates one slot per descriptor, and show the finding
    Demo(demo::Args),
    /// Check a configuration, and say in words what it would do
    Check(check::Args),
    /// Keep a memory policy: tell what would be done, or do it
    Daemon(daemon::Args),
    /// Ask the running daemon who would go now, and why
    Explain(explain::Args),
    /// Record what a policy goes by, without one
    Record(record::Args),
    /// Play a recording to a policy and print every decision it would have made
    Replay(replay::Args),
    /// Write the manual pages, one for each subcommand
    Manual(manual::Args),
    /// Print the completion script of a shell
    Completions {
        /// Shell to write for
        shell: clap_complete::Shell,
    },
}

/// Reads the words of the command line.
fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse_from(words).map_err(|error| told_how_to_run(error, words))?;
    if let Command::Trace(args) = &cli.command
        && let Err(reason) = args.check(words.last().is_some_and(|last| last == "--"))
    {
        let mut command = Cli::command();
        command.build();
        let trace = command.find_subcommand_mut("trace").cloned();
        let kind = clap::error::ErrorKind::MissingRequiredArgument;
        return Err(trace.unwrap_or(command).error(kind, reason));
    }
    Ok(cli)
}

/// A word that `trace` does not know is most likely the command to run.
fn told_how_to_run(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let mut plain = words.iter().skip(1).filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
    if plain.next().is_some_and(|word| word == "trace")
        && error.kind() == clap::error::ErrorKind::UnknownArgument
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && !word.starts_with('-')
    {
        let tip = format!("to start and trace a command, write '-- {word}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Runs the command line; the exit status says how it went.
#[must_use]
pub fn run() -> ExitCode {
    let cli = parse(&std::env::args_os().collect::<Vec<_>>()).unwrap_or_else(|error| error.exit());
    start_log(cli.verbose);
    let done = match cli.command {
        Command::Trace(args) => trace::run(*args, cli.verbose > 0).map(|traced| traced.code),
        Command::Scan(args) => Ok(scan::run(&args)),
        Command::Doctor(args) => doctor::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Forecast(args) => forecast::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Daemon(args) => daemon::run(args, cli.verbose > 0),
        Command::Explain(args) => explain::run(&args),
        Command::Record(args) => record::run(args, cli.verbose > 0),
        Command::Replay(args) => replay::run(&args),
        Command::Manual(args) => manual::run(&args, Cli::command()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "memwatch", &mut script);
            print(&script)
        }
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        error.downcast_ref::<trace::NotStarted>().map_or(ExitCode::FAILURE, |error| error.exit_code().into())
    })
}

/// Writes a whole text to standard output; a reader that went away is a quiet end.
fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    let mut output = std::io::stdout();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Logs to standard error; what the kernel side logs comes the same way.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        // Targets that begin so: this program, and the kernel side.
        1 => "warn,memwatch=info",
        2 => "warn,memwatch=debug",
        _ => "trace",
    };
    let filter = std::env::var("MEMWATCH_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        complain(&anyhow::anyhow!(
            "MEMWATCH_LOG is not a log filter ({error}); logging at `{level}` instead"
        ));
        tracing_subscriber::EnvFilter::new(level)
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(quiet_stderr::QuietStderr::default)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn complain(error: &anyhow::Error) {
    // Nobody to tell is no reason to abort.
    let _ = writeln!(std::io::stderr(), "memwatch: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// What follows the options is wrapped where it is shown: a paragraph is one line.
    #[test]
    fn no_help_breaks_its_own_lines() {
        for subcommand in Cli::command().get_subcommands() {
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_prose =
                |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.starts_with("Example");
            for (line, next) in help.lines().zip(help.lines().skip(1)) {
                assert!(!(is_prose(line) && is_prose(next)), "{}: {line:?} is cut", subcommand.get_name());
            }
        }
    }
}
