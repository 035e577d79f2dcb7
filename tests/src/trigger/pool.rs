//! A master and workers that grow, as a prefork server's do.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::{memory, process};

use crate::mapping::Region;
use crate::report::Report;

#[derive(Args)]
pub(crate) struct Pool {
    /// Workers, started anew when they end.
    #[arg(long)]
    workers: u32,
    /// Bytes by which each grows in a step.
    #[arg(long)]
    step: u64,
    /// Time between steps.
    #[arg(long, default_value_t = 50)]
    every_ms: u64,
    /// Bytes at which it stops to grow.
    #[arg(long)]
    most: u64,
    /// Leave unheard what asks a worker to leave.
    #[arg(long)]
    deaf: bool,
    /// How often workers are started anew before the pool ends.
    #[arg(long, default_value_t = 1000)]
    restarts: u32,
}

impl Pool {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..self.workers {
            self.start()?;
        }
        report.add("workers", self.workers);
        report.write()?;
        for _ in 0..self.restarts {
            while process::reap_any().is_none() {
                sleep(Duration::from_millis(5));
            }
            self.start()?;
        }
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        if let process::Forked::Child = process::fork().context("make a worker")? {
            let done = self.work();
            process::exit_now(i32::from(done.is_err()));
        }
        Ok(())
    }

    fn work(&self) -> anyhow::Result<()> {
        process::die_with_parent().context("tie the worker to its master")?;
        if self.deaf {
            process::hear(libc::SIGHUP, process::Hearing::Nothing).context("choose what SIGHUP does")?;
        } else {
            process::hear(libc::SIGHUP, process::Hearing::Leave).context("choose what SIGHUP does")?;
        }
        let mut held = 0;
        loop {
            if held + self.step <= self.most {
                let address = Region::Private.map(self.step).context("grow")?;
                memory::touch(address, self.step);
                held += self.step;
            }
            sleep(Duration::from_millis(self.every_ms));
        }
    }
}
