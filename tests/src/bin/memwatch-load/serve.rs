//! One command a line, one answer a line.
//!
//! `measure LOAD MILLISECONDS` answers `MEDIAN MINIMUM BATCHES` (nanoseconds per operation); `flood PROCESSES SECONDS RATE`
//! (0: as fast as it goes) answers `CALLS SECONDS`; `crowd PROCESSES AREAS BYTES` answers `STARTED ASKED`. What a flood or
//! a crowd started waits until the next command, so that its end is no part of what is measured. `index BYTES RESIDENT
//! TIMES` holds a file in memory and answers `PAGES 0`; `rates` answers `PAGEMAP KPAGECGROUP` (entries per second that the
//! kernel gives of it). `hog BYTES WAIT_MS` touches memory at full speed and answers as is said in `hog.rs`. `table` holds one slot per
//! possible descriptor without touching any, and answers `BYTES LIMIT`.

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cost::Load;
use crate::crowd::Crowd;
use crate::flood::Flood;
use crate::hog::Hog;
use crate::index::Index;
use crate::kernel::{self, Region};

/// Serves until standard input ends.
///
/// # Errors
/// A command is not understood, or the kernel refuses an operation of a load.
pub(crate) fn run() -> Result<()> {
    let mut flood = None;
    let mut index: Option<Index> = None;
    let mut crowd = None;
    let mut hog = None;
    let mut table = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read a command")?;
        drop((flood.take(), crowd.take(), hog.take(), table.take()));
        let words: Vec<_> = line.split(' ').collect();
        let answer = match *words.as_slice() {
            ["measure", load, milliseconds] => {
                let figure = Load::parse(load)?.measure(Duration::from_millis(milliseconds.parse()?))?;
                format!("{} {} {}", figure.median_ns, figure.minimum_ns, figure.batches)
            }
            ["flood", processes, seconds, rate] => {
                let mut started = Flood::start(processes.parse()?, seconds.parse()?, rate.parse()?)?;
                let calls = started.wait_for_calls();
                let answer = format!("{calls} {}", started.elapsed().as_secs_f64());
                flood = Some(started);
                answer
            }
            ["index", bytes, resident, times] => {
                // The one before gives its memory back first.
                drop(index.take());
                let made = index.insert(Index::new(bytes.parse()?, resident.parse()?, times.parse()?)?);
                format!("{} 0", made.pages)
            }
            ["rates"] => {
                let index = index.as_ref().context("no index is held: give the command `index` before")?;
                let (pagemap, owners) = index.kernel_rates()?;
                format!("{pagemap} {owners}")
            }
            ["crowd", processes, areas, bytes] => {
                let started = Crowd::start(processes.parse()?, areas.parse()?, bytes.parse()?)?;
                let answer = format!("{} {processes}", started.len());
                crowd = Some(started);
                answer
            }
            ["hog", bytes, wait_ms] => {
                let started = Hog::start(bytes.parse()?, Duration::from_millis(wait_ms.parse()?))?;
                let answer = started.wait()?;
                hog = Some(started);
                answer
            }
            ["table"] => {
                const POINTER: usize = 8;
                let limit = usize::try_from(kernel::read_nofile()?)?;
                let bytes = limit.checked_mul(POINTER).context("no descriptor limit is set")?;
                table = Some(Region::map(bytes)?);
                format!("{bytes} {limit}")
            }
            _ => bail!("`{line}` is no command: see serve.rs for those that are"),
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}").and_then(|()| output.flush()).context("cannot answer")?;
    }
    Ok(())
}
