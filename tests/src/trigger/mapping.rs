//! Regions, the break, resident memory, page faults.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use memwatch_tests::syscall::{file, limit, memory};

use crate::report::Report;

/// What a region is for, as its protection and flags tell the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Region {
    /// Writable, private, anonymous.
    Private,
    /// The same without a reservation of swap.
    NoReserve,
    /// Address space only.
    ProtNone,
    /// The same, filled before the call returns.
    Populated,
    /// Readable, private, anonymous.
    ReadOnly,
    /// Shared with children.
    Shared,
    /// A thread's stack.
    Stack,
    /// A private view of this program's file.
    File,
}

impl Region {
    /// Asks for `bytes` of it.
    pub(crate) fn map(self, bytes: u64) -> std::io::Result<u64> {
        let (prot, flags) = match self {
            Self::Private => (memory::READ_WRITE, memory::PRIVATE),
            Self::NoReserve => (memory::READ_WRITE, memory::PRIVATE | libc::MAP_NORESERVE),
            Self::ProtNone => (libc::PROT_NONE, memory::PRIVATE),
            Self::Populated => (memory::READ_WRITE, memory::PRIVATE | libc::MAP_POPULATE),
            Self::ReadOnly => (libc::PROT_READ, memory::PRIVATE),
            Self::Shared => (memory::READ_WRITE, memory::SHARED),
            Self::Stack => (memory::READ_WRITE, memory::STACK),
            Self::File => (memory::READ_WRITE, libc::MAP_PRIVATE),
        };
        let file = (self == Self::File).then(|| std::fs::File::open("/proc/self/exe")).transpose()?;
        memory::map(bytes, prot, flags, file.as_ref())
    }
}

/// Makes the next mapping fail with `ENOMEM`: no byte more of address space.
pub(crate) fn exhaust_address_space() -> std::io::Result<()> {
    let hard = limit::get(limit::ADDRESS_SPACE)?.hard;
    limit::set(limit::ADDRESS_SPACE, limit::Limit { soft: memory::PAGE, hard })
}

#[derive(Args)]
pub(crate) struct Map {
    #[arg(long)]
    bytes: u64,
    #[arg(long, value_enum, default_value = "private")]
    region: Region,
    /// Bytes to write to, one byte a page.
    #[arg(long, default_value_t = 0)]
    touch: u64,
    /// Give the region back.
    #[arg(long)]
    unmap: bool,
    /// Have the kernel refuse it.
    #[arg(long)]
    fail: bool,
    /// Do it again this many times.
    #[arg(long, default_value_t = 1)]
    times: u64,
}

impl Map {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        if self.fail {
            exhaust_address_space()?;
            ensure!(self.region.map(self.bytes).is_err(), "the mapping was granted beyond the limit");
            return Ok(());
        }
        for _ in 0..self.times {
            let address = self.region.map(self.bytes).context("map the region")?;
            memory::touch(address, self.touch);
            if self.unmap {
                memory::unmap(address, self.bytes).context("give the region back")?;
            }
            report.add("address", address);
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Remap {
    #[arg(long)]
    from: u64,
    #[arg(long)]
    to: u64,
}

impl Remap {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let address = Region::Private.map(self.from).context("map the region")?;
        report.add("address", address);
        report.add("moved", memory::remap(address, self.from, self.to).context("change its length")?);
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Brk {
    #[arg(long)]
    bytes: u64,
}

impl Brk {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        report.add("before", memory::grow_heap_and_back(self.bytes).context("move the break")?);
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Grow {
    #[arg(long)]
    step: u64,
    #[arg(long)]
    steps: u64,
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Shared bytes to touch beforehand.
    #[arg(long, default_value_t = 0)]
    shared: u64,
    /// A file to map and to read beforehand.
    #[arg(long)]
    file: Option<PathBuf>,
}

impl Grow {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        if self.shared > 0 {
            memory::touch(Region::Shared.map(self.shared).context("map shared memory")?, self.shared);
        }
        if let Some(path) = &self.file {
            let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
            let bytes = file.metadata()?.len();
            let address = memory::map(bytes, libc::PROT_READ, libc::MAP_SHARED, Some(&file))?;
            memory::read_pages(address, bytes);
        }
        let total = self.step * self.steps;
        let address = Region::Private.map(total).context("map the region")?;
        memory::forbid_huge_pages(address, total)?;
        for step in 0..self.steps {
            memory::touch(address + step * self.step, self.step);
            sleep(Duration::from_millis(self.pause_ms));
        }
        report.add("touched", total);
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Fault {
    /// Pages to read that are on disk only.
    #[arg(long)]
    pages: u64,
    /// Folder of the file: on a disk, not in memory.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

impl Fault {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let path = self.folder.join(format!("memwatch-fault-{}", std::process::id()));
        let mut written =
            std::fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let bytes = self.pages * memory::PAGE;
        let done = written.write_all(&vec![7; bytes as usize]).and_then(|()| written.sync_all());
        let opened = std::fs::File::open(&path);
        std::fs::remove_file(&path)?;
        done.context("write the file")?;
        let opened = opened?;
        let address = memory::map(bytes, libc::PROT_READ, libc::MAP_PRIVATE, Some(&opened))?;
        memory::expect_random(address, bytes)?;
        file::drop_cache(&opened)?;
        memory::read_pages(address, bytes);
        report.add("address", address);
        Ok(())
    }
}
