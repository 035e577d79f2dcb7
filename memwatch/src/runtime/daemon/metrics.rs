//! What metrics show: counted here as the loop goes, and put together when they are asked for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::Context;
use memwatch_ebpf::abi::fault::FaultCode;
use tokio::sync::mpsc;

use super::push::{self, Pushes};
use super::scrape::{Question, Scrapes};
use crate::core::policy::{Engine, Holding};
use crate::export::account::Account;
use crate::export::metrics::{Counters, Offer, Program, Push, State};
use crate::probe::attach::Probe;
use crate::sys::boot_ns;

/// Cgroups that are remembered: more than are ever read in the time that all readings may take.
const HOLDINGS: usize = 16_384;

/// Counters, and who gets them.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) counters: Counters,
    /// When counting began.
    since: SystemTime,
    offer: Offer,
    /// Where other threads ask how things stand, and the loop's end of that.
    asked: mpsc::Sender<Question>,
    questions: mpsc::Receiver<Question>,
    /// `None`: nobody can ask from outside.
    scrapes: Option<Scrapes>,
    /// `None`: they are sent to nobody.
    pushes: Option<Pushes>,
    holdings: HashMap<String, Holding>,
}

impl Metrics {
    /// Begins to count, and to listen and to send where that is asked for.
    pub(super) fn start(offer: Offer) -> anyhow::Result<Self> {
        let counters = Counters::new(offer.max_cgroups).context("cannot make the metrics")?;
        let (asked, questions) = mpsc::channel(1);
        let mut metrics = Self {
            counters,
            since: SystemTime::now(),
            offer: Offer::default(),
            asked,
            questions,
            scrapes: None,
            pushes: None,
            holdings: HashMap::new(),
        };
        metrics.change(offer)?;
        Ok(metrics)
    }

    /// Offers them otherwise; where that cannot be, all stays as it is.
    pub(super) fn change(&mut self, offer: Offer) -> anyhow::Result<()> {
        let scrapes = (offer.listen != self.offer.listen)
            .then(|| offer.listen.map(|address| self.listen(address)).transpose())
            .transpose()?;
        let pushes = (offer.push != self.offer.push)
            .then(|| offer.push.as_ref().map(|push| self.push(push)).transpose())
            .transpose()?;
        if let Some(scrapes) = scrapes {
            self.scrapes = scrapes;
        }
        if let Some(pushes) = pushes {
            self.pushes = pushes;
        }
        self.counters.set_max_cgroups(offer.max_cgroups);
        self.offer = offer;
        Ok(())
    }

    fn listen(&self, address: SocketAddr) -> anyhow::Result<Scrapes> {
        Scrapes::open(address, self.asked.clone(), self.counters.registry()).with_context(|| {
            format!(
                "cannot listen at {address} for metrics; name another address, or let the service have this one \
                 (network.conf, docs/security.md)"
            )
        })
    }

    fn push(&self, push: &Push) -> anyhow::Result<Pushes> {
        let figures = push::Figures {
            asked: self.asked.clone(),
            counters: self.counters.registry(),
            points: self.counters.pushed(),
            since: self.since,
        };
        Pushes::start(push, figures).context("cannot start the thread that sends metrics")
    }

    /// The next question for metrics. Safe to give up waiting for.
    pub(super) async fn asked(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
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
        names: impl Iterator<Item = (&'static str, u64)>,
    ) -> State {
        let faults = probe.faults().unwrap_or_default();
        let losses = FaultCode::ALL.iter().zip(faults).map(|(code, count)| (code.name(), count));
        let program = |(name, runs, run_ns)| Program { name, runs, run_ns };
        State {
            gauges: engine.gauges(boot_ns()),
            holdings: self.holdings.iter().map(|(cgroup, holding)| (cgroup.clone(), *holding)).collect(),
            max_cgroups: self.offer.max_cgroups,
            losses: losses.chain(names).collect(),
            programs: probe.run_times().map(program).collect(),
            exporters: exporters.map(|(name, account)| (name.to_owned(), account)).collect(),
        }
    }
}
