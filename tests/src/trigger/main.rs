//! Does one thing to memory, limits, descriptors or processes, so that a test knows exactly what a tracer must see.
//!
//! Nothing is written to standard output, which the tracer shares with the commands it starts: what a test needs to
//! know (addresses, process ids) goes as one JSON object to the file named by `MEMWATCH_TRIGGER_REPORT`.

mod descriptors;
mod fate;
mod faults;
mod groups;
mod hold;
mod inside;
mod life;
mod limits;
mod mapping;
mod names;
mod pool;
mod report;
mod table;
mod touch;

use std::io::Read as _;
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use memwatch_tests::syscall::process;

use report::Report;

#[derive(Parser)]
struct Arguments {
    /// Wait for a byte on standard input before acting.
    #[arg(long, global = true)]
    on_stdin: bool,
    /// After acting, wait for the end of standard input.
    #[arg(long, global = true)]
    hold: bool,
    /// Be this dear to the kernel when memory is short: from -1000, never killed, to 1000, killed first.
    #[arg(long, global = true, allow_negative_numbers = true)]
    oom_score_adj: Option<i16>,
    /// Act under this name.
    #[arg(long, global = true)]
    called: Option<names::Bytes>,
    /// End under this name.
    #[arg(long, global = true)]
    leaving_as: Option<names::Bytes>,
    /// Act as this user.
    #[arg(long, global = true)]
    uid: Option<u32>,
    /// Do all of it in a thread of this name, which is not the first one. Not for what makes children.
    #[arg(long, global = true)]
    in_thread: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Ask for one region.
    Map(mapping::Map),
    /// Change a region's length.
    Remap(mapping::Remap),
    /// Move the program break up and back.
    Brk(mapping::Brk),
    /// Touch memory in steps.
    Grow(mapping::Grow),
    /// Read a file's pages that are not in the page cache.
    Fault(mapping::Fault),
    /// Hold files and memory as a server does.
    Hold(hold::Hold),
    /// Learn the descriptor limit, then ask for one slot per descriptor.
    Table(table::Table),
    /// Read a limit.
    ReadLimit(limits::ReadLimit),
    /// Read all 16 limits.
    ReadLimits,
    /// Set a limit.
    SetLimit(limits::SetLimit),
    /// Set a limit of a child.
    LimitChild(limits::LimitChild),
    /// Learn the limit, then close descriptors that are not open.
    Sweep(descriptors::Sweep),
    /// Open files, and end with them open.
    OpenMany(descriptors::OpenMany),
    /// Copy a descriptor to a high number.
    DupHigh(descriptors::DupHigh),
    /// Make short-lived children.
    Burst(life::Burst),
    /// Make threads.
    Threads(life::Threads),
    /// End in a given way.
    End(life::End),
    /// Give a process id to a second process.
    ReusePid(life::ReusePid),
    /// Make a child inside a group.
    ForkInto(groups::ForkInto),
    /// Make groups, a child in each, and remove them.
    ChurnGroups(groups::ChurnGroups),
    /// Make a child with a chosen process id.
    ForkAs(life::ForkAs),
    /// Execute this program anew in another thread than the first.
    ExecInThread(faults::ExecInThread),
    /// Make processes whose threads end at the same moment.
    EndTogether(faults::EndTogether),
    /// Report the page faults so far.
    CountFaults,
    /// Map under a name of any bytes.
    Named(names::Named),
    /// Execute a copy of this program under a path and with arguments of any bytes.
    ExecNamed(names::ExecNamed),
    /// Execute a copy of this program elsewhere, with other arguments.
    Become(names::Become),
    /// Be a master with workers that grow.
    Pool(pool::Pool),
    /// Run a program inside another root with mounts, process ids and a loopback network of its own.
    Inside(inside::Inside),
}

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = Arguments::parse();
    match arguments.in_thread.take() {
        Some(name) => {
            let thread =
                thread::Builder::new().name(name).spawn(|| run(arguments)).context("make a thread")?;
            thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
        }
        None => run(arguments),
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.on_stdin {
        std::io::stdin().read_exact(&mut [0]).context("wait for the order to start")?;
    }
    if let Some(adjustment) = arguments.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", adjustment.to_string()).context("set oom_score_adj")?;
    }
    if let Some(uid) = arguments.uid {
        process::become_user(uid).with_context(|| format!("become user {uid}"))?;
    }
    if let Some(name) = arguments.called {
        name.put_on()?;
    }
    let mut report = Report::new();
    let code = act(arguments.what, &mut report)?;
    if let Some(name) = arguments.leaving_as {
        name.put_on()?;
    }
    report.write()?;
    if arguments.hold {
        std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the order to end")?;
    }
    Ok(code)
}

fn act(what: What, report: &mut Report) -> anyhow::Result<ExitCode> {
    match what {
        What::Map(map) => map.run(report)?,
        What::Remap(remap) => remap.run(report)?,
        What::Brk(brk) => brk.run(report)?,
        What::Grow(grow) => grow.run(report)?,
        What::Fault(fault) => fault.run(report)?,
        What::Hold(hold) => hold.run(report)?,
        What::Table(table) => table.run(report)?,
        What::ReadLimit(read) => read.run(report)?,
        What::ReadLimits => limits::read_all()?,
        What::SetLimit(set) => set.run()?,
        What::LimitChild(limit) => limit.run(report)?,
        What::Sweep(sweep) => sweep.run(report)?,
        What::OpenMany(open) => open.run()?,
        What::DupHigh(dup) => dup.run()?,
        What::Burst(burst) => burst.run()?,
        What::Threads(threads) => threads.run(report)?,
        What::End(end) => return end.run(),
        What::ReusePid(reuse) => reuse.run(report)?,
        What::ForkInto(fork) => fork.run(report)?,
        What::ChurnGroups(churn) => churn.run()?,
        What::ForkAs(fork) => fork.run()?,
        What::ExecInThread(exec) => exec.run()?,
        What::EndTogether(end) => end.run(report)?,
        What::CountFaults => faults::count(report)?,
        What::Named(named) => named.run()?,
        What::ExecNamed(exec) => exec.run()?,
        What::Become(other) => other.run()?,
        What::Pool(pool) => pool.run(report)?,
        What::Inside(inside) => return inside.run(),
    }
    Ok(ExitCode::SUCCESS)
}
