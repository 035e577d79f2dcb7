//! When a line came that somebody waits for.
//!
//! Goes in: the output of a program on standard input. Comes out: `BOOT_NS LINE` for each line with the part that is asked for, at
//! once.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result};

use crate::kernel;

/// Reads to the end.
///
/// # Errors
/// No part is asked for, or nobody reads the answers.
pub(crate) fn run() -> Result<()> {
    let part = std::env::args().nth(2).context("usage: memwatch-load told PART")?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read the lines")?;
        let now_ns = kernel::boot_ns();
        if line.contains(&part) {
            writeln!(output, "{now_ns} {line}").and_then(|()| output.flush()).context("cannot answer")?;
        }
    }
    Ok(())
}
