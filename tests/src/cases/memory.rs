//! mmap, munmap, mremap, brk, page faults, RSS.

use anyhow::Context as _;

use super::{TRACING, traced};
use crate::case::Case;
use crate::line::hex;
use crate::scratch::Scratch;
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("memory::mmap", TRACING, mmap),
    Case::new("memory::mmap_failed", TRACING, mmap_failed),
    Case::new("memory::munmap", TRACING, munmap),
    Case::new("memory::mremap_grown_and_shrunk", TRACING, mremap),
    Case::new("memory::brk_up_and_down", TRACING, brk),
    Case::new("memory::floor_keeps_small_mappings_out", TRACING, floor),
    Case::new("memory::counters_count_what_makes_no_event", TRACING, counters),
    Case::new("memory::mapping_by_another_thread", TRACING, threads),
    Case::new("memory::major_faults_exact", TRACING, faults),
    Case::new("memory::minor_faults_scaled", TRACING, minor_faults),
    Case::new("memory::rss_limit_passed", TRACING, rss),
];

/// Not a multiple of a page: the record holds what was asked for.
const BYTES: u64 = 9_000_001;
/// What the kernel maps for it.
const PAGES: u64 = 9_003_008;
const FLOOR: &[&str] = &["--min-bytes", "1048576"];

fn identity(run: &Run) -> anyhow::Result<[(&'static str, serde_json::Value); 2]> {
    Ok([
        ("process.pid", run.pid()?.into()),
        ("process.executable.path", crate::locate::trigger()?.to_string_lossy().into()),
    ])
}

pub(super) fn mmap() -> anyhow::Result<()> {
    let run = traced(FLOOR, &["map", "--bytes", "9000001"])?;
    let line = run.one("mmap", |line| line.is("bytes", BYTES))?;
    line.expect(&identity(&run)?)?;
    line.expect(&[
        ("thread.id", run.pid()?.into()),
        ("result", hex(run.reported("address")?)),
        ("prot", "PROT_READ|PROT_WRITE".into()),
        ("flags", "MAP_PRIVATE|MAP_ANONYMOUS".into()),
    ])
}

pub(super) fn mmap_failed() -> anyhow::Result<()> {
    let run = traced(FLOOR, &["map", "--bytes", "9000001", "--fail"])?;
    run.one("mmap", |line| line.is("bytes", BYTES))?.expect(&[("error", "ENOMEM".into())])
}

pub(super) fn munmap() -> anyhow::Result<()> {
    let run = traced(FLOOR, &["map", "--bytes", "9000001", "--unmap"])?;
    run.one("munmap", |line| line.is("bytes", BYTES))?
        .expect(&[("process.pid", run.pid()?.into()), ("address", hex(run.reported("address")?))])
}

pub(super) fn mremap() -> anyhow::Result<()> {
    for (from, to) in [(2_097_152u64, 9_437_184u64), (9_437_184, 2_097_152)] {
        let run = traced(FLOOR, &["remap", "--from", &from.to_string(), "--to", &to.to_string()])?;
        run.one("mremap", |_| true)?.expect(&[
            ("process.pid", run.pid()?.into()),
            ("address", hex(run.reported("address")?)),
            ("result", hex(run.reported("moved")?)),
            ("old_bytes", from.into()),
            ("bytes", to.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn brk() -> anyhow::Result<()> {
    let run = traced(FLOOR, &["brk", "--bytes", "3145728"])?;
    let before = run.reported("before")?;
    run.one("brk", |line| line.is("change_bytes", 3_145_728))?.expect(&[
        ("process.pid", run.pid()?.into()),
        ("old_address", hex(before)),
        ("address", hex(before + 3_145_728)),
        ("result", hex(before + 3_145_728)),
    ])?;
    run.one("brk", |line| line.is("change_bytes", -3_145_728))?.expect(&[
        ("old_address", hex(before + 3_145_728)),
        ("address", hex(before)),
        ("result", hex(before)),
    ])
}

fn floor() -> anyhow::Result<()> {
    let run = traced(&["--min-bytes", "9003008"], &["map", "--bytes", "8998912"])?;
    run.none("mmap", |line| line.is("bytes", 8_998_912))?;
    // The floor concerns the memory asked for in whole pages: 9000001 bytes are 9003008.
    let run = traced(&["--min-bytes", "9003008"], &["map", "--bytes", "9000001"])?;
    run.one("mmap", |line| line.is("bytes", BYTES)).map(drop)
}

fn counters() -> anyhow::Result<()> {
    let options = ["--min-bytes", "1099511627776"];
    let base = traced(&options, &["map", "--bytes", "4096", "--unmap"])?;
    let more = traced(&options, &["map", "--bytes", "9000001", "--unmap", "--times", "7"])?;
    let exit = |run: &Run, key: &str| {
        let pid = run.pid()?;
        run.one("exit", |line| line.pid() == pid)?.number(key)
    };
    for key in ["mmap_bytes", "munmap_bytes"] {
        let (base, more) = (exit(&base, key)?, exit(&more, key)?);
        let difference = more.wrapping_sub(base);
        anyhow::ensure!(difference == 7 * PAGES - 4096, "{key}: {base}, then {more}");
    }
    Ok(())
}

fn threads() -> anyhow::Result<()> {
    let run = traced(FLOOR, &["threads", "--count", "3", "--bytes", "9000001"])?;
    let found: Vec<Option<u64>> = run
        .of("mmap")
        .into_iter()
        .filter(|line| line.is("bytes", BYTES))
        .map(|line| line.number("thread.id").ok())
        .collect();
    let made = run.report.get("tids").and_then(|tids| tids.as_array()).cloned().unwrap_or_default();
    let made: Vec<Option<u64>> = made.iter().map(serde_json::Value::as_u64).collect();
    anyhow::ensure!(made.len() == 3 && found == made, "threads {made:?}, seen {found:?}");
    Ok(())
}

fn faults() -> anyhow::Result<()> {
    let scratch = Scratch::on_disk()?;
    let folder = scratch.path().to_str().context("a path in UTF-8")?;
    let run = traced(&["--event", "fault,exit"], &["fault", "--pages", "64", "--folder", folder])?;
    let pid = run.pid()?;
    let address = run.reported("address")?;
    let inside = |line: &&crate::line::Line| {
        line.address("address").is_ok_and(|at| (address..address + 64 * 4096).contains(&at))
    };
    let seen = run.of("fault").into_iter().filter(|line| line.pid() == pid).filter(inside).count();
    // A page that read-ahead or a neighbour's write brought back is not major: then the file system is not a disk.
    anyhow::ensure!(seen == 64, "{seen} major faults of 64");
    let total = run.of("fault").into_iter().filter(|line| line.pid() == pid).count() as u64;
    run.one("exit", |line| line.pid() == pid)?.expect(&[("major_faults", total.into())])
}

fn minor_faults() -> anyhow::Result<()> {
    let run = traced(&[], &["grow", "--step", "4096", "--steps", "20000"])?;
    let pid = run.pid()?;
    let minor = run.one("exit", |line| line.pid() == pid)?.number("minor_faults")?;
    // Sampled: one in some dozens per CPU, so that 20,000 are known to a few per cent.
    anyhow::ensure!((19_000..23_000).contains(&minor), "{minor} minor faults for 20000 pages touched");
    Ok(())
}

fn rss() -> anyhow::Result<()> {
    const LIMIT: u64 = 64 << 20;
    let run = Tracer::new(&["--rss-limit", &LIMIT.to_string()])?
        .trigger(&["grow", "--step", "1048576", "--steps", "128"])?
        .succeeded()?;
    let pid = run.pid()?;
    let line = run.one("rss", |line| line.pid() == pid)?;
    line.expect(&[("limit_bytes", LIMIT.into())])?;
    let sum = line.number("anon_bytes")? + line.number("file_bytes")? + line.number("shmem_bytes")?;
    // Noticed at a fault sample: at most one period of pages per CPU late.
    anyhow::ensure!((LIMIT..LIMIT + (4 << 20)).contains(&sum), "{sum} bytes resident when reported");
    Ok(())
}
