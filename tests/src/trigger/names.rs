//! Names that a terminal, a JSON parser or a log must survive.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::memory::{self, PRIVATE, READ_WRITE};
use memwatch_tests::syscall::process;

/// Bytes written as pairs of hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(Vec<u8>);

impl std::str::FromStr for Bytes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let pairs = text.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
        bytes.collect::<anyhow::Result<Vec<u8>>>().map(Self).context("read hexadecimal bytes")
    }
}

impl Bytes {
    /// Gives the calling thread this name.
    pub(crate) fn put_on(&self) -> anyhow::Result<()> {
        process::set_name(&self.0).context("set the name")
    }
}

#[derive(Args)]
pub(crate) struct Named {
    /// The thread's name.
    #[arg(long)]
    name: Bytes,
    #[arg(long)]
    bytes: u64,
}

impl Named {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        self.name.put_on()?;
        memory::map(self.bytes, READ_WRITE, PRIVATE, None).context("map the region")?;
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct ExecNamed {
    /// Folder for the copy.
    #[arg(long)]
    folder: PathBuf,
    /// File name of the copy.
    #[arg(long)]
    name: Bytes,
    /// First argument.
    #[arg(long)]
    argument: Bytes,
    #[arg(long)]
    bytes: u64,
}

impl ExecNamed {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let path = self.folder.join(OsString::from_vec(self.name.0));
        copy_to(&path)?;
        // `map` takes no argument like this; the one after `--` of `--bytes=` would be refused, so it is argument 0.
        let error = Command::new(&path)
            .arg0(OsString::from_vec(self.argument.0))
            .args(["map", "--bytes", &self.bytes.to_string()])
            .exec();
        Err(error).with_context(|| format!("execute {path:?}"))
    }
}

#[derive(Args)]
pub(crate) struct Become {
    /// Where the copy goes.
    #[arg(long)]
    path: PathBuf,
    /// Its arguments.
    #[arg(last = true, required = true)]
    arguments: Vec<String>,
}

impl Become {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        copy_to(&self.path)?;
        Err(Command::new(&self.path).args(self.arguments).exec())
            .with_context(|| format!("execute {}", self.path.display()))
    }
}

/// Copies this program.
fn copy_to(path: &Path) -> anyhow::Result<()> {
    std::fs::copy("/proc/self/exe", path)
        .map(drop)
        .with_context(|| format!("copy this program to {}", path.display()))
}
