//! How late JSON lines arrive: the boot clock at arrival less the event's own time.
//!
//! Goes in: `memwatch trace --output json` on standard input. Comes out, at its end: `LINES P50 P99 MAXIMUM` in nanoseconds.

use std::io::Read as _;

use anyhow::{Context as _, Result};

use crate::kernel;
use crate::statistics::quantile;

/// The key of an event's time on the boot clock, in nanoseconds.
const TIME_KEY: &[u8] = br#""memwatch.boot_ns":"#;
/// Only these lines count; others tell of other processes.
const COUNTED: &[u8] = b"memwatch.rlimit_read";

/// Reads to the end and tells.
///
/// # Errors
/// Standard input cannot be read.
pub(crate) fn run() -> Result<()> {
    let mut input = std::io::stdin().lock();
    let mut lags = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let mut rest = Vec::new();
    loop {
        let length = input.read(&mut buffer).context("cannot read the lines")?;
        if length == 0 {
            break;
        }
        // All lines of one read arrived by now: the pipe had them.
        let now = kernel::boot_ns();
        rest.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines = rest.drain(..whole).collect::<Vec<_>>();
        lags.extend(
            lines
                .split(|byte| *byte == b'\n')
                .filter_map(time_of)
                .map(|time| now.saturating_sub(time) as f64),
        );
    }
    lags.sort_by(f64::total_cmp);
    tell(&format!(
        "{} {} {} {}",
        lags.len(),
        quantile(&lags, 0.5),
        quantile(&lags, 0.99),
        quantile(&lags, 1.0)
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer is for the program that started this one")]
fn tell(answer: &str) {
    println!("{answer}");
}

/// The boot time of a line that counts.
fn time_of(line: &[u8]) -> Option<u64> {
    find(line, COUNTED)?;
    let start = find(line, TIME_KEY)? + TIME_KEY.len();
    let digits: Vec<u8> = line.get(start..)?.iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

fn find(line: &[u8], part: &[u8]) -> Option<usize> {
    line.windows(part.len()).position(|window| window == part)
}
