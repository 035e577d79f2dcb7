//! The part of the filters that the kernel side cannot apply: patterns, what concerns the victim of an OOM kill, and names,
//! users and cgroups where it tells of everybody, as identities and findings follow from that.

use std::collections::HashSet;

use memwatch_ebpf::abi::event::Kind;

use crate::cli::values::Pattern;
use crate::core::fact::{Body, Fact, Hierarchy, Identity};

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
    /// Only this cgroup and those below: its path, and in which hierarchy.
    pub cgroup: Option<(Hierarchy, String)>,
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
        self.admits_actor(fact)
    }

    /// Whether who a fact speaks of passes: the thread by its own name and user, its process by the executable and, where the
    /// kernel side says so, the cgroup it was in. The kernel side leaves these to this where identities follow from a record.
    pub(super) fn admits_actor(&self, fact: &Fact) -> bool {
        if is_outside(&fact.event.body) {
            return false;
        }
        let header = &fact.event.header;
        let name = header.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        // Whichever thread is the last to end, the end is that of the whole process.
        let is_named = self.admits_name(name)
            || (matches!(fact.event.body, Body::Exit(_)) && self.admits_name(&fact.process.comm));
        is_named && self.uid.is_none_or(|wanted| wanted == header.uid) && self.admits_exe(&fact.process)
    }

    fn admits_name(&self, name: &[u8]) -> bool {
        self.comm.is_empty() || self.comm.iter().any(|pattern| pattern.matches(name))
    }

    fn admits_exe(&self, process: &Identity) -> bool {
        self.exe.is_empty()
            || process.exe.as_deref().is_some_and(|exe| {
                let last = exe.rsplit(|byte| *byte == b'/').next().unwrap_or(exe);
                self.exe.iter().any(|pattern| pattern.matches(exe) || pattern.matches(last))
            })
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
        self.admits_cgroup(process.cgroup_hierarchy.zip(process.cgroup_path.as_deref()))
    }

    /// Whether a cgroup is among those that are shown; one whose path is not known is not.
    pub(super) fn admits_cgroup(&self, cgroup: Option<(Hierarchy, &str)>) -> bool {
        let Some((wanted_in, wanted)) = self.cgroup.as_ref().filter(|(_, path)| path != "/") else {
            return true;
        };
        let Some((hierarchy, path)) = cgroup else { return false };
        // A process that is named by another hierarchy's path is in the root of the unified one. Where systemd keeps both,
        // paths in it and in the memory controller's are the same.
        let is_comparable = hierarchy == *wanted_in || *wanted_in == Hierarchy::Memory;
        let below = path.strip_prefix(wanted.as_str()).filter(|_| is_comparable);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether all processes of a cgroup are shown or none.
    pub(super) fn is_by_cgroup(&self) -> bool {
        self.members.is_none() && self.uid.is_none() && self.comm.is_empty() && self.exe.is_empty()
    }

    /// Whether a process is among those that events are shown of.
    pub(super) fn concerns(&self, process: &Identity) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(&process.key.tgid))
            && self.uid.is_none_or(|wanted| process.uid == Some(wanted))
            && self.in_cgroup(process)
            && self.matches(process)
    }

    /// Whether a process passes the patterns, by its first thread's name.
    fn matches(&self, process: &Identity) -> bool {
        self.admits_name(&process.comm) && self.admits_exe(process)
    }
}

/// Whether a record of a process's life was told of one outside the cgroup of the filter.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are told of those in the cgroup only")]
fn is_outside(body: &Body) -> bool {
    match body {
        Body::Exec(exec) => exec.outside != 0,
        Body::Fork(fork) => fork.outside != 0,
        Body::Exit(exit) => exit.outside != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn a_summary_is_of_what_was_asked_for() {
        let process = Identity { cgroup_hierarchy: Some(Hierarchy::Unified), ..samples::identity() };
        let is_shown = |filter: Filter| filter.concerns(&process);
        assert!(is_shown(Filter::default()));
        assert!(is_shown(Filter { uid: Some(1000), ..Filter::default() }));
        assert!(!is_shown(Filter { uid: Some(0), ..Filter::default() }));
        assert!(!is_shown(Filter { members: Some(HashSet::from([1])), ..Filter::default() }));
        for (cgroup, shown) in
            [("/kubepods", true), ("/kubepods/pod1/abc", true), ("/kube", false), ("/", true)]
        {
            assert_eq!(
                is_shown(Filter { cgroup: Some((Hierarchy::Unified, cgroup.into())), ..Filter::default() }),
                shown,
                "{cgroup}"
            );
        }
    }

    #[test]
    fn lives_outside_the_cgroup_are_learned_and_not_shown() {
        let filter = Filter { kinds: u64::MAX, ..Filter::default() };
        for kind in [Kind::Exec, Kind::Fork, Kind::Exit] {
            let mut fact = samples::fact(kind);
            assert!(filter.admits(&fact, kind));
            if let Body::Exec(exec) = &mut fact.event.body {
                exec.outside = 1;
            } else if let Body::Fork(fork) = &mut fact.event.body {
                fork.outside = 1;
            } else if let Body::Exit(exit) = &mut fact.event.body {
                exit.outside = 1;
            }
            assert!(!filter.admits(&fact, kind));
        }
    }

    #[test]
    fn a_path_of_another_hierarchy_is_no_answer() {
        let filter = Filter { cgroup: Some((Hierarchy::Unified, "/kubepods".into())), ..Filter::default() };
        let process = Identity { cgroup_hierarchy: Some(Hierarchy::Memory), ..samples::identity() };
        assert!(!filter.concerns(&process));
        // Where a process stands in both, the unified path is the one that is known of it.
        let filter = Filter { cgroup: Some((Hierarchy::Memory, "/kubepods".into())), ..Filter::default() };
        assert!(filter.concerns(&process));
        assert!(filter.concerns(&Identity { cgroup_hierarchy: Some(Hierarchy::Unified), ..process }));
    }

    #[test]
    fn sums_of_cgroups_answer_for_whole_cgroups_only() {
        assert!(
            Filter { cgroup: Some((Hierarchy::Unified, "/a".into())), ..Filter::default() }.is_by_cgroup()
        );
        assert!(!Filter { uid: Some(0), ..Filter::default() }.is_by_cgroup());
        let below = Filter { cgroup: Some((Hierarchy::Unified, "/a".into())), ..Filter::default() };
        assert!(
            below.admits_cgroup(Some((Hierarchy::Unified, "/a/b")))
                && !below.admits_cgroup(Some((Hierarchy::Unified, "/b")))
                && !below.admits_cgroup(None)
        );
    }
}
