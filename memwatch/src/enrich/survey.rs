//! Reads what every process holds, for [`balance`](crate::core::audit::balance::balance).

mod places;
mod process;
mod true_use;

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use super::memory_cgroups::{HierarchyError, MemoryHierarchy};
use super::pages::{Batch, Entry, Frames, FramesError, Pagemap};
use super::proc::{ProcFs, ReadError};
use crate::core::audit::{Draw, Notes, Survey};
use crate::sys;
pub use places::place;
use process::Reader;
pub use true_use::{TrueUse, true_use};

/// How many pages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All, or a sample on a host where that takes long.
    Suiting,
    /// All.
    Exact,
    /// One of so many.
    OneIn(u64),
    /// About so many at most.
    Drawing(u64),
}

impl Reading {
    /// Whether it matters how much there is.
    const fn goes_by_size(self) -> bool {
        matches!(self, Self::Suiting | Self::Drawing(_))
    }

    fn draw(self, pages: u64) -> Draw {
        // The clock's last digits are chance enough to choose pages by.
        let seed = sys::boot_ns();
        match self {
            Self::Suiting => Draw::suiting(pages, seed),
            Self::Exact => Draw::EVERY,
            Self::OneIn(rate) => Draw::one_in(rate, seed),
            Self::Drawing(most) => Draw::one_in(pages.div_ceil(most.max(1)).next_power_of_two(), seed),
        }
    }
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// Of the cgroups.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// Of the pages.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// Of the processes.
    #[error("cannot list the processes of /proc: {0}; mount proc there")]
    Proc(#[from] io::Error),
    /// Of the cgroup asked for.
    #[error("there is no cgroup {path:?} below {point:?}; `systemd-cgls` lists them")]
    NoGroup {
        /// As it was given.
        path: std::path::PathBuf,
        /// Where the hierarchy is mounted.
        point: std::path::PathBuf,
    },
}

/// Reads the host.
///
/// # Errors
/// When there is no memory controller, or page frames cannot be looked at; the message names what is missing.
pub fn survey(proc: &ProcFs, reading: Reading) -> Result<(Survey, Notes), SurveyError> {
    let (started, cpu_before) = (Instant::now(), sys::cpu_ns());
    let page_bytes = sys::page_size();
    let hierarchy = MemoryHierarchy::find(&proc.mountinfo()?)?;
    let frames = Frames::open(proc)?;
    must_see_frames(proc)?;
    let tells_owners = frames.tells_owners();
    let mut notes = Notes { tells_owners, is_unified: hierarchy.is_unified(), ..Notes::default() };
    let cgroups = hierarchy.read(page_bytes)?;
    let pids = proc.pids()?;
    let draw = reading.draw(if reading.goes_by_size() { mapped_pages(proc, &pids) } else { 0 });
    let mut reader = Reader::new(Batch::new(frames), draw, page_bytes);
    let mut members: HashMap<u32, (u64, u64)> = HashMap::new();
    for pid in pids {
        match reader.read_member(proc, pid, |path| cgroups.charged_for(hierarchy.path_of(path)?)) {
            Ok(None) => {}
            Ok(Some((group, swap))) => {
                let (processes, swapped) = members.entry(group).or_default();
                (*processes, *swapped) = (*processes + 1, swapped.saturating_add(swap));
                notes.processes += 1;
            }
            Err(ReadError::Gone { .. } | ReadError::Recycled { .. }) => notes.gone += 1,
            Err(ReadError::Io { .. } | ReadError::Parse { .. }) => notes.refused += 1,
        }
    }
    let (batch, items) = reader.finish();
    let (tally, pages) = batch.finish();
    notes.pages = pages;
    notes.took_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    notes.cpu_ns = sys::cpu_ns().saturating_sub(cpu_before);
    Ok((Survey { tree: cgroups.tree, tally, items, members, rate: draw.rate(), page_bytes }, notes))
}

/// Resident pages of these processes together, each process counting its own.
fn mapped_pages(proc: &ProcFs, pids: &[u32]) -> u64 {
    let resident = |pid: &u32| {
        let text = proc.process(*pid).and_then(|dir| dir.text("statm")).ok()?;
        let text = String::from_utf8(text).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(resident).sum()
}

/// Looks at a page of this process, whose frame has a number unless numbers are hidden.
fn must_see_frames(proc: &ProcFs) -> Result<(), FramesError> {
    let refused = |reason| FramesError::Refused { file: "self/pagemap", reason };
    let value = Box::new(1_u64);
    let page = std::ptr::from_ref(value.as_ref()) as u64 / sys::page_size();
    let entry = Pagemap::new(proc.file("self/pagemap").map_err(refused)?).entry(page).map_err(refused)?;
    match entry.map(Entry::frame) {
        Some(0) => Err(FramesError::Hidden),
        _ => Ok(()),
    }
}
