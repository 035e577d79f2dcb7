//! Page faults as the kernel itself counts them, over an exec by another thread than the first.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory;

use crate::mapping::Region;
use crate::report::Report;

#[derive(Args)]
pub(crate) struct ExecInThread {
    /// Bytes that the first thread writes to.
    #[arg(long)]
    first: u64,
    /// Bytes that the other thread writes to before it executes this program anew.
    #[arg(long)]
    other: u64,
}

impl ExecInThread {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        fault(self.first)?;
        let other = self.other;
        let thread = thread::spawn(move || -> anyhow::Error {
            match fault(other) {
                Ok(()) => Command::new("/proc/self/exe").arg("count-faults").exec().into(),
                Err(error) => error.into(),
            }
        });
        // An exec ends this thread, so that only a failed one is heard of.
        Err(thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?)
    }
}

fn fault(bytes: u64) -> std::io::Result<()> {
    let address = Region::Private.map(bytes)?;
    memory::forbid_huge_pages(address, bytes)?;
    memory::touch(address, bytes);
    Ok(())
}

/// Reports the minor faults of this process since its first program began.
pub(crate) fn count(report: &mut Report) -> anyhow::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // The name stands in parentheses and may hold anything; `minflt` is the eighth field after it.
    let minor = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(7)?.parse::<u64>().ok());
    report.add("minor", minor.context("no count of faults in /proc/self/stat")?);
    Ok(())
}
