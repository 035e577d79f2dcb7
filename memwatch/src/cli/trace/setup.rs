//! From arguments to attached programs, filters in place.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use memwatch_ebpf::abi::event::{ACTION_REFUSE, ACTION_SIGNAL_TOUCHED, Kind};
use memwatch_ebpf::abi::knobs::{Knobs, MARK_INHERITED, MARK_RULED, MARK_SHOWN, Rule};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, Command};

use super::{Args, banner};
use crate::cli::values::Output;
use crate::core::detect::fd_table::{FdTables, region_floor};
use crate::core::quantity::Bytes;
use crate::enrich::ledger::Ledger;
use crate::enrich::proc::ProcFs;
use crate::export::Exporter;
use crate::probe::attach::{Options, Probe};
use crate::runtime::{Filter, Outcome, Pipeline, Stop, mark_tree};

/// Hooks without which a rule would not act.
const ACTING: [&str; 5] = ["fork", "exec", "prlimit64", "mmap", "refuse"];
/// The one that rules by touched bytes need besides.
const TOUCH: &str = "touch";

/// Everything that must stand before the loop runs.
pub(super) struct Setup {
    pub(super) probe: Probe,
    ledger: Option<Ledger>,
    filter: Filter,
    min_table: u64,
    took: Duration,
    has_command: bool,
    watch_touch: bool,
    has_rule: bool,
    /// The limit of locked memory that the command is to have: loading raises this program's own.
    memlock: Rlimit,
}

/// Attaches with the filters already in place, so that nothing unwanted is ever written.
pub(super) fn prepare(args: &Args, kernel_log: bool) -> anyhow::Result<Setup> {
    let started = Instant::now();
    let proc = ProcFs::open(Path::new("/proc")).context("cannot open /proc")?;
    let mut ledger = Ledger::new(proc).context("cannot read the mounts of this host")?;
    let filters = &args.filters;
    let cgroup = filters.cgroup.as_deref().map(|path| ledger.cgroups().resolve(path)).transpose()?;
    let has_command = !args.command.is_empty();
    let members = has_command || filters.tree.is_some() || !filters.pid.is_empty();
    let shown = filters.event.iter().fold(0, |bits, kind| bits | kind.0.bit());
    let shown = if filters.event.is_empty() { u64::MAX } else { shown };
    let scope = args.act.scope(has_command, cgroup.as_ref(), ledger.cgroups())?;
    let programs = args.programs();
    let rules = args.act.rules(filters.min_table, scope, programs);
    let mut knobs = Knobs {
        kinds: shown | needed(shown),
        min_bytes: filters.min_bytes,
        min_table: region_floor(filters.min_table),
        rss_limit: filters.rss_limit.unwrap_or(0),
        marked_only: members.into(),
        uid_on: filters.uid.is_some().into(),
        uid: filters.uid.unwrap_or(0),
        self_tgid: std::process::id(),
        rules: u32::try_from(rules.len())?,
        ..Knobs::default()
    };
    if let Some(cgroup) = &cgroup {
        (knobs.cgroup_id, knobs.cgroup_level) = (cgroup.id, cgroup.level);
    }
    if let Some(comm) = programs.comm() {
        (knobs.comm_on, knobs.comm) = (1, comm);
    }
    let options = Options {
        ways: args.tuning.attach.clone(),
        without: args.tuning.without.clone(),
        ring_bytes: args.tuning.ring_size,
        processes: u32::try_from(args.tuning.max_processes)?,
        sample_hz: args.tuning.sample_hz,
        watch_rss: filters.rss_limit.is_some(),
        // A part of the host may be watched closely from the start; all of it only when something was found.
        watch_touch: members || !rules.is_empty(),
        kernel_log,
        refuse: rules.iter().any(|rule| rule.action == ACTION_REFUSE),
    };
    let watch_touch = options.watch_touch;
    let memlock = getrlimit(Resource::Memlock);
    let mut probe = Probe::load(&options, &knobs)?;
    let by_touch = rules.iter().any(|rule| rule.action == ACTION_SIGNAL_TOUCHED);
    let is_needed = |name| !rules.is_empty() && (ACTING.contains(&name) || (by_touch && name == TOUCH));
    for hook in &probe.hooks {
        ensure!(
            hook.attached.is_some() || !is_needed(hook.hook.name),
            "--act cannot work: hook {} is not attached ({}); `memwatch doctor` tells the remedy",
            hook.hook.name,
            hook.first_reason()
        );
    }
    tell(&probe, &rules, members);
    probe.set_rules(&rules)?;
    ledger.seed().context("cannot list /proc")?;
    let mut marked = Vec::new();
    for (root, marks) in filters
        .pid
        .iter()
        .map(|pid| (*pid, MARK_SHOWN))
        .chain(filters.tree.map(|pid| (pid, MARK_SHOWN | MARK_INHERITED)))
    {
        let tree = mark_tree(&mut probe, &mut ledger, root, marks)?;
        tracing::info!("process {root} is marked, {} in all with its descendants", tree.len());
        marked.extend(tree);
    }
    if !members {
        // The kernel side needs no marks then, and tells of everybody.
        marked.clear();
    }
    let filter = Filter {
        kinds: shown,
        comm: filters.comm.clone(),
        exe: filters.exe.clone(),
        members: members.then(|| marked.into_iter().collect::<HashSet<_>>()),
        follow: has_command || filters.tree.is_some(),
        uid: filters.uid,
        cgroup: cgroup.map(|cgroup| (cgroup.hierarchy(), cgroup.path)),
    };
    Ok(Setup {
        probe,
        ledger: Some(ledger),
        filter,
        min_table: filters.min_table,
        took: started.elapsed(),
        has_command,
        watch_touch,
        has_rule: !rules.is_empty(),
        memlock,
    })
}

/// Logs what stands.
fn tell(probe: &Probe, rules: &[Rule], members: bool) {
    for status in &probe.hooks {
        for refused in &status.refused {
            tracing::debug!(
                "hook {}: {} was refused: {}",
                status.hook.name,
                refused.way.name(),
                refused.reason
            );
        }
        match status.attached {
            Some(way) => tracing::info!(
                "hook {} is attached by {} with {}",
                status.hook.name,
                way.kind().name(),
                way.program()
            ),
            None => tracing::info!("hook {} is not attached: {}", status.hook.name, status.hook.lost),
        }
    }
    for rule in rules {
        tracing::info!(
            "rule {} acts on fd tables of {} or more of the command and its descendants",
            rule.id,
            Bytes(rule.min_table)
        );
    }
    tracing::info!(
        "the kernel side reports {}",
        if members { "marked processes only" } else { "every process that passes the filters" }
    );
}

/// Kinds that must come from the kernel though they are not shown: identities and findings follow from them.
const fn needed(shown: u64) -> u64 {
    let life = Kind::Exec.bit() | Kind::Fork.bit() | Kind::Exit.bit();
    if shown & Kind::FdTable.bit() != 0 { life | Kind::CloseSweep.bit() } else { life }
}

/// The command to trace could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?} ({reason}); {}", self.remedy())]
pub(crate) struct NotStarted {
    program: String,
    reason: io::Error,
}

impl NotStarted {
    /// The exit status that a shell gives: 127 for a command that is not there, 126 for one that cannot be executed.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.reason.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }

    fn remedy(&self) -> &'static str {
        if self.reason.kind() == io::ErrorKind::NotFound {
            "check its name, and the interpreter if it is a script"
        } else {
            "check that it is a program and executable"
        }
    }
}

impl Setup {
    /// Starts the command to trace. It is marked from its fork on, so not one of its instructions is missed.
    pub(super) fn start_command(
        &mut self,
        command: &[OsString],
        stop: &Stop,
    ) -> anyhow::Result<Option<Child>> {
        let Some((program, arguments)) = command.split_first() else { return Ok(None) };
        // Everything is loaded by now.
        setrlimit(Resource::Memlock, self.memlock).context("cannot restore the limit of locked memory")?;
        let mut prepared = Command::new(program);
        prepared.args(arguments);
        stop.leave_as_found(&mut prepared);
        let own = std::process::id();
        self.probe.mark(own, MARK_SHOWN | MARK_INHERITED | MARK_RULED)?;
        let started = prepared.spawn();
        self.probe.unmark(own)?;
        let child = started
            .map_err(|reason| NotStarted { program: program.to_string_lossy().into_owned(), reason })?;
        if let (Some(members), Some(pid)) = (&mut self.filter.members, child.id()) {
            tracing::info!("started {:?} as process {pid}", program.to_string_lossy());
            members.insert(pid);
        }
        Ok(Some(child))
    }

    /// What is said when tracing has begun.
    pub(super) fn banner(&self, form: Output) -> String {
        let ends_with_summary = !self.has_command && form != Output::Json;
        banner::text(&self.probe.hooks, self.took, ends_with_summary)
    }

    /// The stages; to be called once.
    pub(super) fn pipeline(
        &mut self,
        exporter: Option<Box<dyn Exporter>>,
        outcome: Outcome,
    ) -> Option<Pipeline> {
        let ledger = self.ledger.take()?;
        let detector = FdTables::new(self.min_table);
        let mut pipeline = Pipeline::new(ledger, detector, self.filter.clone(), exporter, outcome);
        pipeline.always_watch(self.watch_touch);
        pipeline.has_rule(self.has_rule);
        Some(pipeline)
    }
}
