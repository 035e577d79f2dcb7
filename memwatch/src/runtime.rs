//! The loop that joins the stages: ring buffer, decode, enrich, detect, export.
//!
//! One thread takes records and turns them into output; another writes it, so that a slow reader of our output makes the
//! ring buffer overflow, which is counted, and never blocks the handling of a signal.

mod close_sweeps;
pub mod daemon;
mod exporters;
mod filter;
mod losses;
mod notify;
mod otlp;
mod outlet;
mod pipeline;
mod self_protection;
mod sequence;
mod stop;
mod tree;
mod waiting;
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
use outlet::is_abandoned;
use writer::Writer;

/// Pause between looks at the loss counters and at who reads the output.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a reader may read nothing of what is left, once a signal or --duration has ended tracing.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same when the end was asked for twice.
const LITTLE_PATIENCE: Duration = Duration::from_millis(100);

/// How long records that were begun before the end may take to be written.
const LAST_RECORDS: Duration = Duration::from_millis(100);

/// When the loop ends by itself.
#[derive(Debug, Default)]
pub struct Ends {
    /// After this time.
    pub duration: Option<Duration>,
    /// After this many lines.
    pub count: Option<u64>,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A signal, or the end of the command.
    Told,
    /// Its time is over.
    Duration,
    /// As many lines were made as were asked for.
    Count,
    /// The reader of our output went away.
    Closed,
}

/// How the loop ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether the reader of our output went away.
    pub output_closed: bool,
    /// Whether output was given up that its reader did not take.
    pub gave_up: bool,
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
    let mut writer = Writer::start().context("cannot start the writer")?;
    pipeline.limit_lines(ends.count);
    let deadline = ends.duration.and_then(|duration| started.checked_add(duration));
    let why = trace(probe, &mut pipeline, &mut source, &mut writer, stop, deadline).await?;
    // What is left is finite from here on: all of it is written, or counted.
    probe.silence()?;
    let stalled = patience(why, stop).map(|patience| writer.stalled(patience));
    let given_up = async {
        tokio::select! {
            () = stop.impatient() => {}
            () = or_never(stalled) => {}
        }
    };
    tokio::pin!(given_up);
    let mut output_closed = why == Why::Closed;
    let mut gave_up = false;
    if !output_closed {
        tokio::select! {
            biased;
            told = tell_rest(probe, &mut pipeline, &mut source, &mut writer) => output_closed = !told?,
            () = &mut given_up => gave_up = true,
        }
    }
    if output_closed {
        tracing::info!("nobody reads the output any more");
    }
    probe.flush_log();
    let left = if gave_up { pipeline.pass_over(probe, &mut source)? } else { 0 };
    let (mut summary, mut output) = pipeline.finish(probe, started.elapsed())?;
    if !gave_up {
        tokio::select! {
            biased;
            written = writer.finish(&mut output) => written.context("cannot write standard output")?,
            () = &mut given_up => gave_up = true,
        }
    }
    if gave_up {
        tracing::info!("gave up output that nobody read");
        summary.losses.extend(losses::unwritten(left + writer.give_up().await));
    }
    Ok(Ended { output_closed, gave_up, summary })
}

/// Takes records and tells of them until something ends it.
async fn trace(
    probe: &mut Probe,
    pipeline: &mut Pipeline,
    source: &mut Source,
    writer: &mut Writer,
    stop: &mut Stop,
    deadline: Option<Instant>,
) -> anyhow::Result<Why> {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // What is told already goes first: until then records wait in the ring buffer, which has a bound.
        if !pipeline.has_output() {
            source.drain(|record| pipeline.take(record));
        }
        if pipeline.is_full() {
            tracing::info!("--count is reached");
            return Ok(Why::Count);
        }
        if pipeline.watches() {
            watch(probe, true);
        }
        let is_told = !pipeline.has_output();
        tokio::select! {
            biased;
            () = stop.told() => return Ok(Why::Told),
            () = or_never(deadline.map(tokio::time::sleep_until)) => {
                tracing::info!("--duration is over");
                return Ok(Why::Duration);
            }
            _ = period.tick() => {
                // A quiet trace would not learn it from a write.
                if pipeline.writes() && is_abandoned() {
                    return Ok(Why::Closed);
                }
                probe.flush_log();
                pipeline.look_for_ended();
                watch(probe, pipeline.watches());
                if is_told {
                    pipeline.end_sweeps(probe, false)?;
                    pipeline.count_losses(probe)?;
                }
            }
            () = pipeline.waiting.ready() => pipeline.release(false),
            sent = writer.send(&mut pipeline.output) => if !sent {
                return Ok(Why::Closed);
            },
            waited = source.wait(), if is_told => {
                waited.context("cannot tell the kernel side that its records are awaited")?;
            }
        }
    }
}

/// Tells of the records that were written before the end, and of what was lost; false when nobody reads any more.
async fn tell_rest(
    probe: &mut Probe,
    pipeline: &mut Pipeline,
    source: &mut Source,
    writer: &mut Writer,
) -> anyhow::Result<bool> {
    let late = Instant::now() + LAST_RECORDS;
    while !pipeline.is_full() {
        let taken = source.drain(|record| pipeline.take(record));
        if pipeline.has_output() && !writer.send(&mut pipeline.output).await {
            return Ok(false);
        }
        if taken == 0 {
            if !pipeline.lacks_records(probe)? || Instant::now() > late {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while pipeline.waiting.len() > 0 {
        pipeline.waiting.ready().await;
        pipeline.release(false);
    }
    pipeline.end_sweeps(probe, true)?;
    pipeline.count_losses(probe)?;
    Ok(!pipeline.has_output() || writer.send(&mut pipeline.output).await)
}

/// How long a reader may read nothing after the end, before what is left is given up. Without end where nobody asked for one.
fn patience(why: Why, stop: &Stop) -> Option<Duration> {
    match why {
        Why::Told | Why::Duration if stop.asked() > 1 => Some(LITTLE_PATIENCE),
        Why::Told if stop.asked() == 0 => None,
        Why::Told | Why::Duration => Some(PATIENCE),
        Why::Count | Why::Closed => None,
    }
}

/// Without it growth is seen at samples only, which is no reason to end.
fn watch(probe: &mut Probe, on: bool) {
    if let Err(reason) = probe.watch_touch(on) {
        tracing::warn!("cannot see which pages are touched: {reason}");
    }
}

async fn or_never(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
