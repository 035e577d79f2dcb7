//! Aligned lines for a person at a terminal: time, process, event, and the details in words.
//!
//! Names of processes and files are escaped before they are shown, so that none can steer the terminal.

mod details;
mod finding;
pub(super) mod layout;

use std::collections::HashMap;

use memwatch_ebpf::abi::event::Kind;

use super::clock::Clock;
use super::schema::Name;
use super::subject::Subject;
use super::{Exporter, Loss, Summary, summary};
use crate::core::detect::fd_table::Finding;
use crate::core::fact::Fact;
use crate::enrich::cri::Containers;
pub(super) use finding::{because, describe, push_headline, shown};
use layout::{Layout, Paint};

/// The exporter.
#[derive(Debug)]
pub struct Table {
    clock: Clock,
    layout: Layout,
    containers: Containers,
    /// Text of the last column, kept for its memory.
    details: Vec<u8>,
    titled: bool,
    /// Signs of findings that were told, by the finding's id: an update tells what is new.
    told: HashMap<u64, Vec<&'static str>>,
}

/// Findings whose signs are remembered. Beyond it all are forgotten, and an update repeats what was said.
const TOLD_MAX: usize = 4096;

impl Table {
    /// A table of `width` columns, in colour if told so, by this host's clocks as they stand now.
    #[must_use]
    pub fn new(width: usize, coloured: bool) -> Self {
        Self::with_clock(Clock::of_this_host(), width, coloured)
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(clock: Clock, width: usize, coloured: bool) -> Self {
        let layout = Layout::new(width, coloured);
        let containers = Containers::none();
        Self { clock, layout, containers, details: Vec::new(), titled: false, told: HashMap::new() }
    }

    /// The same with the names of containers from here.
    #[must_use]
    pub fn with_containers(self, containers: Containers) -> Self {
        Self { containers, ..self }
    }

    /// Writes the columns in front of the details.
    fn lead(&mut self, name: Name, time_ns: u64, process: Option<(u32, &[u8])>, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.titled, true) {
            self.layout.titles(out);
        }
        self.clock.push_time_of_day(time_ns, out);
        self.layout.process(process, out);
        self.layout.event(name, paint(name), out);
    }

    /// Writes one line; the details are in `self.details`.
    fn line(&mut self, name: Name, time_ns: u64, process: Option<(u32, &[u8])>, out: &mut Vec<u8>) {
        self.lead(name, time_ns, process, out);
        match name {
            Name::Of(Kind::Exec) => self.layout.cut_details(&self.details, out),
            Name::Of(_) | Name::Lost | Name::Exposure => self.layout.details(&self.details, out),
        }
    }

    /// Remembers which signs of a finding are told now; those that were told before, when it is an update.
    fn remember(&mut self, finding: &Finding) -> Option<Vec<&'static str>> {
        if finding.last {
            return self.told.remove(&finding.id);
        }
        if self.told.len() >= TOLD_MAX && !self.told.contains_key(&finding.id) {
            self.told.clear();
        }
        self.told.insert(finding.id, finding.reasons.iter().map(|reason| reason.code).collect())
    }
}

impl Exporter for Table {
    fn fact(&mut self, fact: &Fact, out: &mut Vec<u8>) {
        let kind = fact.event.body.kind();
        if kind == Kind::FdTable {
            return;
        }
        let subject = Subject::of(fact);
        self.details.clear();
        details::push(fact, &self.containers, &mut self.details);
        let process = Some((subject.key.tgid, subject.comm()));
        self.line(Name::Of(kind), fact.event.header.time_ns, process, out);
    }

    fn finding(&mut self, finding: &Finding, out: &mut Vec<u8>) {
        self.details.clear();
        push_headline(finding, &mut self.details);
        let process = Some((finding.process.key.tgid, finding.process.comm.as_slice()));
        self.lead(Name::Of(Kind::FdTable), finding.time_ns, process, out);
        self.layout.details(&self.details, out);
        match self.remember(finding) {
            Some(told) => finding::push_news(finding, &told, &self.layout, out),
            None => finding::push_block(finding, &self.containers, &self.layout, out),
        }
    }

    fn lost(&mut self, loss: &Loss, out: &mut Vec<u8>) {
        self.details.clear();
        details::push_loss(loss, &mut self.details);
        self.line(Name::Lost, loss.time_ns, None, out);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        summary::push(summary, self.layout, out);
    }
}

/// What the eye should find first.
fn paint(name: Name) -> Paint {
    match name {
        Name::Of(Kind::FdTable | Kind::OomKill) | Name::Exposure => Paint::Alarm,
        Name::Of(Kind::Action | Kind::Rss | Kind::CloseSweep) | Name::Lost => Paint::Notice,
        Name::Of(
            Kind::Mmap
            | Kind::Munmap
            | Kind::Mremap
            | Kind::Brk
            | Kind::Fault
            | Kind::RlimitRead
            | Kind::RlimitSet
            | Kind::FdTableGrowth
            | Kind::Exec
            | Kind::Fork
            | Kind::Exit,
        ) => Paint::Plain,
    }
}

#[cfg(test)]
mod tests;
