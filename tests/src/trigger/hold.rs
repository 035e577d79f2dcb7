//! Holds memory as a server does that maps an index.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory::{self, PRIVATE, READ_WRITE};
use memwatch_tests::syscall::process::{self, Forked};
use memwatch_tests::syscall::sandbox;

use super::report::Report;

#[derive(Args)]
pub(crate) struct Hold {
    /// A file to map shared and to read; written first when it is not there.
    #[arg(long, requires = "bytes")]
    file: Option<PathBuf>,
    /// Bytes of the file.
    #[arg(long, default_value_t = 0)]
    bytes: u64,
    /// Lock the mapping of the file.
    #[arg(long)]
    lock: bool,
    /// Remove the file's name afterwards.
    #[arg(long)]
    unlink: bool,
    /// Read the file over and over, without an end.
    #[arg(long)]
    again: bool,
    /// Mount a file system in memory over this folder beforehand, in mounts of its own.
    #[arg(long)]
    mount: Option<PathBuf>,
    /// Private bytes to touch.
    #[arg(long, default_value_t = 0)]
    anon: u64,
    /// Ask for huge pages there.
    #[arg(long)]
    huge: bool,
    /// Bytes to touch from the pool of huge pages.
    #[arg(long, default_value_t = 0)]
    hugetlb: u64,
    /// Private mappings of one page to touch, which do not merge.
    #[arg(long, default_value_t = 0)]
    mappings: u64,
    /// Children that share it all.
    #[arg(long, default_value_t = 0)]
    workers: u32,
}

impl Hold {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        if let Some(folder) = &self.mount {
            sandbox::unshare_mounts().context("get mounts of one's own")?;
            sandbox::mount(None, folder, Some("tmpfs"), 0)
                .with_context(|| format!("mount over {}", folder.display()))?;
        }
        if let Some(path) = &self.file {
            self.hold_file(path)?;
        }
        if self.anon > 0 {
            let address = memory::map(self.anon, READ_WRITE, PRIVATE, None).context("map the region")?;
            if self.huge {
                memory::want_huge_pages(address, self.anon)?;
            } else {
                memory::forbid_huge_pages(address, self.anon)?;
            }
            memory::touch(address, self.anon);
        }
        if self.hugetlb > 0 {
            let flags = PRIVATE | libc::MAP_HUGETLB;
            let address = memory::map(self.hugetlb, READ_WRITE, flags, None).context("map huge pages")?;
            memory::touch(address, self.hugetlb);
        }
        for number in 0..self.mappings {
            // Neighbours that may not do the same stay apart.
            let prot = if number % 2 == 0 { READ_WRITE } else { READ_WRITE | libc::PROT_EXEC };
            let address = memory::map(memory::PAGE, prot, PRIVATE, None)
                .with_context(|| format!("make mapping {number}"))?;
            memory::touch(address, memory::PAGE);
        }
        for _ in 0..self.workers {
            if matches!(process::fork()?, Forked::Child) {
                process::die_with_parent()?;
                loop {
                    sleep(Duration::from_secs(60));
                }
            }
        }
        report.add("bytes", self.bytes);
        Ok(())
    }

    fn hold_file(&self, path: &Path) -> anyhow::Result<()> {
        if !path.exists() {
            let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
            let piece = vec![7; 1 << 20];
            let mut left = self.bytes;
            while left > 0 {
                let part = piece.get(..left.min(1 << 20) as usize).unwrap_or_default();
                file.write_all(part).context("write the file")?;
                left -= part.len() as u64;
            }
        }
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let address = memory::map(self.bytes, libc::PROT_READ, libc::MAP_SHARED, Some(&file))?;
        memory::read_pages(address, self.bytes);
        if self.lock {
            memory::lock(address, self.bytes).context("lock the mapping")?;
        }
        if self.unlink {
            std::fs::remove_file(path)?;
        }
        if self.again {
            loop {
                memory::read_pages(address, self.bytes);
            }
        }
        Ok(())
    }
}
