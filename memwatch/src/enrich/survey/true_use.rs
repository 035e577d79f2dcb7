//! What one cgroup costs the host, without a look at the others: for a policy that asks often.

use std::path::Path;
use std::time::Instant;

use super::process::Reader;
use super::{Reading, SurveyError, mapped_pages, must_see_frames};
use crate::core::audit::{Estimate, Weights};
use crate::enrich::memory_cgroups::MemoryHierarchy;
use crate::enrich::pages::{Entry, Frames, Side, Sink, flag};
use crate::enrich::proc::ProcFs;
use crate::sys;

/// What a cgroup and all below it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueUse {
    /// What its processes hold, where a page that processes outside map as well counts with its part of the mappings;
    /// memory of the kernel; files in memory that it is charged for and does not map.
    pub bytes: Estimate,
    /// What the kernel charged it for.
    pub charged: u64,
    /// What its processes hold that is charged neither to it nor to one below it. As a whole page for each, since it is
    /// wholly charged elsewhere; 0 where the kernel tells no owners.
    pub elsewhere: Estimate,
    /// The same with a page that processes outside map as well counted by its part of the mappings. Where the kernel tells no
    /// owners, by how much what its processes hold is more than what it is charged for.
    pub missing: Estimate,
    /// Its limit.
    pub limit: Option<u64>,
    /// Processes read.
    pub processes: u64,
    /// Pages for each that was read.
    pub rate: u64,
    /// Time it took.
    pub took_ns: u64,
    /// CPU time of that.
    pub cpu_ns: u64,
}

/// Pages as they are found, with what is told of them.
#[derive(Debug, Default)]
struct Found(Vec<Entry>);

impl Sink for Found {
    fn turn(&mut self, _: Side) {}

    fn add(&mut self, entry: Entry) {
        self.0.push(entry);
    }
}

/// Reads a cgroup: by its path below the root of the memory controller's hierarchy, or by its folder. Takes 8 bytes of
/// memory for each page read.
///
/// # Errors
/// When there is no such cgroup or no memory controller, or page frames cannot be looked at.
pub fn true_use(proc: &ProcFs, path: &Path, reading: Reading) -> Result<TrueUse, SurveyError> {
    let (started, cpu_before) = (Instant::now(), sys::thread_cpu_ns());
    let page_bytes = sys::page_size();
    let hierarchy = MemoryHierarchy::find(&proc.mountinfo()?)?;
    let mut frames = Frames::open(proc)?;
    must_see_frames(proc)?;
    let group = hierarchy
        .group_at(path, page_bytes)
        .ok_or_else(|| SurveyError::NoGroup { path: path.to_owned(), point: hierarchy.point().to_owned() })?;
    let draw = reading.draw(if reading.goes_by_size() { mapped_pages(proc, &group.pids) } else { 0 });
    let mut reader = Reader::new(Found::default(), draw, page_bytes);
    let mut processes = 0;
    for pid in &group.pids {
        // One that ended meanwhile holds nothing any more.
        processes += u64::from(reader.read_member(proc, *pid, |_| Some(0)).is_ok_and(|it| it.is_some()));
    }
    let (Found(mut found), _) = reader.finish();
    found.sort_by_key(|entry| entry.frame());
    let shmem = group.charged.shmem.unwrap_or(0);
    let mut sums = Sums::default();
    let mut owner = Vec::new();
    for page in found.chunk_by(|a, b| a.frame() == b.frame()) {
        let Some(entry) = page.first() else { continue };
        frames.owners(entry.frame()..entry.frame() + 1, &mut owner);
        let owner = match owner.first() {
            None | Some(0) => frames.second_look(entry.frame()),
            Some(owner) => Some(*owner),
        };
        let mut flags = [0];
        frames.read_flags(entry.frame(), &mut flags);
        let Some(owner) = owner.filter(|_| flags[0] & flag::HUGE == 0) else { continue };
        let sights = page.len() as u64;
        let mappings = if entry.is_alone() { sights } else { frames.mappings(entry.frame()).max(sights) };
        sums.held.add(1, sights as f64 / mappings as f64);
        if !group.ids.contains(&owner) && frames.tells_owners() {
            sums.elsewhere.add(1, 1.0);
            sums.missing.add(1, sights as f64 / mappings as f64);
        } else if entry.is_of_file() && shmem > 0 && frames.flags(entry.frame()) & flag::SWAP_BACKED != 0 {
            // The first page's flags cost a look at all around.
            sums.own_shmem.add(1, 1.0);
        }
    }
    let estimate = |weights: Weights| weights.estimate(draw.rate(), page_bytes);
    let unmapped = estimate(sums.own_shmem).left_of(shmem);
    Ok(TrueUse {
        bytes: estimate(sums.held).and(unmapped).plus(group.charged.kernel.unwrap_or(0)),
        charged: group.charged.total(),
        elsewhere: estimate(sums.elsewhere),
        missing: if frames.tells_owners() {
            estimate(sums.missing)
        } else {
            estimate(sums.held).above(group.charged.total())
        },
        limit: group.limit,
        processes,
        rate: draw.rate(),
        took_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        cpu_ns: sys::thread_cpu_ns().saturating_sub(cpu_before),
    })
}

#[derive(Default)]
struct Sums {
    held: Weights,
    own_shmem: Weights,
    elsewhere: Weights,
    missing: Weights,
}
