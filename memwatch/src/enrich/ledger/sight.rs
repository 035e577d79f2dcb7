//! What `/proc` shows of a process, if it is the one asked for.

use super::seen::Seen;
use crate::core::fact::{Identity, ProcessKey};
use crate::enrich::identify::read;
use crate::enrich::place::{Place, Places};
use crate::enrich::proc::{FileId, ProcFs, ProcessDir, ReadError, Stat};

/// Which holder of a pid is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    /// The one that started then, to the clock tick.
    Started(u64),
    /// The one that held it at that time: today's, if it had surely started by then.
    Before(u64),
    /// Whoever holds it.
    Any,
}

impl Holder {
    const fn is_started_at(self, start_ns: u64) -> bool {
        match self {
            Self::Started(asked_ns) => asked_ns / ProcessKey::TICK_NS == start_ns / ProcessKey::TICK_NS,
            // /proc rounds down: the true start lies within the tick.
            Self::Before(time_ns) => start_ns.saturating_add(ProcessKey::TICK_NS) <= time_ns,
            Self::Any => true,
        }
    }
}

/// The start of the holder, rounded down to a clock tick.
pub(super) fn start(proc: &ProcFs, tgid: u32, holder: Holder) -> Result<u64, ReadError> {
    checked(&proc.process(tgid)?, tgid, holder).map(|stat| stat.start_ns)
}

/// All that `/proc` tells of the holder. Its cgroup id is taken from `cgroup_id` where that is known.
///
/// The start is checked before and after; where any holder will do, the open folder alone keeps two of them apart.
pub(super) fn identity(
    proc: &ProcFs,
    places: &mut Places,
    tgid: u32,
    holder: Holder,
    cgroup_id: Option<u64>,
) -> Result<Identity, ReadError> {
    let dir = proc.process(tgid)?;
    let stat = checked(&dir, tgid, holder)?;
    let start_ns = stat.start_ns;
    let identity = read(&dir, stat, places, cgroup_id)?;
    if !matches!(holder, Holder::Any) {
        checked(&dir, tgid, Holder::Started(start_ns))?;
    }
    Ok(identity)
}

/// Where a process stands that was seen in another cgroup than before.
pub(super) fn place(proc: &ProcFs, places: &mut Places, seen: &Seen) -> Place {
    let memberships = || {
        let dir = proc.process(seen.tgid)?;
        let memberships = dir.cgroups()?;
        checked(&dir, seen.tgid, Holder::Started(seen.start_ns))?;
        Ok::<_, ReadError>(memberships)
    };
    match memberships() {
        Ok(memberships) => places.by_memberships(&memberships, seen.cgroup_id),
        Err(_) => places.by_id(seen.cgroup_id, seen.time_ns),
    }
}

/// Completes a process that has just run another program: the arguments if the record does not hold all, and its cgroup on hosts
/// where it can change without the id in the record changing. Where the process is gone, what the record says stands. Gives its
/// executable, if that can be read.
pub(super) fn complete_exec(
    proc: &ProcFs,
    places: &mut Places,
    identity: &mut Identity,
    has_all_args: bool,
) -> Option<(Vec<u8>, Option<FileId>)> {
    let look = || {
        let tgid = identity.key.tgid;
        let dir = proc.process(tgid)?;
        let exe = dir.exe().map(|exe| (exe.path, dir.exe_file()));
        let args = if has_all_args { None } else { Some(dir.cmdline()?) };
        let memberships = if places.tree.has_v1() { Some(dir.cgroups()?) } else { None };
        checked(&dir, tgid, Holder::Started(identity.key.start_ns))?;
        Ok::<_, ReadError>((exe, args, memberships))
    };
    let (exe, args, memberships) = look().ok()?;
    if let Some(args) = args.filter(|args| !args.words.is_empty()) {
        (identity.args, identity.args_cut) = (args.words, args.are_cut);
    }
    if let Some(memberships) = memberships {
        places.by_memberships(&memberships, identity.cgroup_id).put(identity);
    }
    exe
}

fn checked(dir: &ProcessDir, tgid: u32, holder: Holder) -> Result<Stat, ReadError> {
    let stat = dir.stat()?;
    if holder.is_started_at(stat.start_ns) { Ok(stat) } else { Err(ReadError::Recycled { tgid }) }
}
