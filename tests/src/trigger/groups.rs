//! Children that are born inside groups of the unified hierarchy.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::process::{self, Forked};

use crate::life::live;
use crate::report::Report;

#[derive(Args)]
pub(crate) struct ForkInto {
    /// Folder of a group in the unified hierarchy.
    #[arg(long)]
    group: PathBuf,
    /// Bytes that each child maps.
    #[arg(long)]
    bytes: u64,
}

impl ForkInto {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let group = File::open(&self.group).with_context(|| format!("open {}", self.group.display()))?;
        match process::fork_into(&group).context("make a child inside the group")? {
            Forked::Child => live("born-inside", self.bytes, 0),
            Forked::Parent(child) => {
                report.add("child", child);
                process::wait(child)?;
            }
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct ChurnGroups {
    /// Folder of the group to make others in.
    #[arg(long)]
    below: PathBuf,
    /// How many, one after the other, each with a child that lives and dies in it.
    #[arg(long)]
    count: u32,
}

impl ChurnGroups {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        for number in 0..self.count {
            let folder = self.below.join(number.to_string());
            std::fs::create_dir(&folder).with_context(|| format!("make the group {}", folder.display()))?;
            match process::fork_into(&File::open(&folder)?).context("make a child inside the group")? {
                Forked::Child => live("passer-by", 4096, 0),
                Forked::Parent(child) => process::wait(child)?,
            };
            std::fs::remove_dir(&folder).with_context(|| format!("remove the group {}", folder.display()))?;
        }
        Ok(())
    }
}
