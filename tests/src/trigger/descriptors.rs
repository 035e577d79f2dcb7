//! Close sweeps and the kernel's descriptor table.

use std::fs::File;
use std::os::fd::IntoRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use memwatch_tests::syscall::file::{self, Duplicate};
use memwatch_tests::syscall::limit::{self, Limit};

use crate::report::Report;

#[derive(Args)]
pub(crate) struct Sweep {
    /// Descriptors to close, from 100 on.
    #[arg(long)]
    count: i32,
    /// Lower the soft limit to this first.
    #[arg(long)]
    soft: Option<u64>,
    /// Close without having read the limit.
    #[arg(long)]
    unread: bool,
    /// Which descriptors, in which order.
    #[arg(long, value_enum, default_value = "up")]
    order: Order,
    /// Pause for so many milliseconds, and close a few more.
    #[arg(long)]
    pause: Option<u64>,
    /// Execute this program anew after that, by another name.
    #[arg(long)]
    exec: bool,
}

/// What closes have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// One after the other, upwards.
    Up,
    /// The same downwards.
    Down,
    /// Every other one upwards, with an open one in between.
    Interrupted,
    /// Number -1, between an open and its close.
    Negative,
    /// One and the same.
    Same,
    /// One of a few that were just closed, as a server does that closes its connections twice.
    Twice,
}

impl Sweep {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        const FIRST: i32 = 100;
        // What was inherited open would shorten the sweep; closes before the limit is known count for nobody.
        file::close_above(FIRST).context("close what was inherited")?;
        if let Some(soft) = self.soft {
            let hard = limit::get(limit::NOFILE)?.hard;
            limit::set(limit::NOFILE, Limit { soft, hard })?;
        }
        if !self.unread {
            report.add("limit", limit::get(limit::NOFILE)?.soft);
        }
        let closed = (0..self.count).filter(|at| self.close(FIRST, *at)).count();
        anyhow::ensure!(closed == 0, "{closed} of the descriptors were open");
        if let Some(pause) = self.pause {
            std::thread::sleep(Duration::from_millis(pause));
            let closed = (self.count..self.count + 10).filter(|at| self.close(FIRST, *at)).count();
            anyhow::ensure!(closed == 0, "{closed} of those that follow were open");
        }
        if self.exec {
            let error = Command::new("/proc/self/exe").args(["end", "--code", "0"]).exec();
            return Err(error).context("execute this program");
        }
        Ok(())
    }
}

impl Sweep {
    /// Closes one that is not open; says whether it was. What else the order has is opened and closed along with it.
    fn close(&self, first: i32, at: i32) -> bool {
        match self.order {
            Order::Up => file::close_number(first + at),
            Order::Down => file::close_number(first + self.count - at),
            Order::Interrupted => {
                // Two numbers a step: the second is open.
                let number = first + 2 * at;
                let is_open = file::duplicate_to(number + 1, Duplicate::Dup3).is_ok();
                file::close_number(number) || is_open != file::close_number(number + 1)
            }
            Order::Negative => {
                let is_open = file::duplicate_to(first, Duplicate::Dup3).is_ok();
                let was_open = file::close_number(-1);
                was_open || is_open != file::close_number(first)
            }
            Order::Same => file::close_number(first),
            Order::Twice => file::close_number(first + at * 7 % 16),
        }
    }
}

#[derive(Args)]
pub(crate) struct DupHigh {
    #[arg(long)]
    fd: i32,
    /// The system call.
    #[arg(long, value_enum, default_value = "dup3")]
    by: Duplicate,
}

impl DupHigh {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        file::duplicate_to(self.fd, self.by)
            .with_context(|| format!("copy standard error to descriptor {}", self.fd))
    }
}

#[derive(Args)]
pub(crate) struct OpenMany {
    #[arg(long)]
    count: u32,
}

impl OpenMany {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        for _ in 0..self.count {
            // Never closed: the process ends with it open.
            let _ = File::open("/dev/null").context("open /dev/null")?.into_raw_fd();
        }
        Ok(())
    }
}
