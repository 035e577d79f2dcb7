//! From process to process: what can be left aside at once, what is looked into, and what was out of sight.

use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use anyhow::{Context, ensure};

use super::Filters;
use super::look::{Look, Seen};
use super::select::{Within, pids};
use crate::core::exposure::{Exposure, Kin, Risk};
use crate::enrich::origins::Origins;
use crate::enrich::proc::{ProcFs, ReadError};
use crate::export::scan::Unread;

/// Threads at most.
const WALKERS_MAX: usize = 8;
/// Processes for which another thread is worth its start.
const PROCESSES_EACH: usize = 256;

/// What a walk found.
pub(super) struct Walked {
    pub(super) exposures: Vec<Exposure>,
    pub(super) unread: Unread,
    /// Processes that were looked at.
    pub(super) scanned: u64,
}

/// Looks at every process that the filters name.
pub(super) fn walk(filters: &Filters) -> anyhow::Result<Walked> {
    let proc = ProcFs::open(Path::new("/proc")).context("cannot open /proc")?;
    let within = filters.cgroup.as_deref().map(Within::named).transpose()?;
    let pids = pids(filters, &proc)?;
    let next = AtomicUsize::new(0);
    let walk = || part(&proc, &pids, &next, within.as_ref(), filters);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..walkers(pids.len())).map(|_| scope.spawn(walk)).collect();
        let own = walk();
        std::iter::once(own).chain(others.into_iter().map(joined)).collect()
    });
    let mut walked = Walked { exposures: Vec::new(), unread: Unread::default(), scanned: 0 };
    let mut kin = Kin::default();
    let mut with_table = Vec::new();
    for part in parts {
        let (seen, unread) = part?;
        walked.unread += unread;
        for (pid, Seen { program, parent, has_table, exposure }) in seen {
            walked.scanned += 1;
            if let Some(program) = program {
                kin.note(pid, parent, program);
            }
            if has_table {
                with_table.push(pid);
            }
            walked.exposures.extend(exposure);
        }
    }
    ensure!(
        walked.scanned > 0 || filters.cgroup.is_none(),
        "no process is in cgroup {:?}; /proc/PID/cgroup of a process names its own",
        filters.cgroup.as_deref().unwrap_or(Path::new("/"))
    );
    once_per_server(&mut walked.exposures, &kin, &with_table);
    let mut origins = Origins::new(&proc);
    for exposure in &mut walked.exposures {
        let origin = origins.of(&proc, &exposure.process, exposure.limits);
        exposure.set_origin(origin);
    }
    Ok(walked)
}

/// How many threads walk: nearly all the time is the kernel's, which makes the text of each file anew.
fn walkers(processes: usize) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
    cpus.min(WALKERS_MAX).min(processes.div_ceil(PROCESSES_EACH)).max(1)
}

/// What a walker saw.
type Part = (Vec<(u32, Seen)>, Unread);

/// A panic in a walker goes on here.
fn joined(walker: ScopedJoinHandle<'_, anyhow::Result<Part>>) -> anyhow::Result<Part> {
    walker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Takes process after process until `next` is at their end.
fn part(
    proc: &ProcFs,
    pids: &[u32],
    next: &AtomicUsize,
    within: Option<&Within>,
    filters: &Filters,
) -> anyhow::Result<Part> {
    let mut look = Look::new(proc, filters.min_table, filters.min_confidence.into())?;
    let (mut all, mut unread) = (Vec::new(), Unread::default());
    while let Some(&pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
        match see(proc, pid, within, &mut look, &mut unread) {
            Ok(Some(seen)) => all.push((pid, seen)),
            // Those that end meanwhile need no report: they hold nothing any more.
            Ok(None) | Err(ReadError::Gone { .. } | ReadError::Recycled { .. }) => {}
            Err(ReadError::Io { .. } | ReadError::Parse { .. }) => unread.processes += 1,
        }
    }
    Ok((all, unread))
}

/// Looks at one process; `None` when it is not among those asked for, or has no memory of its own.
fn see(
    proc: &ProcFs,
    pid: u32,
    within: Option<&Within>,
    look: &mut Look,
    unread: &mut Unread,
) -> Result<Option<Seen>, ReadError> {
    let dir = proc.process(pid)?;
    if let Some(within) = within
        && !within.holds(&dir.cgroups()?)
    {
        return Ok(None);
    }
    look.at(&dir, unread)
}

/// Expects one table of each server, from its eldest process, and none where one of its processes has it already.
fn once_per_server(exposures: &mut Vec<Exposure>, kin: &Kin, with_table: &[u32]) {
    let done: HashSet<u32> = with_table.iter().map(|&pid| kin.eldest(pid)).collect();
    exposures.retain(|exposure| {
        let tgid = exposure.process.key.tgid;
        let eldest = kin.eldest(tgid);
        !matches!(exposure.risk, Risk::Expected { .. }) || (eldest == tgid && !done.contains(&eldest))
    });
}
