//! Measures what memwatch costs and how fast it is, beside the goals, and writes the figures to docs/journal.
//!
//! Whatever is compared is alternated in short blocks, so that the noise of a shared machine meets both sides. Nothing
//! here is a test: a figure that misses its goal is written as missed, and the task succeeds.

mod audit;
mod bpftrace;
mod daemon;
mod decision;
mod footprint;
mod journal;
mod kills;
mod latency;
mod limit;
mod load;
mod others;
mod overhead;
mod overshoot;
mod queue;
mod rest;
mod scan;
mod statistics;
mod throughput;
mod tracer;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, builder::PossibleValuesParser, value_parser};

use self::{journal::Table, load::Load};
use crate::{Task, build, report, workspace};

/// What a section measures with.
struct Bench {
    memwatch: PathBuf,
    load: PathBuf,
    rounds: usize,
}

/// A group of figures: its name on the command line, and how it is measured.
type Section = (&'static str, fn(&Bench) -> Result<Table>);

/// Every section, in the order of the journal.
const SECTIONS: [Section; 12] = [
    ("overhead", overhead::measure),
    ("latency", latency::measure),
    ("throughput", throughput::measure),
    ("footprint", footprint::measure),
    ("audit", audit::measure),
    ("scan", scan::measure),
    ("limit", limit::measure),
    ("decision", decision::measure),
    ("rest", rest::measure),
    ("overshoot", overshoot::measure),
    ("queue", queue::measure),
    ("kills", kills::measure),
];

pub(crate) const TASK: Task = Task {
    name: "bench",
    about: "Measure cost, latency, throughput, footprint and decisions beside their goals, into docs/journal (as root)",
    arguments: |command| {
        command
            .arg(
                Arg::new("only")
                    .long("only")
                    .value_name("NAME")
                    .value_parser(PossibleValuesParser::new(SECTIONS.map(|(name, _)| name)))
                    .help("Only these figures; written to a journal only where --journal names one"),
            )
            .arg(
                Arg::new("rounds")
                    .long("rounds")
                    .value_name("N")
                    .value_parser(value_parser!(u16).range(3..))
                    .default_value("15")
                    .help("Rounds of alternation, of starts and the like"),
            )
            .arg(
                Arg::new("journal")
                    .long("journal")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Where the figures go; the default is docs/journal/DATE-bench.md"),
            )
            .arg(
                Arg::new("date")
                    .long("date")
                    .value_name("YYYY-MM-DD")
                    .help("Date in the journal; the default is today"),
            )
    },
    run: |matches| {
        let only = matches.get_one::<String>("only");
        let journal = matches.get_one::<PathBuf>("journal").cloned();
        let rounds = usize::from(matches.get_one::<u16>("rounds").copied().unwrap_or(15));
        let date = matches.get_one::<String>("date").cloned().map_or_else(journal::today, Ok)?;
        let memwatch = build::release()?;
        let bench =
            Bench { memwatch, load: build::static_program("memwatch-tests", "memwatch-load")?, rounds };
        let mut tables = Vec::new();
        for (name, measure) in SECTIONS.iter().filter(|(name, _)| only.is_none_or(|only| only == name)) {
            report::step(&format!("bench: {name}"));
            let table = measure(&bench)?;
            report::line(&table.to_markdown());
            tables.push(table);
        }
        let path = match (journal, only) {
            (Some(path), _) => path,
            (None, None) => workspace::root().join(format!("docs/journal/{date}-bench.md")),
            (None, Some(_)) => return Ok(()),
        };
        journal::write(&path, &date, &tables)?;
        tables.iter().try_for_each(|table| journal::publish(table, &date))
    },
};

impl Bench {
    /// Starts the load; it waits for commands.
    fn load(&self) -> Result<Load> {
        Load::start(&self.load)
    }
}
