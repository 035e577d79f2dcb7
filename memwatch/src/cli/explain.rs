//! `memwatch explain`: asks the running daemon who would go now, and why.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::core::policy::explain::Query;
use crate::export::explain::{self, Answer};
use crate::runtime::daemon::socket::DEFAULT;

/// Longest time without a byte of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer: far above that about 10,000 processes.
const ANSWER_MAX: u64 = 256 << 20;

/// Arguments of `memwatch explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks over the daemon's socket, which only root and the daemon's own user may use, and changes nothing. Candidates are ranked as \
the daemon itself would rank them at that moment; whoever is none, and why, is told below. Exit status: 0 answered, \
1 not, or nobody of that id or name is known.

Examples:
  memwatch explain                  all scopes: use, bounds, candidates, what is under way
  memwatch explain 4711             would this process go, and why or why not
  memwatch explain web              the workers of this pool
  memwatch explain --output json | jq '.scopes[].candidates[] | select(.goes)'")]
pub struct Args {
    /// A process id, or the name of a pool; everything when left out
    #[arg(value_name = "PID|POOL")]
    about: Option<String>,
    /// Form of the output
    #[arg(long, short, default_value = "text", value_name = "FORM")]
    output: Form,
    /// Socket of the daemon
    #[arg(long, default_value = DEFAULT, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    socket: PathBuf,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Tables and sentences
    Text,
    /// One JSON object; docs/decisions.md tells its keys
    Json,
}

/// Runs the subcommand.
///
/// # Errors
/// When no daemon answers, or nobody of that id or name is known to it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let query = match &args.about {
        None => Query::All,
        Some(text) => text.parse().map_or_else(|_| Query::Pool(text.clone()), Query::Process),
    };
    let text = ask(&args.socket, &query)?;
    let answer: Answer = serde_json::from_slice(&text)
        .context("the answer is not one of this version of memwatch; use that of the daemon")?;
    if answer.is_about_nobody() {
        match &query {
            Query::Process(pid) => {
                bail!("the daemon knows no process {pid}: it has ended, or is in another pid namespace")
            }
            Query::Pool(name) => {
                bail!("no pool {name:?} has a worker now; `memwatch explain` lists those that have")
            }
            Query::All => {}
        }
    }
    match args.output {
        Form::Json => super::print(&text),
        Form::Text => super::print(explain::text(&answer, &query).as_bytes()),
    }
}

/// Sends a question and reads the answer.
fn ask(socket: &Path, query: &Query) -> anyhow::Result<Vec<u8>> {
    let mut peer = UnixStream::connect(socket).map_err(|error| unreached(socket, &error))?;
    peer.set_read_timeout(Some(PATIENCE)).and_then(|()| peer.set_write_timeout(Some(PATIENCE)))?;
    let mut question = serde_json::to_vec(query)?;
    question.push(b'\n');
    let mut text = Vec::new();
    let read = peer.write_all(&question).and_then(|()| peer.take(ANSWER_MAX).read_to_end(&mut text));
    match read {
        Ok(_) => {}
        // It closed before it had read the question: the answer is not whole.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {}
        Err(error) => {
            let socket = socket.display();
            return Err(error).context(format!("the daemon at {socket} does not answer; look at its log"));
        }
    }
    if text.last() != Some(&b'\n') {
        bail!(
            "the daemon at {} gave no whole answer: it answers root and its own user only, a few at a time; try again",
            socket.display()
        );
    }
    Ok(text)
}

fn unreached(socket: &Path, error: &io::Error) -> anyhow::Error {
    let remedy = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => "run as root",
        Some(libc::ENOENT | libc::ECONNREFUSED) => {
            "start `memwatch daemon`, or name its socket with --socket"
        }
        _ => "name the daemon's socket with --socket",
    };
    anyhow::anyhow!("no daemon can be asked at {}: {error}; {remedy}", socket.display())
}
