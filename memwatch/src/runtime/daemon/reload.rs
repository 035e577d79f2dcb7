//! Another configuration for a daemon that runs.

use std::path::Path;

use memwatch_ebpf::abi::knobs::{MARKS_RULED, Rule};

use super::setup::{self, actuator, floor, is_empty, knobs, load, modified, pressure};
use super::sweeps::Sweeps;
use super::{Daemon, rules};
use crate::config::Configuration;
use crate::core::policy::Settings;
use crate::probe::attach::ProbeError;
use crate::sys::boot_ns;

impl Daemon {
    /// Reads the configuration again; one with faults changes nothing.
    pub(super) fn reload(&mut self) {
        self.notifier.reloading();
        self.take_in();
        self.notifier.ready();
    }

    fn take_in(&mut self) {
        let Some(config) = self.start.config().map(Path::to_owned) else { return };
        self.modified = modified(&config);
        let loaded = load(&config).and_then(|configuration| {
            let Configuration { policy: settings, exports, metrics, containers } = configuration;
            anyhow::ensure!(
                !is_empty(&config),
                "the file is empty, which would mean the whole host; write at least the mode"
            );
            if let Some(trees) = &self.trees {
                trees.name(&settings, &mut self.probe, self.intake.ledger());
            }
            Ok((actuator(&settings, self.trees.clone())?, settings, exports, metrics, containers))
        });
        let (actuator, settings, exports, metrics, containers) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!("the policy stays as it was: {error:#}");
                // Files that were moved away are let go of all the same.
                self.exporters.reopen();
                return;
            }
        };
        let rules = rules::rules(&settings);
        if let Err(error) = self.instruct(&settings, &rules) {
            tracing::error!(
                "the policy stays as it was, but the kernel side does nothing of it by itself: {error}"
            );
            return;
        }
        self.watch_limits(&settings);
        setup::warn_of_refusals(&settings, &self.probe.hooks);
        self.intake.change_floor(floor(&settings));
        if let Err(error) = self.exporters.change(setup::routes(exports, self.start.form)) {
            tracing::error!("exporters stay as they were: cannot start the threads of new ones: {error}");
        }
        if let Err(error) = self.metrics.change(metrics) {
            tracing::error!("metrics stay where they were: {error:#}");
        }
        if let Err(error) = self.names.change(containers) {
            tracing::error!(
                "container runtimes are asked as before: cannot start the thread for others: {error}"
            );
        }
        self.decisions = self.decisions.with_arguments(self.exporters.wants_arguments());
        (self.actuator, self.rules, self.pressure) = (actuator, rules, pressure(&settings));
        // Others may be followed from now on.
        self.sweeps = Sweeps::default();
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.clear();
        self.engine.change(settings, &mut outbox);
        let mut waiting = Vec::new();
        self.obey_all(boot_ns(), &outbox, &mut waiting);
        self.outbox = outbox;
        for input in waiting {
            self.feed(input);
        }
        tracing::info!("policy of {} in force", config.display());
    }

    /// Growth is seen as it happens only while somebody has a limit: to see it costs every page fault of the host.
    fn watch_limits(&mut self, settings: &Settings) {
        if let Err(reason) = self.probe.watch_rss(!settings.process_limits.is_empty()) {
            tracing::warn!("limits of processes are looked after at samples only: {reason}");
        }
    }

    /// Has the kernel side forget what it was to do to whom, and gives it the rules that it is told to follow from now on.
    fn instruct(&mut self, settings: &Settings, rules: &[Rule]) -> Result<(), ProbeError> {
        // No rule holds while the marks of the old ones are taken away: a new one may have the mark of an old one.
        self.probe.set_knobs(&knobs(settings, &[]))?;
        self.probe.take_all_marks(MARKS_RULED)?;
        self.probe.unlimit_all()?;
        self.probe.set_rules(rules)?;
        self.probe.set_knobs(&knobs(settings, rules))
    }
}
