//! When the lines of another program came.
//!
//! Goes in: its output on standard input. Comes out: `BOOT_NS LINE` for each line, at once.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result};

use crate::kernel;

/// Reads until the lines end, or nobody reads the answers.
///
/// # Errors
/// The lines cannot be read.
pub(crate) fn run() -> Result<()> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read the lines")?;
        let now_ns = kernel::boot_ns();
        if writeln!(output, "{now_ns} {line}").and_then(|()| output.flush()).is_err() {
            break;
        }
    }
    Ok(())
}
