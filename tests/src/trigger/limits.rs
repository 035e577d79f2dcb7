//! Limits read and set by each call.

use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use memwatch_tests::syscall::limit::{self, Limit};
use memwatch_tests::syscall::process::{self, Forked};

use crate::report::Report;
use crate::table::thread_id;

/// A way to come to know a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// `getrlimit(2)`.
    Getrlimit,
    /// `prlimit64(2)`.
    Prlimit,
    /// `prlimit64(2)` that names the caller by its id.
    PrlimitOwnId,
    /// `prlimit64(2)` with one buffer for the new and the old limit.
    PrlimitOneBuffer,
    /// `sysconf(3)`: descriptors only.
    Sysconf,
    /// `setrlimit(2)` to a value that was not read.
    Setrlimit,
    /// Not at all.
    None,
}

#[derive(Args)]
pub(crate) struct ReadLimit {
    #[arg(long, value_enum)]
    by: By,
    #[arg(long, default_value_t = limit::NOFILE)]
    resource: u32,
}

impl ReadLimit {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let read = match self.by {
            By::Getrlimit | By::Setrlimit => limit::get(self.resource).context("getrlimit")?,
            By::Prlimit | By::PrlimitOneBuffer => {
                limit::of_process(0, self.resource, None).context("prlimit64")?
            }
            By::PrlimitOwnId => limit::of_process(own_id()?, self.resource, None).context("prlimit64")?,
            By::Sysconf | By::None => Limit { soft: limit::open_max(), hard: 0 },
        };
        report.add("soft", read.soft);
        report.add("hard", read.hard);
        Ok(())
    }
}

/// The caller's id in its own pid namespace.
pub(crate) fn own_id() -> anyhow::Result<i32> {
    i32::try_from(std::process::id()).context("a process id")
}

/// Reads all 16 limits, in the order of their numbers.
pub(crate) fn read_all() -> anyhow::Result<()> {
    for resource in 0..limit::RESOURCES {
        limit::get(resource).with_context(|| format!("getrlimit of resource {resource}"))?;
    }
    Ok(())
}

#[derive(Args)]
pub(crate) struct SetLimit {
    #[arg(long, value_enum, default_value = "setrlimit")]
    by: By,
    #[arg(long, default_value_t = limit::NOFILE)]
    resource: u32,
    #[arg(long)]
    soft: u64,
    #[arg(long)]
    hard: u64,
    /// The kernel is expected to refuse it.
    #[arg(long)]
    refused: bool,
    /// Pass an address where nothing is before, so many times.
    #[arg(long, default_value_t = 0)]
    from_nowhere: u32,
    /// Whose limit is set before, by its id.
    #[arg(long, value_enum)]
    after: Option<Other>,
}

/// Who is named by an id that is not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Other {
    /// A child.
    Child,
    /// Another thread of the caller, which is not its first.
    Thread,
}

impl SetLimit {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        for _ in 0..self.from_nowhere {
            let done = limit::set_from_nowhere(self.resource);
            anyhow::ensure!(done.is_err(), "the kernel read a limit where nothing is");
        }
        let new = Limit { soft: self.soft, hard: self.hard };
        match self.after {
            Some(Other::Child) => drop(set_of_child(self.resource, new, false)?),
            Some(Other::Thread) => limit::set_of_process(living_thread()?, self.resource, new)?,
            None => {}
        }
        let done = match self.by {
            By::Prlimit => limit::of_process(0, self.resource, Some(new)).map(drop),
            By::PrlimitOneBuffer => limit::swap(self.resource, new).map(drop),
            By::Getrlimit | By::PrlimitOwnId | By::Sysconf | By::Setrlimit | By::None => {
                limit::set(self.resource, new)
            }
        };
        if self.refused {
            anyhow::ensure!(done.is_err(), "the kernel took a limit that it should refuse");
            return Ok(());
        }
        done.context("set the limit")
    }
}

#[derive(Args)]
pub(crate) struct LimitChild {
    #[arg(long, default_value_t = limit::NOFILE)]
    resource: u32,
    #[arg(long)]
    soft: u64,
    #[arg(long)]
    hard: u64,
    /// The old limit is not asked for.
    #[arg(long)]
    blind: bool,
}

impl LimitChild {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let child = set_of_child(self.resource, Limit { soft: self.soft, hard: self.hard }, self.blind)?;
        report.add("child", child);
        Ok(())
    }
}

/// Id of a thread that runs until the process ends.
fn living_thread() -> anyhow::Result<i32> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = tell.send(thread_id());
        sleep(Duration::from_secs(60));
    });
    let id = told.recv().context("ask a thread for its id")?;
    i32::try_from(id).context("a thread id")
}

/// Sets a limit of a child, which ends then; blindly without asking for the old one.
fn set_of_child(resource: u32, new: Limit, blind: bool) -> anyhow::Result<i32> {
    match process::fork()? {
        Forked::Child => {
            process::die_with_parent()?;
            sleep(Duration::from_secs(60));
            process::exit_now(0)
        }
        Forked::Parent(child) => {
            let set = if blind {
                limit::set_of_process(child, resource, new)
            } else {
                limit::of_process(child, resource, Some(new)).map(drop)
            };
            process::signal(child.unsigned_abs(), libc::SIGKILL)?;
            process::wait(child)?;
            set.context("set the child's limit").map(|()| child)
        }
    }
}
