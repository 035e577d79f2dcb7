//! Exec, fork and exit: how the ledger is kept without asking `/proc`.

use std::sync::Arc;

use memwatch_ebpf::abi::event::{Exec, Fork};

use super::executables::Executable;
use super::seen::Seen;
use super::{Ledger, is_one, sight};
use crate::core::fact::{Identity, ProcessKey};
use crate::enrich::cgroup::hierarchy_of;
use crate::enrich::proc::parse_cmdline;

impl Ledger {
    /// A process runs another program: what the record says at once, and what `/proc` adds if it still can.
    pub(super) fn exec(&mut self, seen: &Seen, exec: &Exec) -> Arc<Identity> {
        let mut identity = Identity::clone(&self.actor(seen));
        let len = usize::try_from(exec.args_len).unwrap_or(usize::MAX);
        let has_all_args = exec.args_len > 0 && exec.args_len >= exec.args_total;
        let arguments = parse_cmdline(exec.args.get(..len).unwrap_or(&exec.args), has_all_args);
        (identity.args, identity.args_cut) = (arguments.words, arguments.are_cut);
        identity.comm = seen.comm().to_vec();
        let executable = Executable::of(exec);
        let is_placed = !self.places.tree.has_v1()
            || identity.cgroup_hierarchy.is_some_and(|it| identity.cgroup_id.map(hierarchy_of) == Some(it));
        let filename = exec.filename.split(|&byte| byte == 0).next().unwrap_or_default();
        let fresh = executable.and_then(|file| self.executables.fresh(file, filename, seen.time_ns));
        identity.exe = match fresh.filter(|_| has_all_args && is_placed) {
            // Nothing is left to ask /proc for, which costs the process that is asked about time at its end.
            Some(path) => Some(path),
            None => {
                let read = sight::complete_exec(&self.proc, &mut self.places, &mut identity, has_all_args);
                let at = (executable, seen.time_ns);
                self.executables.path(&self.proc, &identity, at, read, filename)
            }
        };
        if identity.exe.is_none() {
            self.losses.executables_unknown += 1;
        }

        let identity = Arc::new(identity);
        if let Some(known) = self.live.get_mut(&seen.tgid).filter(|known| known.key == identity.key) {
            *known = Arc::clone(&identity);
        }
        identity
    }

    /// A process made another one: the child is what its parent is, until it runs another program.
    ///
    /// A child that is known already was read from `/proc` after it was made, which is the better source.
    pub(super) fn fork(&mut self, seen: &Seen, parent: &Identity, fork: &Fork) -> Arc<Identity> {
        let key = ProcessKey { tgid: fork.tgid, start_ns: fork.start_ns };
        if let Some(known) = self.get(key) {
            return known;
        }
        let child = Identity {
            key,
            parent_tgid: Some(seen.tgid),
            comm: seen.comm().to_vec(),
            ..Identity::clone(parent)
        };
        let is_past = self.live.get(&key.tgid).is_some_and(|holder| holder.key.start_ns > key.start_ns);
        if key.start_ns == 0 || is_past {
            // Without a start it could not be told from the next holder of the pid; or that one is here already.
            return Arc::new(child);
        }
        self.bury(key.tgid, None);
        self.enter(child)
    }

    /// A process ended. Later events that name it find it among the dead.
    pub(super) fn exit(&mut self, seen: &Seen) -> Arc<Identity> {
        let identity = self.actor(seen);
        let ends = |known: &Arc<Identity>| {
            if seen.start_ns == 0 {
                // Whoever held the pid up to now holds it no more.
                known.key.start_ns <= seen.time_ns
            } else {
                is_one(known.key, seen.key())
            }
        };
        if self.live.get(&seen.tgid).is_some_and(ends) {
            self.bury(seen.tgid, Some(seen.time_ns));
        }
        identity
    }
}
