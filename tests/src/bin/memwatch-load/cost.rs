//! What one operation costs: short batches, so that what else runs on the machine spoils some of them and not all.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::kernel::{self, Pinned, Program, Region};
use crate::statistics::quantile;

/// Bytes of the mapping that is made and taken back: below every floor, so that it is counted and no event.
const MAPPED: usize = 64 << 10;
/// Bytes whose pages are touched in one batch; below the floor too.
const TOUCHED: usize = 512 << 10;
/// A descriptor number that is not open here.
const CLOSED: i32 = 900;

/// An operation that is repeated.
pub(crate) struct Load {
    batch: Batch,
}

/// Runs a batch; gives its time and its number of operations.
type Batch = fn() -> Result<(Duration, u32)>;

/// Every load by name.
const LOADS: [(&str, Batch); 8] = [
    ("getpid", || timed(2_000, kernel::getpid)),
    ("mmap", || timed(200, || Region::map(MAPPED).map(drop))),
    ("fault", touch),
    ("exec", || {
        let program = Program::smallest();
        timed(1, || program.run_to_its_end())
    }),
    ("exec-static", || {
        let program = Program::nothing()?;
        timed(1, || program.run_to_its_end())
    }),
    ("close-closed", || timed(2_000, || kernel::close(CLOSED))),
    ("dup-close", || {
        timed(500, || {
            let copy = kernel::dup(0)?;
            kernel::close(copy)
        })
    }),
    ("prlimit", || timed(500, || kernel::read_nofile().map(drop))),
];

/// Nanoseconds per operation, over batches.
pub(crate) struct Figure {
    pub(crate) median_ns: f64,
    pub(crate) minimum_ns: f64,
    pub(crate) batches: usize,
}

impl Load {
    /// The load of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let Some((_, batch)) = LOADS.iter().find(|(known, _)| *known == name) else {
            bail!("no load is called {name}: there are {}", LOADS.map(|(name, _)| name).join(", "))
        };
        Ok(Self { batch: *batch })
    }

    /// Runs batches for this long, after one that only warms up, on one processor: where a child is started decides
    /// more about the time of a fork than a tracer does.
    ///
    /// # Errors
    /// The kernel refuses the operation.
    pub(crate) fn measure(&self, length: Duration) -> Result<Figure> {
        let _pinned = Pinned::here()?;
        (self.batch)()?;
        let started = Instant::now();
        let mut figures = Vec::new();
        while started.elapsed() < length {
            let (took, operations) = (self.batch)()?;
            figures.push(took.as_secs_f64() * 1e9 / f64::from(operations));
        }
        figures.sort_by(f64::total_cmp);
        Ok(Figure {
            median_ns: quantile(&figures, 0.5),
            minimum_ns: quantile(&figures, 0.0),
            batches: figures.len(),
        })
    }
}

fn timed(operations: u32, mut operation: impl FnMut() -> Result<()>) -> Result<(Duration, u32)> {
    let started = Instant::now();
    for _ in 0..operations {
        operation()?;
    }
    Ok((started.elapsed(), operations))
}

/// First touches of fresh pages; making and unmapping the region is not timed.
fn touch() -> Result<(Duration, u32)> {
    let mut region = Region::map(TOUCHED)?;
    region.refuse_huge_pages().context("cannot ask for small pages")?;
    let started = Instant::now();
    let pages = region.touch();
    Ok((started.elapsed(), pages))
}
