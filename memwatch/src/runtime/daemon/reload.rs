//! Another configuration for a daemon that runs.

use std::path::Path;

use super::setup::{self, actuator, is_empty, knobs, load, modified, pressure};
use super::sweeps::Sweeps;
use super::{Daemon, rules};
use crate::config::Configuration;
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
            let Configuration { policy: settings, exports, metrics } = configuration;
            anyhow::ensure!(
                !is_empty(&config),
                "the file is empty, which would mean the whole host; write at least the mode"
            );
            if let Some(trees) = &self.trees {
                trees.name(&settings, &mut self.probe, self.intake.ledger());
            }
            Ok((actuator(&settings, self.trees.clone())?, settings, exports, metrics))
        });
        let (actuator, settings, exports, metrics) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!("the policy stays as it was: {error:#}");
                // Files that were moved away are let go of all the same.
                self.exporters.reopen();
                return;
            }
        };
        let rules = rules::rules(&settings);
        if let Err(error) =
            self.probe.set_rules(&rules).and_then(|()| self.probe.set_knobs(&knobs(&settings, &rules)))
        {
            tracing::error!("the policy stays as it was: {error}");
            return;
        }
        if let Err(error) = self.exporters.change(setup::routes(exports, self.start.form)) {
            tracing::error!("exporters stay as they were: cannot start the threads of new ones: {error}");
        }
        if let Err(error) = self.metrics.change(metrics) {
            tracing::error!("metrics stay where they were: {error:#}");
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
}
