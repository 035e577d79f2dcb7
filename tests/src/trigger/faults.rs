//! Page faults as the kernel itself counts them, over an exec by another thread than the first, and where threads end together.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory;
use memwatch_tests::syscall::process::{self, Forked};

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

#[derive(Args)]
pub(crate) struct EndTogether {
    /// Processes, one after the other.
    #[arg(long)]
    processes: u32,
    /// Bytes that each thread writes to before it ends.
    #[arg(long)]
    bytes: u64,
}

impl EndTogether {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..self.processes {
            match process::fork()? {
                Forked::Child => end_together(self.bytes),
                Forked::Parent(child) => drop(process::wait(child)?),
            }
        }
        report.add("minor", process::faults_of_children()?);
        Ok(())
    }
}

/// Two threads write to as much, and end by themselves as soon as both have: the process ends with the last of them.
fn end_together(bytes: u64) -> ! {
    static READY: AtomicU32 = AtomicU32::new(0);
    let work = move || -> ! {
        let done = fault(bytes);
        READY.fetch_add(1, Ordering::SeqCst);
        while done.is_ok() && READY.load(Ordering::SeqCst) < 2 {
            std::hint::spin_loop();
        }
        process::end_thread()
    };
    thread::spawn(work);
    work()
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
