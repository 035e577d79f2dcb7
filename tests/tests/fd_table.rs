//! The fd-table detector over a corpus of scenarios: raw system calls in, findings out.
//!
//! Every file of `scenarios/fd_table` tells of one host: processes, the limits they learn, the memory they ask for.
//! What the detector says stands beside it as text; `UPDATE=1` writes it anew, for a person to read.

#[path = "fd_table/kernel.rs"]
mod kernel;
#[path = "fd_table/random.rs"]
mod random;
#[path = "fd_table/score.rs"]
mod score;
#[path = "fd_table/story.rs"]
mod story;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use memwatch::core::detect::fd_table::{FdTables, PROCESSES_MAX};
use memwatch::core::fact::Body;

use score::Score;
use story::{Story, tell};

/// The default of `--min-table`.
const FLOOR: u64 = 64 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/fd_table")
}

fn stories() -> Result<Vec<(PathBuf, Story)>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path)?;
            let story = Story::parse(&text).with_context(|| path.display().to_string())?;
            Ok((path, story))
        })
        .collect()
}

/// Compares text with a file, or writes it there under `UPDATE=1`.
fn agree(path: &Path, text: &str) -> Result<()> {
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(path, text).with_context(|| path.display().to_string());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    ensure!(
        expected == text,
        "{} differs from what the detector says; read the difference, then UPDATE=1 writes it:\n{text}",
        path.display()
    );
    Ok(())
}

#[test]
fn scenarios_come_out_as_written() -> Result<()> {
    let stories = stories()?;
    ensure!(stories.len() >= 20, "the corpus has {} scenarios only", stories.len());
    for (path, story) in stories {
        let findings = story.run(story.header.min_table.unwrap_or(FLOOR))?;
        agree(&path.with_extension("txt"), &tell(&story, &findings))?;
    }
    Ok(())
}

#[test]
fn nothing_is_left_of_ended_processes() -> Result<()> {
    for (path, story) in stories()? {
        let mut detector = FdTables::new(0);
        let mut findings = Vec::new();
        for fact in story.facts(0)? {
            detector.take(&fact, &mut findings);
        }
        ensure!(detector.tracked() == 0, "{}: {} processes are left", path.display(), detector.tracked());
        ensure!(detector.evicted() == 0, "{}: processes were evicted", path.display());
    }
    Ok(())
}

/// Exits can be lost: what is kept stays bounded, and the next holder of a pid inherits nothing.
#[test]
fn state_is_bounded() -> Result<()> {
    let (_, story) =
        stories()?.into_iter().find(|(path, _)| path.ends_with("uwsgi_2p30.jsonl")).context("uwsgi")?;
    let facts = story.facts(0)?;
    let table = facts.iter().find(|fact| matches!(fact.event.body, Body::FdTable(_))).context("a table")?;
    let mut detector = FdTables::new(0);
    let mut findings = Vec::new();
    for tgid in 1..=2 * u32::try_from(PROCESSES_MAX)? {
        let mut fact = table.clone();
        fact.event.header.tgid = tgid;
        detector.take(&fact, &mut findings);
    }
    ensure!(detector.tracked() == PROCESSES_MAX, "{} are kept", detector.tracked());
    ensure!(usize::try_from(detector.evicted())? == PROCESSES_MAX, "{} were evicted", detector.evicted());

    let mut detector = FdTables::new(0);
    for start_ns in 1..=3 {
        let mut fact = table.clone();
        fact.event.header.start_ns = start_ns;
        detector.take(&fact, &mut findings);
        ensure!(detector.tracked() == 1, "{} hold one pid", detector.tracked());
    }
    Ok(())
}

#[test]
fn same_facts_same_findings() -> Result<()> {
    for (path, story) in stories()? {
        ensure!(story.run(0)? == story.run(0)?, "{} comes out in two ways", path.display());
    }
    Ok(())
}

/// Under `UPDATE=1` the table in docs/detection.md is written; without, it has to be what the corpus gives.
#[test]
fn docs_state_precision_and_recall() -> Result<()> {
    let stories: Vec<Story> = stories()?.into_iter().map(|(_, story)| story).collect();
    let mut table = String::from(Score::HEAD);
    for (floor, name) in [(FLOOR, "64MiB (default)"), (0, "0")] {
        let score = Score::of(&stories, floor)?;
        score.is_good_enough(floor)?;
        table.push_str(&score.row(name));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/detection.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (start, end) = ("<!-- score -->\n", "<!-- /score -->");
    let (before, rest) = text.split_once(start).context("docs/detection.md has no score to replace")?;
    let (_, after) = rest.split_once(end).context("the score in docs/detection.md has no end")?;
    agree(&path, &format!("{before}{start}{table}{end}{after}"))
}
