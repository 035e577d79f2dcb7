//! Programs of memwatch processes that run now, with what they cost.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::probe::{HOOKS, REFUSE, Way};

/// A program of a running memwatch, with the kernel's statistics.
#[derive(Debug, Serialize)]
pub(super) struct RunningProgram {
    pub(super) id: u32,
    /// The process that holds it, where /proc tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    pub(super) name: &'static str,
    /// Left out while the kernel does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_count: Option<u64>,
    /// As `run_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_time_ns: Option<u64>,
}

/// Programs with the names of ours that are loaded now. The kernel keeps 15 bytes of a name. A program that never ran
/// while the kernel does not count (`is_counted`) may have run all the same.
pub(super) fn programs(is_counted: bool) -> Vec<RunningProgram> {
    let hooks = HOOKS.iter().chain([&REFUSE]);
    let names: Vec<_> = hooks.flat_map(|hook| hook.ways.iter().map(Way::program)).collect();
    // Without the right to list programs there is nothing to tell; the missing capabilities say so.
    let mut programs: Vec<_> = aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter_map(|info| {
            let name = *names
                .iter()
                .find(|name| name.as_bytes().get(..15).unwrap_or(name.as_bytes()) == info.name())?;
            Some(RunningProgram {
                id: info.id(),
                pid: None,
                name,
                run_count: Some(info.run_count()).filter(|count| is_counted || *count > 0),
                run_time_ns: u64::try_from(info.run_time().as_nanos())
                    .ok()
                    .filter(|_| is_counted || info.run_count() > 0),
            })
        })
        .collect();
    if !programs.is_empty() {
        let holders = holders();
        for program in &mut programs {
            program.pid = holders.get(&program.id).copied();
        }
    }
    programs.sort_by_key(|program| (program.pid, program.id));
    programs
}

/// What the links of descriptors that hold a program read: the program itself, or its attachment.
const HOLDING: [&str; 2] = ["anon_inode:bpf-prog", "anon_inode:bpf_link"];

/// Which process holds a program, by the program's id: the kernel does not tell it any other way.
fn holders() -> HashMap<u32, u32> {
    let mut holders = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for fd in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            if fs::read_link(fd.path())
                .is_ok_and(|target| HOLDING.iter().any(|held| target == Path::new(held)))
            {
                let info = entry.path().join("fdinfo").join(fd.file_name());
                let id = fs::read_to_string(info).ok().as_deref().and_then(program_id);
                holders.extend(id.map(|id| (id, pid)));
            }
        }
    }
    holders
}

/// The line `prog_id:` of a descriptor's fdinfo.
fn program_id(info: &str) -> Option<u32> {
    info.lines().find_map(|line| line.strip_prefix("prog_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_programs_id() {
        assert_eq!(program_id("pos:\t0\nprog_type:\t17\nprog_id:\t4711\n"), Some(4711));
        assert_eq!(program_id("pos:\t0\n"), None);
    }
}
