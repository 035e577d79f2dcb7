//! Page faults as the kernel itself counts them, over an exec by another thread than the first, and where threads end together.

use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory;
use memwatch_tests::syscall::process::{self, Forked};

use crate::mapping::Region;
use crate::report::Report;

/// Between looks at what other threads do.
const MOMENT: Duration = Duration::from_millis(2);

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
    /// Threads of each.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Bytes that each thread writes to before it ends.
    #[arg(long)]
    bytes: u64,
    /// One thread ends the process, and the others with it; else each ends by itself.
    #[arg(long)]
    at_once: bool,
    /// None is gone before all have ended.
    #[arg(long)]
    linger: bool,
}

impl EndTogether {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..self.processes {
            let (order, mut orders) = io::pipe()?;
            match process::fork()? {
                Forked::Child => self.end(order),
                Forked::Parent(child) => {
                    let held = if self.linger { self.hold(child)? } else { Vec::new() };
                    orders.write_all(&[0]).context("give the order to end")?;
                    release(child, &held)?;
                    let status = process::wait(child)?;
                    anyhow::ensure!(status == 0, "a process ended with {status}");
                }
            }
        }
        report.add("minor", process::faults_of_children()?);
        Ok(())
    }

    /// Holds on to the threads of a child but its first, once it has all.
    fn hold(&self, child: i32) -> anyhow::Result<Vec<i32>> {
        loop {
            let mut tids = Vec::new();
            for task in std::fs::read_dir(format!("/proc/{child}/task"))? {
                tids.push(task?.file_name().to_string_lossy().parse()?);
            }
            tids.retain(|tid| *tid != child);
            if tids.len() + 1 == self.threads as usize {
                for tid in &tids {
                    process::seize(*tid).context("trace a thread")?;
                }
                return Ok(tids);
            }
            thread::sleep(MOMENT);
        }
    }

    /// All threads write to as much, and end as soon as all have and the order is there.
    fn end(&self, mut order: PipeReader) -> ! {
        static READY: AtomicU32 = AtomicU32::new(0);
        let Self { threads, bytes, at_once, .. } = *self;
        let work = move || {
            if fault(bytes).is_err() {
                process::exit_now(1);
            }
            READY.fetch_add(1, Ordering::SeqCst);
            while READY.load(Ordering::SeqCst) <= threads {
                thread::yield_now();
            }
        };
        for _ in 1..threads {
            let other = move || -> () {
                work();
                process::end_thread()
            };
            // A thread that cannot be made would be waited for in vain.
            if thread::Builder::new().spawn(other).is_err() {
                process::exit_now(1);
            }
        }
        if order.read_exact(&mut [0]).is_err() {
            process::exit_now(1);
        }
        READY.fetch_add(1, Ordering::SeqCst);
        work();
        if at_once {
            process::exit_now(0);
        }
        process::end_thread()
    }
}

/// Waits for each of these threads of a child after all have ended, and itself has.
fn release(child: i32, held: &[i32]) -> anyhow::Result<()> {
    let is_over = |tid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/task/{tid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    while !held.is_empty() && !held.iter().chain([&child]).all(is_over) {
        thread::sleep(MOMENT);
    }
    for tid in held {
        process::wait(*tid).context("wait for a thread")?;
    }
    Ok(())
}

fn fault(bytes: u64) -> io::Result<()> {
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
