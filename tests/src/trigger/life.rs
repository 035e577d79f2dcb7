//! Processes and threads that begin and end.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory::{self, PRIVATE, READ_WRITE};
use memwatch_tests::syscall::process::{self, Forked};

use crate::names::Bytes;
use crate::report::Report;

#[derive(Args)]
pub(crate) struct Burst {
    /// Children in all.
    #[arg(long)]
    count: u32,
    /// Have each execute this program, else it ends at once.
    #[arg(long)]
    exec: bool,
    /// Children alive at a time: enough to keep every CPU busy, few enough for a small guest.
    #[arg(long, default_value_t = 64)]
    alive: usize,
    /// Wait between children.
    #[arg(long, default_value_t = 0)]
    every_ms: u64,
    /// Have each that executes nothing live for a while.
    #[arg(long, default_value_t = 0)]
    for_ms: u64,
}

impl Burst {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let own = std::env::current_exe().context("find this program")?;
        let mut alive: std::collections::VecDeque<i32> = std::collections::VecDeque::new();
        for _ in 0..self.count {
            if alive.len() == self.alive
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
                Forked::Child => {
                    thread::sleep(Duration::from_millis(self.for_ms));
                    process::exit_now(0)
                }
                Forked::Parent(child) => alive.push_back(child),
            }
            if self.every_ms > 0 {
                thread::sleep(Duration::from_millis(self.every_ms));
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
    /// Bytes of them that it writes to.
    #[arg(long, default_value_t = 0)]
    touch: u64,
    /// The name of each.
    #[arg(long)]
    named: Option<Bytes>,
}

impl Threads {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let (bytes, touch) = (self.bytes, self.touch);
        let mut tids = Vec::new();
        for _ in 0..self.count {
            let name = self.named.clone();
            let thread = thread::spawn(move || {
                if let Some(name) = name {
                    name.put_on()?;
                }
                let address = memory::map(bytes, READ_WRITE, PRIVATE, None)?;
                memory::forbid_huge_pages(address, bytes)?;
                memory::touch(address, touch);
                anyhow::Ok(crate::table::thread_id())
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
    /// Live for a while first.
    #[arg(long, default_value_t = 0)]
    after_ms: u64,
}

impl End {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        thread::sleep(Duration::from_millis(self.after_ms));
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
    /// Bytes that the first process writes to.
    #[arg(long, default_value_t = 0)]
    touch_first: u64,
}

impl ReusePid {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let pid = match process::fork()? {
            Forked::Child => live("first-life", self.first, self.touch_first),
            Forked::Parent(child) => child,
        };
        process::wait(pid)?;
        match process::fork_as(pid).context("give the process id to a second process")? {
            Forked::Child => live("second-life", self.second, 0),
            Forked::Parent(child) => process::wait(child)?,
        };
        report.add("reused", pid);
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct ForkAs {
    /// Process id of the child: it must be free.
    #[arg(long)]
    id: i32,
    /// Bytes that the child maps.
    #[arg(long)]
    bytes: u64,
}

impl ForkAs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match process::fork_as(self.id).with_context(|| format!("make a child with the id {}", self.id))? {
            Forked::Child => live("named-child", self.bytes, 0),
            Forked::Parent(child) => process::wait(child).context("wait for the child").map(drop),
        }
    }
}

/// A child's life: maps memory, writes to some of it, and ends.
pub(crate) fn live(name: &str, bytes: u64, touch: u64) -> ! {
    let lived = process::set_name(name.as_bytes()).and_then(|()| {
        let address = memory::map(bytes, READ_WRITE, PRIVATE, None)?;
        memory::forbid_huge_pages(address, bytes)?;
        memory::touch(address, touch);
        Ok(())
    });
    process::exit_now(i32::from(lived.is_err()))
}
