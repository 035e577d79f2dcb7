//! Rules that act in the kernel on the traced command, or on the processes of one cgroup.
//!
//! Goes in: what to do and to whom. Comes out: rules of one scope, which is never the whole host. One that acts before a page
//! is touched names a program: the command, or the one name of a filter.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::ensure;
use memwatch_ebpf::abi::COMM_LEN;
use memwatch_ebpf::abi::event::{ACTION_REFUSE, ACTION_SIGNAL_MAPPED, ACTION_SIGNAL_TOUCHED};
use memwatch_ebpf::abi::knobs::{ELEMENTS_MAX, MARK_RULED, Rule, SCOPE_CGROUP, SCOPE_MARKED};

use crate::cli::values::signal::SignalParser;
use crate::cli::values::{Level, Pattern, parse_bound, parse_size};
use crate::core::detect::fd_table::{Confidence, known_elements};
use crate::core::fact::Hierarchy;
use crate::enrich::cgroup::{Cgroup, CgroupTree};
use crate::enrich::proc::ProcFs;

/// What to do about an fd table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Act {
    /// Signal as soon as it is mapped, before its first page is touched
    SignalMapped,
    /// Signal when more than --act-touched of it is touched
    SignalTouched,
    /// Refuse the mapping with ENOMEM, where the kernel allows it
    Refuse,
}

/// Whom a rule concerns.
#[derive(Debug)]
pub(super) enum Scope {
    /// The command and its descendants.
    Command,
    /// The processes in the cgroup of this id and level, and below it.
    Cgroup { id: u64, level: u32 },
}

/// Arguments that set a rule.
#[derive(Debug, clap::Args)]
#[group(id = "acting")]
#[command(
    next_help_heading = "Acting on fd tables of the command, or of the cgroup (needs -- COMMAND or --cgroup)"
)]
pub(super) struct Args {
    /// What to do about an fd table of the command or its descendants, until tracing and the command have ended; without a
    /// command, of the processes in --cgroup, where signal-mapped and refuse need one name in --comm. Threads of other names
    /// than that one are left alone
    #[arg(long, requires = "acted_on", value_name = "ACT")]
    act: Option<Act>,
    /// Signal to send, by name or number
    #[arg(long, requires = "act", default_value = "SIGKILL", value_parser = SignalParser, hide_possible_values = true, value_name = "SIGNAL")]
    act_signal: u32,
    /// Touched bytes at which signal-touched acts
    #[arg(long, requires = "act", default_value = "64MiB", value_parser = parse_bound, allow_hyphen_values = true, value_name = "SIZE")]
    act_touched: u64,
    /// Smallest single table to act on; the default is --min-table
    #[arg(long, requires = "act", value_parser = parse_size, allow_hyphen_values = true, value_name = "SIZE")]
    act_min: Option<u64>,
    /// How sure the table's length has to make by itself: the rule acts at once, and weighs no other signs
    #[arg(long, requires = "act", default_value = "high", value_name = "LEVEL")]
    act_confidence: Level,
}

/// Programs that a rule is for, by what the arguments say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs<'a> {
    /// The command's first word.
    pub(super) command: Option<&'a OsStr>,
    /// Names of threads.
    pub(super) comm: &'a [Pattern],
    /// Executables.
    pub(super) exe: &'a [Pattern],
}

impl Programs<'_> {
    /// The one name of a thread, when it has no wildcard: who has another one is left alone.
    pub(super) fn comm(&self) -> Option<[u8; COMM_LEN]> {
        let [pattern] = self.comm else { return None };
        let mut comm = [0; COMM_LEN];
        for (to, from) in comm.iter_mut().zip(pattern.exact()?) {
            *to = *from;
        }
        Some(comm)
    }

    /// The elements of their tables, where they are known.
    fn elements(&self) -> [u32; ELEMENTS_MAX] {
        let patterns = self.comm.iter().chain(self.exe).map(|pattern| pattern.text().as_bytes());
        known_elements(self.command.map(OsStrExt::as_bytes).into_iter().chain(patterns))
    }
}

impl Args {
    /// Whether a rule is set.
    pub(super) const fn is_set(&self) -> bool {
        self.act.is_some()
    }

    /// What speaks against a rule without a command, for those of one cgroup.
    pub(super) fn check(&self, programs: Programs<'_>) -> Result<(), &'static str> {
        let strikes = matches!(self.act, Some(Act::SignalMapped | Act::Refuse));
        if strikes && programs.command.is_none() && programs.comm().is_none() {
            return Err(
                "--act signal-mapped and refuse strike before a page is touched, and are for a program that is named: \
                 add --comm NAME, one without wildcards, or take --act signal-touched",
            );
        }
        Ok(())
    }

    /// The rules for the kernel side, for processes in `scope`.
    pub(super) fn rules(&self, min_table: u64, scope: Scope, programs: Programs<'_>) -> Vec<Rule> {
        let Some(act) = self.act else { return Vec::new() };
        let comm = programs.comm();
        let action = match act {
            Act::SignalMapped => ACTION_SIGNAL_MAPPED,
            Act::SignalTouched => ACTION_SIGNAL_TOUCHED,
            Act::Refuse => ACTION_REFUSE,
        };
        let rule = Rule {
            min_table: self.act_min.unwrap_or(min_table),
            touched: self.act_touched,
            action,
            signal: self.act_signal,
            id: 1,
            certainty: Confidence::from(self.act_confidence).certainty() as u32,
            comm_on: comm.is_some().into(),
            comm: comm.unwrap_or_default(),
            elements: programs.elements(),
            ..Rule::default()
        };
        vec![match scope {
            Scope::Command => Rule { scope: SCOPE_MARKED, mark: MARK_RULED, ..rule },
            Scope::Cgroup { id, level } => {
                Rule { scope: SCOPE_CGROUP, cgroup_id: id, cgroup_level: level, ..rule }
            }
        }]
    }

    /// Whom a rule concerns: the command where there is one, else the cgroup of the filter.
    ///
    /// # Errors
    /// The cgroup holds the whole host, memwatch itself or the first process.
    pub(super) fn scope(
        &self,
        has_command: bool,
        cgroup: Option<&Cgroup>,
        tree: &CgroupTree,
    ) -> anyhow::Result<Scope> {
        let Some(cgroup) = cgroup.filter(|_| self.is_set() && !has_command) else {
            return Ok(Scope::Command);
        };
        ensure!(
            cgroup.level > 0,
            "--act with --cgroup would concern the whole host: name the cgroup of one unit or container"
        );
        for (pid, who) in [(std::process::id(), "memwatch itself"), (1, "the first process")] {
            ensure!(
                !cgroups_of(pid, tree, cgroup.hierarchy())?.contains(&cgroup.id),
                "--act with --cgroup would concern {who}, which is in that cgroup: name one unit's or container's"
            );
        }
        Ok(Scope::Cgroup { id: cgroup.id, level: cgroup.level })
    }
}

/// The cgroups of a hierarchy that a process is in, from its own to the root.
fn cgroups_of(pid: u32, tree: &CgroupTree, hierarchy: Hierarchy) -> anyhow::Result<Vec<u64>> {
    let found = ProcFs::open(Path::new("/proc"))?.process(pid)?.cgroups()?;
    let path = if hierarchy == Hierarchy::Memory { found.memory } else { found.unified };
    let path = String::from_utf8_lossy(&path.unwrap_or_default()).into_owned();
    Ok(Path::new(&path).ancestors().filter_map(|path| tree.id(hierarchy, path.to_str()?)).collect())
}
