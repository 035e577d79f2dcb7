//! A master and workers that grow, as a prefork server's do.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::{memory, process};

use crate::mapping::Region;
use crate::report::Report;

/// How long a worker that is nobody's child lives.
const ORPHAN_LIFE: Duration = Duration::from_secs(120);

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
    /// Have each worker end its main thread, and go on in another.
    #[arg(long)]
    headless: bool,
    /// Have each worker started by a process that ends at once, so that it has no living ancestor but the first process.
    /// They are started once, and not tied to the pool: they end by themselves after a while.
    #[arg(long)]
    orphaned: bool,
    /// How often workers are started anew before the pool ends.
    #[arg(long, default_value_t = 1000)]
    restarts: u32,
}

impl Pool {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..self.workers {
            self.start()?;
        }
        if self.orphaned {
            sleep(ORPHAN_LIFE);
            return Ok(());
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
            let done = if self.orphaned { self.fork_again() } else { self.work() };
            process::exit_now(i32::from(done.is_err()));
        }
        Ok(())
    }

    /// Leaves a worker behind.
    fn fork_again(&self) -> anyhow::Result<()> {
        if let process::Forked::Child = process::fork().context("make an orphan")? {
            let done = self.work();
            process::exit_now(i32::from(done.is_err()));
        }
        Ok(())
    }

    fn work(&self) -> anyhow::Result<()> {
        if self.headless {
            // Without the lock that a scope of threads would wait for: the main thread is not to be waited for.
            let (deaf, step, most, every_ms) = (self.deaf, self.step, self.most, self.every_ms);
            let rest = Self {
                headless: false,
                workers: 1,
                orphaned: false,
                restarts: 0,
                deaf,
                step,
                most,
                every_ms,
            };
            std::thread::spawn(move || rest.work());
            process::end_thread();
        }
        if self.orphaned {
            // Whatever becomes of the test, nothing of it stays.
            process::end_after(ORPHAN_LIFE);
        } else {
            process::die_with_parent().context("tie the worker to its master")?;
        }
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
