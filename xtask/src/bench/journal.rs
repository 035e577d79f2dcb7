//! The figures as Markdown: tables on the terminal, an entry in docs/journal.

use std::{fs, path::Path, process::Command, thread};

use anyhow::{Context as _, Result};

use super::tracer::LANE;
use crate::{process, report, workspace};

/// One section of an entry.
pub(super) struct Table {
    title: String,
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// A page of its own and what stands above it there.
    page: Option<(&'static str, &'static str)>,
}

impl Table {
    /// An empty table; the note says how it was measured.
    pub(super) fn new(title: &str, note: &str, head: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
            page: None,
        }
    }

    /// The table, with a page of its own below these words whenever it is written to a journal.
    pub(super) fn published(self, path: &'static str, words: &'static str) -> Self {
        Self { page: Some((path, words)), ..self }
    }

    /// Adds a row; cells at its end may be missing.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Title, note and table.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!("## {}\n{}\n\n", self.title, self.note);
        push_row(&mut text, &self.head);
        push_row(&mut text, &vec!["---".to_owned(); self.head.len()]);
        for row in &self.rows {
            push_row(&mut text, row);
        }
        text
    }
}

fn push_row(text: &mut String, cells: &[String]) {
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
}

/// Today's date.
///
/// # Errors
/// There is no `date`.
pub(super) fn today() -> Result<String> {
    Ok(process::output(Command::new("date").arg("+%F"))?.trim().to_owned())
}

/// Writes the entry in place of one of the same name.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(path: &Path, date: &str, tables: &[Table]) -> Result<()> {
    let sections: Vec<_> = tables.iter().map(Table::to_markdown).collect();
    let load = read("/proc/loadavg");
    let text = format!(
        "# {date}: cargo xtask bench\n\n{}; load average at the end {load}. Lane where one is set: {LANE}.\n\n{}",
        machine(),
        sections.join("\n")
    );
    write_text(path, &text)
}

/// Writes the page of a table that has one.
///
/// # Errors
/// The file cannot be written.
pub(super) fn publish(table: &Table, date: &str) -> Result<()> {
    let Some((path, words)) = table.page else { return Ok(()) };
    let text = format!(
        "{words}<!-- Written by `cargo xtask bench`. -->\n\nMeasured on {date}. {}.\n\n{}",
        machine(),
        table.to_markdown()
    );
    write_text(&workspace::root().join(path), &text)
}

/// Kernel and processors.
fn machine() -> String {
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    format!("Kernel {kernel}; {cpus} CPUs, {}", model.trim_start_matches([' ', '\t', ':']))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    report::step(&format!("written to {}", path.display()));
    Ok(())
}

/// A small file of /proc; empty when it cannot be read, as it only adorns the entry.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Cost", "How.", &["what", "ns"]);
        table.row(vec!["getpid".into(), "80".into()]);
        assert_eq!(table.to_markdown(), "## Cost\nHow.\n\n| what | ns |\n| --- | --- |\n| getpid | 80 |\n");
    }
}
