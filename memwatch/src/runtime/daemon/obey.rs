//! Commands of the engine carried out.

use std::time::Duration;

use memwatch_ebpf::abi::knobs::{MARK_INHERITED, MARKS_RULED, RssLimit};

use super::{Daemon, rules};
use crate::act::HookCall;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Command, Input, Outcome};

/// Whether a command does something to a process.
pub(super) const fn acts(command: &Command) -> bool {
    matches!(
        command,
        Command::Send { .. } | Command::Tell { .. } | Command::KillCgroup { .. } | Command::StopUnit { .. }
    )
}

impl Daemon {
    /// Carries one command out; gives the answer to it.
    pub(super) fn obey(&mut self, now_ns: u64, command: Command) -> Option<Input> {
        match command {
            Command::Measure(key) => {
                if !self.survey.ask(key) {
                    tracing::debug!("no room to note that process {} is to be looked at", key.tgid);
                }
                None
            }
            Command::Audit(number) => {
                let cgroup = self.engine.cgroup(number)?.to_owned();
                if !self.holdings.ask(cgroup) {
                    tracing::debug!("no room to note that a cgroup is to be audited");
                }
                None
            }
            Command::Send { decision, key, signal } => {
                Some(Input::Outcome { decision, outcome: self.actuator.send(key, signal) })
            }
            Command::Tell { decision, key, order } => {
                Some(Input::Outcome { decision, outcome: self.actuator.tell(key, order) })
            }
            Command::KillCgroup { decision, key } => {
                Some(Input::Outcome { decision, outcome: self.actuator.kill_cgroup(key) })
            }
            Command::StopUnit { decision, key } => {
                Some(Input::Outcome { decision, outcome: self.actuator.stop_unit(key) })
            }
            Command::RunHook { decision, key, pool, before } => {
                let outcome = self.run_hook(decision, key, pool, before)?;
                Some(Input::Outcome { decision, outcome })
            }
            Command::Limit(limit) => {
                let bound = RssLimit {
                    start_ns: limit.key.start_ns,
                    bytes: limit.bytes,
                    signal: limit.signal.0.unsigned_abs(),
                    rule: limit.rule,
                };
                if let Err(error) = self.probe.limit_rss(limit.key.tgid, bound) {
                    tracing::warn!("process {} has no limit in the kernel: {error}", limit.key.tgid);
                }
                None
            }
            Command::Unlimit(key) => {
                if let Err(error) = self.probe.unlimit_rss(key.tgid) {
                    tracing::warn!("process {} keeps a limit in the kernel: {error}", key.tgid);
                }
                None
            }
            Command::Unrule(key) => {
                if let Err(error) = self.probe.take_marks(key.tgid, MARKS_RULED) {
                    tracing::warn!("process {} stays marked for a rule: {error}", key.tgid);
                }
                None
            }
            Command::Rule { key, rule } => {
                if let Some(mark) = rules::mark_of(&self.rules, rule)
                    && let Err(error) = self.probe.mark(key.tgid, mark | MARK_INHERITED)
                {
                    tracing::warn!("process {} is not marked for its rule: {error}", key.tgid);
                }
                None
            }
            Command::LookWithin(within_ns) => {
                self.look_ns = self.look_ns.min(now_ns.saturating_add(within_ns));
                None
            }
            Command::Decided(_) | Command::Closed(_) | Command::Warn(_) => None,
        }
    }

    /// Has a hook run; gives how it ended when it could not be begun.
    fn run_hook(&self, decision: u64, key: ProcessKey, pool: Option<usize>, before: bool) -> Option<Outcome> {
        let settings = self.engine.settings();
        let pool = pool.map_or(settings.found_pools.as_ref(), |pool| settings.pools.get(pool))?;
        let hooks = &pool.hooks;
        self.hooks.run(HookCall {
            command: if before { &hooks.before } else { &hooks.after }.clone(),
            decision,
            key,
            pool: Some(pool.name.clone()),
            before,
            deadline: Duration::from_nanos(hooks.deadline_ns),
        })
    }
}
