//! From process to process: what can be left aside at once, what is looked into, and what was out of sight.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, ensure};

use super::Filters;
use super::look::{Look, Seen};
use super::origins::Origins;
use super::select::{Within, pids};
use crate::core::exposure::{Exposure, Kin, Risk};
use crate::enrich::proc::{ProcFs, ReadError};
use crate::export::scan::Unread;

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
    let mut look = Look::new(&proc, filters.min_table, filters.min_confidence.into())?;
    let mut walked = Walked { exposures: Vec::new(), unread: Unread::default(), scanned: 0 };
    let mut kin = Kin::default();
    let mut with_table = Vec::new();
    for pid in pids(filters, &proc)? {
        let look = || {
            let dir = proc.process(pid)?;
            if let Some(within) = &within
                && !within.holds(&dir.cgroups()?)
            {
                return Ok(None);
            }
            look.at(&dir, &mut walked.unread)
        };
        let seen = match { look }() {
            Ok(Some(seen)) => seen,
            // Those that end meanwhile need no report: they hold nothing any more.
            Ok(None) | Err(ReadError::Gone { .. } | ReadError::Recycled { .. }) => continue,
            Err(ReadError::Io { .. } | ReadError::Parse { .. }) => {
                walked.unread.processes += 1;
                continue;
            }
        };
        walked.scanned += 1;
        let Seen { program, parent, has_table, exposure } = seen;
        if let Some(program) = program {
            kin.note(pid, parent, program);
        }
        if has_table {
            with_table.push(pid);
        }
        walked.exposures.extend(exposure);
    }
    ensure!(
        walked.scanned > 0 || filters.cgroup.is_none(),
        "no process is in cgroup {:?}; /proc/PID/cgroup of a process names its own",
        filters.cgroup.as_deref().unwrap_or(Path::new("/"))
    );
    once_per_server(&mut walked.exposures, &kin, &with_table);
    let mut origins = Origins::new(&proc)?;
    for exposure in &mut walked.exposures {
        exposure.origin = origins.of(&exposure.process, exposure.limits);
    }
    Ok(walked)
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
