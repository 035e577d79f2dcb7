//! What metrics show: counted here as the loop goes, and put together when they are asked for.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::Context;
use memwatch_ebpf::abi::fault::FaultCode;

use super::scrape::{Question, Scrapes};
use crate::core::policy::{Engine, Holding};
use crate::export::account::Account;
use crate::export::metrics::{Counters, Listen, Program, State};
use crate::probe::attach::Probe;
use crate::sys::boot_ns;

/// Cgroups that are remembered: more than are ever read in the time that all readings may take.
const HOLDINGS: usize = 16_384;

/// Counters, and who asks for them.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) counters: Counters,
    listen: Option<Listen>,
    /// `None`: nobody can ask.
    scrapes: Option<Scrapes>,
    holdings: HashMap<String, Holding>,
}

impl Metrics {
    /// Begins to count, and to listen where that is asked for.
    pub(super) fn start(listen: Option<Listen>) -> anyhow::Result<Self> {
        let counters = Counters::new(bound(listen)).context("cannot make the metrics")?;
        let mut metrics = Self { counters, listen: None, scrapes: None, holdings: HashMap::new() };
        metrics.change(listen)?;
        Ok(metrics)
    }

    /// Listens elsewhere, or not at all; where that cannot be, all stays as it is.
    pub(super) fn change(&mut self, listen: Option<Listen>) -> anyhow::Result<()> {
        let address = |listen: Option<Listen>| listen.map(|listen| listen.address);
        if address(listen) != address(self.listen) {
            let open = |address: SocketAddr| {
                Scrapes::open(address, self.counters.registry()).with_context(|| {
                    format!(
                        "cannot listen at {address} for metrics; name another address, or let the service have this one \
                         (network.conf, docs/security.md)"
                    )
                })
            };
            self.scrapes = address(listen).map(open).transpose()?;
        }
        self.counters.set_max_cgroups(bound(listen));
        self.listen = listen;
        Ok(())
    }

    /// The next question for metrics. Safe to give up waiting for.
    pub(super) async fn asked(&mut self) -> Question {
        Scrapes::asked(&mut self.scrapes).await
    }

    /// What a cgroup truly holds was read; `None`: it is gone, or cannot be read.
    pub(super) fn found(&mut self, cgroup: &str, holding: Option<Holding>) {
        match holding {
            None => drop(self.holdings.remove(cgroup)),
            Some(holding) if self.holdings.len() < HOLDINGS || self.holdings.contains_key(cgroup) => {
                self.holdings.insert(cgroup.to_owned(), holding);
            }
            Some(_) => {}
        }
    }

    /// How things stand now.
    pub(super) fn state<'a>(
        &self,
        engine: &Engine,
        probe: &mut Probe,
        exporters: impl Iterator<Item = (&'a str, Account)>,
    ) -> State {
        let faults = probe.faults().unwrap_or_default();
        let losses = FaultCode::ALL.iter().zip(faults).map(|(code, count)| (code.name(), count));
        let program = |(name, runs, run_ns)| Program { name, runs, run_ns };
        State {
            gauges: engine.gauges(boot_ns()),
            holdings: self.holdings.iter().map(|(cgroup, holding)| (cgroup.clone(), *holding)).collect(),
            max_cgroups: bound(self.listen),
            losses: losses.collect(),
            programs: probe.run_times().map(program).collect(),
            exporters: exporters.map(|(name, account)| (name.to_owned(), account)).collect(),
        }
    }
}

fn bound(listen: Option<Listen>) -> usize {
    listen.map_or(0, |listen| listen.max_cgroups)
}
