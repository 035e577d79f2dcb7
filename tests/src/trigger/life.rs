//! Processes and threads that begin and end.

use std::process::{Command, ExitCode};
use std::thread;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory::{self, PRIVATE, READ_WRITE};
use memwatch_tests::syscall::process::{self, Forked};

use crate::report::Report;

#[derive(Args)]
pub(crate) struct Burst {
    /// Children in all.
    #[arg(long)]
    count: u32,
    /// Have each execute this program, else it ends at once.
    #[arg(long)]
    exec: bool,
}

impl Burst {
    /// Children alive at a time: enough to keep every CPU busy, few enough for a small guest.
    const ALIVE: u32 = 64;

    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let own = std::env::current_exe().context("find this program")?;
        let mut alive: std::collections::VecDeque<i32> = std::collections::VecDeque::new();
        for _ in 0..self.count {
            if alive.len() as u32 == Self::ALIVE
                && let Some(child) = alive.pop_front()
            {
                process::wait(child)?;
            }
            match process::fork()? {
                Forked::Child if self.exec => {
                    use std::os::unix::process::CommandExt as _;
                    let error = Command::new(&own).args(["end", "--code", "0"]).env_clear().exec();
                    return Err(error.into());
                }
                Forked::Child => process::exit_now(0),
                Forked::Parent(child) => alive.push_back(child),
            }
        }
        alive
            .into_iter()
            .try_for_each(|child| process::wait(child).map(drop))
            .context("wait for the children")
    }
}

#[derive(Args)]
pub(crate) struct Threads {
    #[arg(long)]
    count: u32,
    /// Bytes that each thread maps.
    #[arg(long)]
    bytes: u64,
}

impl Threads {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let bytes = self.bytes;
        let mut tids = Vec::new();
        for _ in 0..self.count {
            let thread = thread::spawn(move || {
                memory::map(bytes, READ_WRITE, PRIVATE, None).map(|_| crate::table::thread_id())
            });
            tids.push(thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??);
        }
        report.add("tids", tids);
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct End {
    #[arg(long, default_value_t = 0)]
    code: u8,
    /// Die by this signal.
    #[arg(long)]
    signal: Option<i32>,
}

impl End {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        if let Some(signal) = self.signal {
            process::signal(std::process::id(), signal)?;
        }
        Ok(ExitCode::from(self.code))
    }
}

#[derive(Args)]
pub(crate) struct ReusePid {
    /// Bytes that the first process maps.
    #[arg(long)]
    first: u64,
    /// Bytes that the second process maps.
    #[arg(long)]
    second: u64,
}

impl ReusePid {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let pid = match process::fork()? {
            Forked::Child => Self::live("first-life", self.first),
            Forked::Parent(child) => child,
        };
        process::wait(pid)?;
        match process::fork_as(pid).context("give the process id to a second process")? {
            Forked::Child => Self::live("second-life", self.second),
            Forked::Parent(child) => process::wait(child)?,
        };
        report.add("reused", pid);
        Ok(())
    }

    fn live(name: &str, bytes: u64) -> ! {
        let named = process::set_name(name.as_bytes());
        let mapped = memory::map(bytes, READ_WRITE, PRIVATE, None);
        process::exit_now(i32::from(named.is_err() || mapped.is_err()))
    }
}
