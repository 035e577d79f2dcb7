//! Close sweeps and the kernel's descriptor table.

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::file::{self, Duplicate};
use memwatch_tests::syscall::limit;

use crate::report::Report;

#[derive(Args)]
pub(crate) struct Sweep {
    /// Descriptors to close, from 100 on.
    #[arg(long)]
    count: i32,
    /// Close without having read the limit.
    #[arg(long)]
    unread: bool,
}

impl Sweep {
    pub(crate) fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        const FIRST: i32 = 100;
        // What was inherited open would shorten the sweep; closes before the limit is known count for nobody.
        file::close_above(FIRST).context("close what was inherited")?;
        if !self.unread {
            report.add("limit", limit::get(limit::NOFILE)?.soft);
        }
        let open = (FIRST..FIRST + self.count).filter(|fd| file::close_number(*fd)).count();
        anyhow::ensure!(open == 0, "{open} of the descriptors were open");
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct DupHigh {
    #[arg(long)]
    fd: i32,
    /// The system call.
    #[arg(long, value_enum, default_value = "dup3")]
    by: Duplicate,
}

impl DupHigh {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        file::duplicate_to(self.fd, self.by)
            .with_context(|| format!("copy standard error to descriptor {}", self.fd))
    }
}
