//! The pattern that the detector looks for, and its near misses.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use memwatch_tests::syscall::limit::{self, Limit};
use memwatch_tests::syscall::memory::{self, PAGE};
use memwatch_tests::syscall::process::{self, Forked};
use memwatch_tests::syscall::sandbox;

use crate::fate::Fate;
use crate::limits::{By, own_id};
use crate::mapping::{Region, exhaust_address_space};
use crate::report::Report;
use crate::touch::Touch;

/// The call that asks for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Call {
    /// `mmap(2)`.
    Mmap,
    /// `mremap(2)` of one page.
    Mremap,
    /// `brk(2)`, with malloc's padding.
    Brk,
    /// The C library's allocator.
    Malloc,
}

#[derive(Args)]
pub(crate) struct Table {
    /// How the limit is learned.
    #[arg(long, value_enum, default_value = "getrlimit")]
    by: By,
    /// Number of descriptors; without it, what was read.
    #[arg(long)]
    limit: Option<u64>,
    /// Bytes per descriptor, one array each.
    #[arg(long, value_delimiter = ',', default_value = "8")]
    elements: Vec<u64>,
    #[arg(long, value_enum, default_value = "mmap")]
    call: Call,
    #[arg(long, value_enum, default_value = "private")]
    region: Region,
    /// Have everything locked in memory that is mapped from here on.
    #[arg(long)]
    lock_all: bool,
    /// Round up as jemalloc does, to a quarter of a power of two.
    #[arg(long)]
    size_class: bool,
    /// Ask the allocator for multiples of this address.
    #[arg(long, default_value_t = 8)]
    alignment: u64,
    #[command(flatten)]
    touch: Touch,
    /// Write to memory that is not the table's first.
    #[arg(long, default_value_t = 0)]
    touch_before: u64,
    /// Bytes to map before the limit is learned, and to keep.
    #[arg(long, default_value_t = 0)]
    map_first: u64,
    /// Map so many areas of a page first, none like its neighbours.
    #[arg(long, default_value_t = 0)]
    areas: u64,
    /// Keep the arrays apart from other memory, which the kernel would show as one area with them.
    #[arg(long)]
    apart: bool,
    /// Have the kernel refuse the memory.
    #[arg(long)]
    fail: bool,
    /// Expect that somebody else has the kernel refuse it.
    #[arg(long)]
    refused: bool,
    /// Ask for it in a child of a child.
    #[arg(long, default_value_t = 0)]
    forks: u32,
    /// Execute this program again before asking.
    #[arg(long)]
    exec: bool,
    /// Wait between learning and asking.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Ask in another thread than the one that learned.
    #[arg(long)]
    thread: bool,
    /// Do all this in a process that has ids of its own: it is number 1.
    #[arg(long)]
    pid_namespace: bool,
    /// What becomes of the first array afterwards.
    #[arg(long, value_enum)]
    then: Option<Fate>,
    /// Bytes of what is left of it to write to.
    #[arg(long, default_value_t = 0)]
    touch_after: u64,
    /// Learn other, smaller limits after that one, so many.
    #[arg(long, default_value_t = 0)]
    others: u64,
}

/// What came of asking.
struct Asked {
    /// Length of the first array.
    bytes: u64,
    /// What is left of it.
    left: u64,
    /// Thread that asked.
    tid: u64,
}

impl Table {
    pub(crate) fn run(self, report: &mut Report) -> anyhow::Result<()> {
        if self.pid_namespace {
            sandbox::unshare_pids().context("leave the pid namespace")?;
            if let Forked::Parent(child) = process::fork()? {
                report.add("child", child);
                anyhow::ensure!(process::wait(child)? == 0, "the child failed");
                return Ok(());
            }
            // The report is the one of the parent, which knows the id that others know.
            let asked = self.learn().and_then(|limit| self.ask(limit));
            process::exit_now(i32::from(asked.is_err()));
        }
        if self.map_first > 0 {
            self.fence()?;
            Region::Private.map(self.map_first)?;
            self.fence()?;
        }
        let learned = self.learn()?;
        let limit = self.limit.unwrap_or(learned);
        // Read once, if at all: a look-up in between would tell the first limit again.
        let hard = if self.others > 0 { limit::get(limit::NOFILE)?.hard } else { 0 };
        for other in 1..=self.others {
            limit::set(limit::NOFILE, Limit { soft: 1000 + other, hard }).context("setrlimit")?;
        }
        if self.exec {
            return Err(self.again(limit).into());
        }
        sleep(Duration::from_millis(self.delay_ms));
        for _ in 0..self.forks {
            if let Forked::Parent(child) = process::fork()? {
                let status = process::wait(child)?;
                // The report is the one of the process that asks: this one writes none.
                process::exit_now(i32::from(status != 0));
            }
        }
        report.add("pid", std::process::id());
        if self.lock_all {
            memory::lock_all_to_come().context("lock memory")?;
        }
        if self.fail {
            exhaust_address_space()?;
        }
        let asked = if self.thread {
            let asked = thread::Builder::new().name("asker".to_owned()).spawn(move || self.ask(limit));
            asked?.join().map_err(|_| anyhow::anyhow!("the thread panicked"))??
        } else {
            self.ask(limit)?
        };
        report.add("tid", asked.tid);
        report.add("bytes", asked.bytes);
        report.add("left", asked.left);
        Ok(())
    }

    fn learn(&self) -> anyhow::Result<u64> {
        Ok(match self.by {
            By::Getrlimit => limit::get(limit::NOFILE).context("getrlimit")?.soft,
            By::Prlimit => limit::of_process(0, limit::NOFILE, None).context("prlimit64")?.soft,
            By::PrlimitOwnId => limit::of_process(own_id()?, limit::NOFILE, None).context("prlimit64")?.soft,
            By::Sysconf => limit::open_max(),
            By::Setrlimit => {
                let limit = self.limit.context("--by setrlimit needs --limit")?;
                limit::set(limit::NOFILE, Limit { soft: limit, hard: limit }).context("setrlimit")?;
                limit
            }
            By::PrlimitOneBuffer => {
                let limit = self.limit.context("--by prlimit-one-buffer needs --limit")?;
                limit::swap(limit::NOFILE, Limit { soft: limit, hard: limit }).context("prlimit64")?;
                limit
            }
            By::None => self.limit.context("--by none needs --limit")?,
        })
    }

    /// The same program with the same table, but without the knowledge.
    fn again(&self, limit: u64) -> std::io::Error {
        let elements: Vec<String> = self.elements.iter().map(u64::to_string).collect();
        Command::new("/proc/self/exe")
            .args(["table", "--by", "none", "--limit", &limit.to_string(), "--elements", &elements.join(",")])
            .exec()
    }

    /// Asks for every array.
    fn ask(&self, limit: u64) -> anyhow::Result<Asked> {
        for at in 0..self.areas {
            let region = if at % 2 == 0 { Region::ProtNone } else { Region::Private };
            region.map(PAGE)?;
        }
        if self.touch_before > 0 {
            memory::touch(Region::Private.map(self.touch_before)?, self.touch_before);
        }
        self.fence()?;
        let lengths: Vec<u64> = self.elements.iter().map(|element| self.length(limit * element)).collect();
        let mut first = None;
        for length in &lengths {
            let address = self.ask_one(*length);
            anyhow::ensure!(
                address.is_err() == (self.fail || self.refused),
                "the kernel answered {address:?}"
            );
            first = first.or(address.ok());
        }
        self.fence()?;
        let bytes = lengths.first().copied().context("no array")?;
        let mut left = bytes;
        if let Some(address) = first {
            self.touch.run(address, bytes)?;
            if let Some(fate) = self.then {
                let element = self.elements.first().copied().unwrap_or(0);
                let double = self.length(limit * element * 2);
                let what = fate.befall(address, bytes, double);
                let (place, rest) = what.with_context(|| format!("{fate:?} the table"))?;
                memory::touch(place, self.touch_after.min(rest));
                left = rest;
            }
        }
        Ok(Asked { bytes, left, tid: thread_id() })
    }

    /// Address space too large for the holes above, so that it lies next to what is mapped before and after.
    fn fence(&self) -> std::io::Result<()> {
        const LENGTH: u64 = 1 << 30;
        if self.apart { Region::ProtNone.map(LENGTH).map(drop) } else { Ok(()) }
    }

    fn length(&self, bytes: u64) -> u64 {
        if self.call == Call::Malloc {
            return bytes;
        }
        let with_header = (bytes + 16).next_multiple_of(PAGE);
        if !self.size_class {
            return with_header;
        }
        let class = bytes.next_power_of_two() / 2;
        bytes.next_multiple_of((class / 4).max(PAGE))
    }

    fn ask_one(&self, length: u64) -> std::io::Result<u64> {
        match self.call {
            Call::Mmap => self.region.map(length),
            Call::Mremap => {
                let page = self.region.map(PAGE)?;
                memory::remap(page, PAGE, length)
            }
            Call::Malloc => memory::allocate(self.alignment, length),
            Call::Brk => memory::grow_heap((length + 128 * 1024).next_multiple_of(PAGE)),
        }
    }
}

/// The calling thread's id, as the kernel gives it.
pub(crate) fn thread_id() -> u64 {
    let link = std::fs::read_link("/proc/thread-self").ok();
    link.and_then(|link| link.file_name()?.to_str()?.parse().ok()).unwrap_or(0)
}
