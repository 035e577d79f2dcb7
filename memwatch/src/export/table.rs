//! Aligned lines for a person at a terminal: time, process, event, and the details in words.
//!
//! Names of processes and files are escaped before they are shown, so that none can steer the terminal.

mod details;
mod finding;
mod layout;

use memwatch_ebpf::abi::event::Kind;

use super::clock::Clock;
use super::schema::Name;
use super::subject::Subject;
use super::{Exporter, Loss, Summary, summary};
use crate::core::detect::fd_table::Finding;
use crate::core::fact::Fact;
pub(super) use finding::push_headline;
use layout::{Layout, Paint};

/// The exporter.
#[derive(Debug)]
pub struct Table {
    clock: Clock,
    layout: Layout,
    /// Text of the last column, kept for its memory.
    details: Vec<u8>,
    titled: bool,
}

impl Table {
    /// A table of `width` columns, in colour if told so, by this host's clocks as they stand now.
    #[must_use]
    pub fn new(width: usize, coloured: bool) -> Self {
        Self::with_clock(Clock::of_this_host(), width, coloured)
    }

    /// The same by another clock.
    #[must_use]
    pub const fn with_clock(clock: Clock, width: usize, coloured: bool) -> Self {
        Self { clock, layout: Layout::new(width, coloured), details: Vec::new(), titled: false }
    }

    /// Writes one line; the details are in `self.details`.
    fn line(&mut self, name: Name, time_ns: u64, process: Option<(u32, &[u8])>, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.titled, true) {
            self.layout.titles(out);
        }
        self.clock.push_time_of_day(time_ns, out);
        self.layout.process(process, out);
        self.layout.event(name, paint(name), out);
        self.layout.details(&self.details, out);
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
        details::push(fact, &mut self.details);
        let process = Some((subject.key.tgid, subject.comm()));
        self.line(Name::Of(kind), fact.event.header.time_ns, process, out);
    }

    fn finding(&mut self, finding: &Finding, out: &mut Vec<u8>) {
        self.details.clear();
        push_headline(finding, &mut self.details);
        let process = Some((finding.process.key.tgid, finding.process.comm.as_slice()));
        self.line(Name::Of(Kind::FdTable), finding.time_ns, process, out);
        finding::push_block(finding, &self.layout, out);
    }

    fn lost(&mut self, loss: &Loss, out: &mut Vec<u8>) {
        self.details.clear();
        details::push_loss(loss, &mut self.details);
        self.line(Name::Lost, loss.time_ns, None, out);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        summary::push(summary, out);
    }
}

/// What the eye should find first.
fn paint(name: Name) -> Paint {
    match name {
        Name::Of(Kind::FdTable | Kind::OomKill) => Paint::Alarm,
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
