//! What looks like a table and is none: the detector must be silent at any size.

use anyhow::ensure;

use super::TRACING;
use super::table::large_element;
use super::table::table;
use crate::case::Case;
use crate::limit;

pub(super) const CASES: &[Case] = &[
    Case::new("negative::address_space_only", TRACING, || silent(&["--region", "prot-none"])),
    Case::new("negative::shared_memory", TRACING, || silent(&["--region", "shared"])),
    Case::new("negative::shared_memory_that_grew", TRACING, || grown("shared")),
    Case::new("negative::read_only_memory_that_grew", TRACING, || grown("read-only")),
    Case::new("negative::thread_stack", TRACING, || silent(&["--region", "stack"])),
    Case::new("negative::private_view_of_a_file", TRACING, || silent(&["--region", "file"])),
    Case::new("negative::limit_not_read", TRACING, not_read),
    Case::new("negative::exec_forgets", TRACING, || silent(&["--exec"])),
    Case::new("negative::exec_in_a_child_forgets", TRACING, || silent(&["--forks", "1", "--exec"])),
    Case::new("negative::larger_than_any_element", TRACING, || silent(&["--elements", "1032"])),
];

/// The trigger does its near miss, seen to the end, and no finding names any process.
fn silent(trigger: &[&str]) -> anyhow::Result<()> {
    let run = table(&["--min-table", "0", "--min-bytes", "0"], trigger)?.succeeded()?;
    run.none("fd_table", |_| true)?;
    // Silence counts only when the very memory was asked for before the eyes of the tracer.
    let (pid, bytes) = (run.pid()?, run.reported("bytes")?);
    let asked =
        |name: &str, key: &str| run.of(name).iter().any(|line| line.pid() == pid && line.is(key, bytes));
    ensure!(asked("mmap", "bytes") || asked("mremap", "bytes"), "no request for {bytes} bytes was seen");
    Ok(())
}

fn not_read() -> anyhow::Result<()> {
    silent(&["--by", "none", "--limit", &limit::table().to_string()])
}

/// `mremap` does not tell what it grows: the process has no private, writable memory of that size.
fn grown(region: &str) -> anyhow::Result<()> {
    let element = large_element().to_string();
    silent(&["--call", "mremap", "--region", region, "--elements", &element])
}
