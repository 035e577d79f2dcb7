//! What the daemon is made of: from settings to knobs, triggers and actuators.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use memwatch_ebpf::abi::knobs::{Knobs, MARKS_RULED, Rule};

use super::desk::Desk;
use super::socket;
use super::trees::Trees;
use super::{Policy, Socket};
use crate::act::{Actuator, DryRun, Guard, Lineage, PidfdActuator};
use crate::config::{self, Configuration};
use crate::core::detect::fd_table::region_floor;
use crate::core::policy::guard::Own;
use crate::core::policy::{FdTableRule, Mode, Settings, TableAction};
use crate::enrich::cri::Sockets;
use crate::export::metrics::Offer;
use crate::export::route::{Destination, Form, Route};
use crate::measure::PressureTrigger;
use crate::probe::REFUSE;
use crate::probe::attach::HookStatus;

/// Kinds that the policy needs, and floors of the detector.
pub(super) fn knobs(settings: &Settings, rules: &[Rule]) -> Knobs {
    use memwatch_ebpf::abi::event::Kind;
    let kinds = [
        Kind::Fork,
        Kind::Exec,
        Kind::Exit,
        Kind::FdTable,
        Kind::CloseSweep,
        Kind::Rss,
        Kind::Action,
        Kind::RlimitRead,
        Kind::RlimitSet,
    ];
    Knobs {
        kinds: kinds.iter().fold(0, |bits, kind| bits | kind.bit()),
        min_bytes: u64::MAX,
        min_table: region_floor(floor(settings)),
        self_tgid: std::process::id(),
        rules: u32::try_from(rules.len()).unwrap_or(0),
        lost_at_exec: MARKS_RULED,
        ..Knobs::default()
    }
}

/// Bytes of the smallest tables that a rule is about.
pub(super) fn floor(settings: &Settings) -> u64 {
    settings.fd_tables.iter().map(|rule| rule.min_bytes).min().unwrap_or(u64::MAX)
}

/// Says when a rule is to refuse and nothing of the kernel side does: its hook is attached at the start, and where the kernel takes it.
pub(super) fn warn_of_refusals(settings: &Settings, hooks: &[HookStatus]) {
    let is_asked = |rule: &FdTableRule| rule.action == TableAction::Refuse;
    let is_there = |status: &HookStatus| status.hook.name == REFUSE.name && status.attached.is_some();
    if settings.mode == Mode::Enforce
        && settings.fd_tables.iter().any(is_asked)
        && !hooks.iter().any(is_there)
    {
        tracing::warn!(
            "fd tables are not refused: the hook for that is not attached; where it came with a reload restart the daemon, \
             elsewhere `memwatch doctor` says why, and action = \"signal-mapped\" needs no such hook"
        );
    }
}

/// Tells of pressure sooner than a look would; a host without it is looked at.
pub(super) fn pressure(settings: &Settings) -> Option<PressureTrigger> {
    let share = settings.pressure?.full;
    PressureTrigger::set(Path::new("/proc/pressure/memory"), share)
        .inspect_err(|error| tracing::warn!("pressure is seen at looks only: {error}"))
        .ok()
}

pub(super) fn actuator(settings: &Settings, trees: Option<Arc<Trees>>) -> anyhow::Result<Box<dyn Actuator>> {
    let reaches = settings.scopes.iter().map(|scope| &scope.reach);
    let lineage = trees.map(|trees| trees as Arc<dyn Lineage>);
    let guard = Guard::with_lineage(reaches, lineage).context("cannot open /proc")?;
    let guard = guard.protecting(&settings.protect);
    Ok(match settings.mode {
        Mode::Observe => Box::new(DryRun::new(guard)),
        Mode::Enforce => Box::new(PidfdActuator::new(guard).context("cannot start the actuator")?),
    })
}

/// Where questions are taken. Not to have the usual place is no reason not to start; not to have the one that was asked for is.
pub(super) fn desk(socket: &Socket) -> anyhow::Result<Option<Desk>> {
    match socket {
        Socket::None => Ok(None),
        Socket::At(path) => Ok(Some(Desk::open(path)?)),
        Socket::Usual => Ok(Desk::open(Path::new(socket::DEFAULT))
            .inspect_err(|error| tracing::warn!("`memwatch explain` cannot ask this daemon: {error}"))
            .ok()),
    }
}

/// memwatch itself, and those above it.
pub(super) fn own() -> Own {
    let mut ancestors = Vec::new();
    let mut next = std::os::unix::process::parent_id();
    while next > 1 && !ancestors.contains(&next) {
        ancestors.push(next);
        let status = std::fs::read_to_string(format!("/proc/{next}/status")).unwrap_or_default();
        next = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
    }
    Own { tgid: std::process::id(), ancestors }
}

/// The configuration to begin with.
pub(super) fn configuration(policy: &Policy) -> anyhow::Result<Configuration> {
    match policy {
        Policy::File(path) => load(path),
        Policy::Fixed(settings) => Ok(Configuration {
            policy: Settings::clone(settings),
            exports: Vec::new(),
            metrics: Offer::default(),
            // Nobody is told a name.
            containers: Sockets::At(Vec::new()),
        }),
    }
}

/// Who is told: those of the configuration, or standard output; nobody where there is no form for it.
pub(super) fn routes(exports: Vec<Route>, form: Option<Form>) -> Vec<Route> {
    let Some(form) = form else { return Vec::new() };
    let usual = || Route::new("stdout".to_owned(), Destination::StandardOutput(None));
    let routes = if exports.is_empty() { vec![usual()] } else { exports };
    routes.into_iter().map(|route| route.or_form(form)).collect()
}

/// Reads the configuration; a pipe or a device might keep the loop waiting.
pub(super) fn load(path: &Path) -> anyhow::Result<Configuration> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(metadata.is_file(), "{} is not a regular file; name the configuration", path.display());
    Ok(config::load(path)?)
}

pub(super) fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0)
}

pub(super) fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
