//! JSON lines: one flat object a line, for programs. docs/events.md describes every key.
//!
//! What is not known is left out, never 0. Losses are lines of their own.

mod body;
mod exposure;
mod finding;
mod line;
mod naming;
mod origin;
mod process;

use memwatch_ebpf::abi::event::Kind;

use super::clock::Clock;
use super::schema::{Name, fields};
use super::subject::Subject;
use super::{Exporter, Loss, Summary};
use crate::core::detect::fd_table::Finding;
use crate::core::fact::Fact;
use crate::enrich::cri::Containers;
use line::Line;
pub use naming::add as add_naming;

/// The exporter.
#[derive(Clone, Debug)]
pub struct Json {
    clock: Clock,
    containers: Containers,
}

impl Json {
    /// An exporter that states moments by this host's clocks as they stand now.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::of_this_host())
    }

    /// An exporter that states moments by `clock`.
    #[must_use]
    pub const fn with_clock(clock: Clock) -> Self {
        Self { clock, containers: Containers::none() }
    }

    /// The same with the names of containers from here.
    #[must_use]
    pub fn with_containers(self, containers: Containers) -> Self {
        Self { containers, ..self }
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::new()
    }
}

impl Exporter for Json {
    fn fact(&mut self, fact: &Fact, out: &mut Vec<u8>) {
        let kind = fact.event.body.kind();
        if kind == Kind::FdTable {
            return;
        }
        let mut line = Line::begin(Name::Of(kind), fact.event.header.time_ns, self.clock, out);
        let subject = Subject::of(fact);
        process::write(&mut line, &subject, &self.containers);
        process::write_thread(&mut line, &subject);
        body::write(&mut line, fact);
        line.end();
    }

    fn finding(&mut self, finding: &Finding, out: &mut Vec<u8>) {
        let mut line = Line::begin(Name::Of(Kind::FdTable), finding.time_ns, self.clock, out);
        process::write_identity(&mut line, &finding.process, &self.containers);
        finding::write(&mut line, finding);
        line.end();
    }

    fn lost(&mut self, loss: &Loss, out: &mut Vec<u8>) {
        let mut line = Line::begin(Name::Lost, loss.time_ns, self.clock, out);
        line.word(&fields::LOST_KIND, loss.kind);
        line.number(&fields::LOST_COUNT, loss.count);
        line.number(&fields::LOST_TOTAL, loss.total);
        line.end();
    }

    /// Nothing: what a summary says is in the stream already, line by line.
    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests;
