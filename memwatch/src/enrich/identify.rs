//! All that `/proc` tells of a process at one moment.

use std::io;

use super::cgroup::CgroupTree;
use super::place::Places;
use super::proc::{ProcFs, ProcessDir, ReadError, Stat};
use crate::core::fact::{Identity, ProcessKey};

/// Longest text of `/proc/PID/stat`: 52 numbers and a name.
const STAT_MAX: usize = 1536;

/// Identifies processes that are looked at once; for those that are followed there is the
/// [`Ledger`](super::ledger::Ledger).
#[derive(Debug)]
pub struct Identifier {
    places: Places,
}

impl Identifier {
    /// One that finds cgroups where `self/mountinfo` of `proc` says.
    ///
    /// # Errors
    /// When the mounts cannot be read.
    pub fn new(proc: &ProcFs) -> io::Result<Self> {
        Ok(Self { places: Places::new(CgroupTree::new(&proc.mountinfo()?)) })
    }

    /// The process whose folder this is.
    ///
    /// # Errors
    /// When it is gone, or a file cannot be read.
    pub fn identify(&mut self, dir: &ProcessDir) -> Result<Identity, ReadError> {
        read(dir, dir.stat()?, &mut self.places, None)
    }
}

/// The process whose folder and `stat` these are. Its cgroup id is taken from `cgroup_id` where that is known.
pub(super) fn read(
    dir: &ProcessDir,
    stat: Stat,
    places: &mut Places,
    cgroup_id: Option<u64>,
) -> Result<Identity, ReadError> {
    // A main thread that has ended tells of its program, its arguments and on v1 its cgroup no more: another thread does.
    let is_mute = !stat.is_kernel && dir.exe().is_none();
    let thread = if is_mute { dir.living_thread(&mut [0; STAT_MAX]) } else { None };
    let shown = thread.as_ref().unwrap_or(dir);
    let arguments = shown.cmdline()?;
    let mut identity = Identity {
        parent_tgid: Some(stat.parent_pid),
        comm: stat.comm,
        uid: Some(dir.status()?.uid),
        exe: shown.exe().map(|exe| exe.path),
        args: arguments.words,
        args_cut: arguments.are_cut,
        ..Identity::unknown(ProcessKey { tgid: dir.tgid(), start_ns: stat.start_ns })
    };
    places.by_memberships(&shown.cgroups()?, cgroup_id).put(&mut identity);
    Ok(identity)
}
