//! Names chosen by an enemy: the stream stays JSON, the terminal stays sane.

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::child::PATIENCE;
use crate::scratch::Scratch;
use crate::tracer::Tracer;

pub(super) const CASES: &[Case] = &[
    Case::new("hostile::thread_names_in_json", TRACING, names_in_json),
    Case::new("hostile::thread_names_in_a_table", TRACING, names_in_table),
    Case::new("hostile::paths_and_arguments_in_json", TRACING, paths_in_json),
    Case::new("hostile::paths_and_arguments_in_a_table", TRACING, paths_in_table),
];

/// Escape sequences, quotes, line ends, bytes that are no UTF-8, a right-to-left mark, nothing at all.
const NAMES: [&[u8]; 7] = [
    b"\x1b[2J\x1b[31mred",
    b"\"},{\"x\":\"",
    b"two\nlines\r\t",
    b"\xff\xfe\xc3\x28",
    b"\xe2\x80\xaereversed",
    b"back\\slash\x07\x7f",
    b"",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names_in_json() -> anyhow::Result<()> {
    for name in NAMES {
        let option = format!("--name={}", hex(name));
        let run = traced(&["--min-bytes", "1048576"], &["named", &option, "--bytes", "7000001"])?;
        let line = run.one("mmap", |line| line.is("bytes", 7_000_001))?;
        let seen = line.text("thread.name")?;
        let kept = String::from_utf8_lossy(name.get(..name.len().min(15)).unwrap_or_default()).into_owned();
        // Printable text comes through; how the rest is written is for docs/events.md to say.
        for word in kept.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 2) {
            ensure!(seen.contains(word), "{kept:?} became {seen:?}");
        }
    }
    Ok(())
}

/// What may reach a terminal: no control characters but the line end, no change of writing direction. Escape
/// sequences of the table's own (colour, `ESC [ … m`) do not go into a pipe either.
fn is_sane(line: &str) -> bool {
    line.chars().all(|c| {
        !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c) && c != char::REPLACEMENT_CHARACTER
    })
}

fn shown(trigger: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut running = Tracer::new(&["--output", "table", "--min-bytes", "1048576"])?.run_trigger(trigger)?;
    let lines = running.rest(PATIENCE)?;
    let status = running.wait(PATIENCE)?;
    ensure!(status.success(), "ended with {status}: {}", running.errors());
    Ok(lines)
}

fn names_in_table() -> anyhow::Result<()> {
    for name in NAMES {
        let lines = shown(&["named", &format!("--name={}", hex(name)), "--bytes", "7000001"])?;
        ensure!(lines.iter().any(|line| line.contains("mmap")), "no mmap in the table for {name:?}");
        for line in lines {
            ensure!(is_sane(&line), "{name:?} reached the terminal: {line:?}");
        }
    }
    Ok(())
}

/// A name that is legal for a file and an argument, and unpleasant everywhere else.
const FILE: &[u8] = b"\x1b]0;owned\x07 \"q\" \n\xff{}";

fn exec_options(scratch: &Scratch) -> anyhow::Result<Vec<String>> {
    let folder = scratch.path().to_str().context("a folder that is text")?;
    Ok([
        "exec-named",
        "--folder",
        folder,
        "--name",
        &hex(FILE),
        "--argument",
        &hex(FILE),
        "--bytes",
        "7000001",
    ]
    .map(str::to_owned)
    .to_vec())
}

fn paths_in_json() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let options = exec_options(&scratch)?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let run = traced(&["--min-bytes", "1048576"], &options)?;
    let line = run.one("mmap", |line| line.is("bytes", 7_000_001))?;
    ensure!(line.text("process.executable.path")?.contains("owned"), "the path is gone: {line}");
    let exec = run
        .one("exec", |line| line.text("process.executable.path").is_ok_and(|path| path.contains("owned")))?;
    let first = exec.get("process.command_args").and_then(|args| args.get(0)).and_then(|arg| arg.as_str());
    ensure!(first.is_some_and(|first| first.contains("owned")), "the argument is gone: {exec}");
    Ok(())
}

fn paths_in_table() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let options = exec_options(&scratch)?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    for line in shown(&options)? {
        ensure!(is_sane(&line), "the name reached the terminal: {line:?}");
    }
    Ok(())
}
