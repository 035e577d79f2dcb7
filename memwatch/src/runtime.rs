//! The loop that joins the stages: ring buffer, decode, enrich, detect, export.
//!
//! One thread takes records and turns them into output; another writes it, so that a slow reader of our output makes the
//! ring buffer overflow, which is counted, and never blocks the handling of a signal.

pub mod daemon;
mod filter;
mod losses;
mod notify;
mod pipeline;
mod self_protection;
mod sequence;
mod stop;
mod tree;
mod writer;

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

pub use filter::Filter;
pub use notify::Notifier;
pub use pipeline::{Outcome, Pipeline};
pub use self_protection::{Unprotected, protect};
pub use stop::Stop;
pub use tree::mark_tree;

use crate::export::Summary;
use crate::probe::attach::Probe;
use crate::source::Source;
use writer::Writer;

/// Pause between looks at the loss counters.
const LOSS_PERIOD: Duration = Duration::from_secs(1);

/// Batches still taken after the end: more than the ring buffer's default size holds.
const LAST_BATCHES: u32 = 64;

/// When the loop ends by itself.
#[derive(Debug, Default)]
pub struct Ends {
    /// After this time.
    pub duration: Option<Duration>,
    /// After this many lines.
    pub count: Option<u64>,
}

/// How the loop ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the reader of our output went away.
    pub output_closed: bool,
    /// What happened while it ran.
    pub summary: Summary,
}

/// Runs until something ends it.
///
/// # Errors
/// When the reactor, a signal handler or a map fails.
pub async fn run(
    probe: &mut Probe,
    mut pipeline: Pipeline,
    ends: Ends,
    stop: &mut Stop,
) -> anyhow::Result<Ended> {
    let started = Instant::now();
    let mut source = Source::new(probe.take_ring()?).context("cannot watch the ring buffer")?;
    let mut writer = Writer::start();
    let deadline = ends.duration.and_then(|duration| started.checked_add(duration));
    let mut losses = tokio::time::interval(LOSS_PERIOD);
    losses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    pipeline.limit_lines(ends.count);
    let mut output_closed = false;
    loop {
        source.drain(|record| pipeline.take(record));
        if pipeline.has_output() {
            tokio::select! {
                sent = writer.send(&mut pipeline.output) => if !sent { output_closed = true; break },
                () = stop.told() => break,
            }
        }
        if pipeline.is_full() {
            tracing::info!("--count is reached");
            break;
        }
        if pipeline.watches() {
            watch(probe, true);
        }
        tokio::select! {
            biased;
            () = stop.told() => break,
            () = until(deadline) => {
                tracing::info!("--duration is over");
                break
            }
            () = writer.closed() => { output_closed = true; break }
            _ = losses.tick() => {
                probe.flush_log();
                watch(probe, pipeline.watches());
                pipeline.count_losses(probe)?;
            }
            waited = source.wait() => waited.context("cannot tell the kernel side that its records are awaited")?,
        }
    }
    if output_closed {
        tracing::info!("nobody reads the output any more");
    }
    // What was written before the end is still told.
    // Bounded: others may go on writing.
    for _ in 0..LAST_BATCHES {
        if output_closed || pipeline.is_full() || source.drain(|record| pipeline.take(record)) == 0 {
            break;
        }
    }
    probe.flush_log();
    pipeline.count_losses(probe)?;
    let elapsed = started.elapsed();
    let (summary, output) = pipeline.finish(probe, elapsed)?;
    tokio::select! {
        written = writer.finish(output) => written.context("cannot write standard output")?,
        // A reader that does not read holds nobody: what it would not take is given up.
        () = stop.impatient() => tracing::warn!("gave up output that nobody read"),
    }
    Ok(Ended { output_closed, summary })
}

/// Without it growth is seen at samples only, which is no reason to end.
fn watch(probe: &mut Probe, on: bool) {
    if let Err(reason) = probe.watch_touch(on) {
        tracing::warn!("cannot see which pages are touched: {reason}");
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
