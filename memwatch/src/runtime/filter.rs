//! The part of the filters that the kernel side cannot apply: patterns, and whatever concerns the victim of an OOM kill.

use std::collections::HashSet;

use memwatch_ebpf::abi::event::Kind;

use crate::cli::values::Pattern;
use crate::core::fact::{Body, Fact, Identity};

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Kinds, as bits of [`Kind::bit`].
    pub kinds: u64,
    /// Names of threads; empty: all.
    pub comm: Vec<Pattern>,
    /// Paths of executables, or their last part; empty: all.
    pub exe: Vec<Pattern>,
    /// Only these processes: the tree or the pids that the kernel side filters by.
    pub members: Option<HashSet<u32>>,
    /// Whether members' children join.
    pub follow: bool,
    /// Only this user.
    pub uid: Option<u32>,
    /// Only this cgroup and those below: its path.
    pub cgroup: Option<String>,
}

impl Filter {
    /// Follows forks and exits, so that victims of OOM kills can be told to be members.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only the life of processes changes membership")]
    pub(super) fn learn(&mut self, fact: &Fact) {
        let Some(members) = &mut self.members else { return };
        match &fact.event.body {
            Body::Fork(fork) if self.follow && members.contains(&fact.event.header.tgid) => {
                members.insert(fork.tgid);
            }
            Body::Exit(_) => {
                members.remove(&fact.event.header.tgid);
            }
            _ => {}
        }
    }

    /// Whether a fact is shown.
    pub(super) fn admits(&self, fact: &Fact, kind: Kind) -> bool {
        if self.kinds & kind.bit() == 0 {
            return false;
        }
        if let Body::OomKill(kill) = &fact.event.body {
            return self.admits_victim(fact, kill.tgid, kill.uid);
        }
        self.matches(&fact.process)
    }

    fn admits_victim(&self, fact: &Fact, tgid: u32, uid: u32) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(&tgid))
            && self.uid.is_none_or(|wanted| wanted == uid)
            && match &fact.other {
                Some(victim) => self.matches(victim) && self.in_cgroup(victim),
                None => self.comm.is_empty() && self.exe.is_empty() && self.cgroup.is_none(),
            }
    }

    fn in_cgroup(&self, process: &Identity) -> bool {
        let Some(wanted) = &self.cgroup else { return true };
        process.cgroup_path.as_deref().is_some_and(|path| {
            path.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Whether a process passes the patterns.
    pub(super) fn matches(&self, process: &Identity) -> bool {
        (self.comm.is_empty() || self.comm.iter().any(|pattern| pattern.matches(&process.comm)))
            && (self.exe.is_empty()
                || process.exe.as_deref().is_some_and(|exe| {
                    let last = exe.rsplit(|byte| *byte == b'/').next().unwrap_or(exe);
                    self.exe.iter().any(|pattern| pattern.matches(exe) || pattern.matches(last))
                }))
    }
}
