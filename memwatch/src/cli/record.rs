//! `memwatch record`: everything that a policy goes by, written down without one.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::values::parse_time_to_end;
use crate::config;
use crate::core::policy::{Amount, Bounds, Reach, Settings, Sizing};
use crate::core::quantity::{Bytes, Counted, Nanos};
use crate::probe::WayKind;
use crate::probe::attach::Options;
use crate::runtime::daemon::{self, Policy, Socket, Start};

/// Arguments of `memwatch record`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes what a policy would go by: processes that start and end, their memory, the host's, fd tables. Nothing is decided and nobody \
is touched. `memwatch replay --config POLICY FILE` then prints every decision that a policy would have made. Needs the rights \
of `memwatch trace`. Exit status: 0 all is in the file, 1 something is missing from it, which is told.

Examples:
  memwatch record inputs.jsonl                          the whole host, until Ctrl-C
  memwatch record inputs.jsonl --duration 10min         for a while
  memwatch record web.jsonl --cgroup /system.slice/web.service    only these processes, and the host's memory")]
pub struct Args {
    /// File to write, anew
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Only processes of this cgroup and of those below it: its path as in /proc/PID/cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// End after this time
    #[arg(long, value_parser = parse_time_to_end, allow_hyphen_values = true, value_name = "TIME")]
    duration: Option<Duration>,
    /// Use only these ways to attach; a hook that has none of them keeps its own
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    attach: Vec<WayKind>,
}

/// Runs the subcommand; `kernel_log` asks for the kernel side's own log as well.
///
/// # Errors
/// When nothing can be attached, or the file cannot be written at all.
pub fn run(args: Args, kernel_log: bool) -> anyhow::Result<ExitCode> {
    let cgroup = args.cgroup.map(|path| path.trim_end_matches('/').to_owned());
    if let Some(path) = cgroup.as_deref().filter(|path| !path.starts_with('/')) {
        anyhow::bail!(
            "--cgroup {path} is no cgroup's path; write it as /proc/PID/cgroup has it: /system.slice/web.service"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Start {
        policy: Policy::Fixed(Box::new(settings(cgroup.as_deref())?)),
        options: Options { ways: args.attach, kernel_log, ..Options::default() },
        form: None,
        record: Some(args.file.clone()),
        record_cgroup: cgroup.clone(),
        socket: Socket::None,
        duration: args.duration,
    };
    let started = Instant::now();
    let tally = runtime.block_on(daemon::run(start))?.unwrap_or_default();
    let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    // Nobody to tell is no reason to fail.
    let _ = writeln!(
        std::io::stderr(),
        "\nmemwatch: {} in {}, {} in {}; `memwatch replay --config POLICY {}` plays it",
        Counted(tally.written, "input"),
        args.file.display(),
        Bytes(tally.bytes),
        Nanos(took),
        args.file.display()
    );
    if let Some(cgroup) = cgroup.filter(|_| tally.processes == 0) {
        tracing::warn!("no process was in cgroup {cgroup}; /proc/PID/cgroup has the paths of those that run");
    }
    ensure!(
        tally.missing() == 0,
        "{} inputs are missing from {}: {}",
        tally.missing(),
        args.file.display(),
        tally.reason()
    );
    Ok(ExitCode::SUCCESS)
}

/// Times of a size that nothing ever changes: they make a look a second.
const LOOKS_NS: u64 = 4_000_000_000;

/// What has everything followed and nothing decided: bounds that use does not reach, and tables of any confidence told.
fn settings(cgroup: Option<&str>) -> anyhow::Result<Settings> {
    let mut settings = config::parse(
        "[[fd_table]]\nmatch = \"all\"\nconfidence = \"low\"\nmin_bytes = \"1MiB\"\n",
        "built in".as_ref(),
    )?
    .policy;
    for scope in &mut settings.scopes {
        scope.reach = cgroup.map_or(Reach::Host, |path| Reach::Cgroup(path.to_owned()));
        scope.any_process = true;
        scope.bounds = Some(Bounds {
            lower: Amount::Share(9_998),
            upper: Amount::Share(9_999),
            exponent: 1.0,
            steps: Vec::new(),
        });
    }
    (settings.pressure, settings.growth) = (None, None);
    // Pools are looked at, with sizes that nothing is ever far enough from.
    if let Some(pools) = &mut settings.found_pools {
        pools.size = Some(Sizing {
            max_workers: 0,
            idle_min: u32::MAX,
            idle_for_ns: LOOKS_NS,
            waiting: u32::MAX,
            waiting_for_ns: LOOKS_NS,
            spare: 0,
            turn_ns: LOOKS_NS,
        });
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::Mode;

    #[test]
    fn a_recording_decides_nothing() {
        let settings = settings(Some("/a")).unwrap();
        assert_eq!(settings.mode, Mode::Observe);
        assert_eq!(settings.scopes.len(), 1);
        assert!(settings.pools.is_empty() && settings.growth.is_none());
        let pools = settings.found_pools.unwrap();
        assert!(pools.soft.or(pools.hard).or(pools.total).is_none());
        assert_eq!(pools.size.map(|size| (size.max_workers, size.idle_min)), Some((0, u32::MAX)));
    }
}
