//! The fd-table detector: what it must find, with every number right.

use anyhow::ensure;

use super::TRACING;
use crate::case::Case;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("table::after_getrlimit", TRACING, || learned_by("getrlimit", "read")),
    Case::new("table::after_prlimit", TRACING, || learned_by("prlimit", "read")),
    Case::new("table::after_prlimit_of_the_own_id", TRACING, || learned_by("prlimit-own-id", "read")),
    Case::new("table::after_prlimit_of_an_id_of_its_own", TRACING, in_pid_namespace),
    Case::new("table::after_sysconf", TRACING, || learned_by("sysconf", "read")),
    Case::new("table::after_setrlimit", TRACING, learned_by_setting),
    Case::new("table::element_sizes", TRACING, element_sizes),
    Case::new("table::by_mremap", TRACING, by_mremap),
    Case::new("table::by_brk", &[Need::Root, Need::Tracing, Need::Descriptors(1 << 20)], by_brk),
    Case::new("table::size_class", TRACING, size_class),
    Case::new("table::failed", TRACING, failed),
    Case::new("table::inherited_over_two_forks", TRACING, inherited),
    Case::new("table::by_another_thread", TRACING, by_thread),
    Case::new("table::lag", TRACING, lag),
    Case::new("table::touched_grows", TRACING, touched),
    Case::new("table::touched_before_does_not_count", TRACING, touched_before),
    Case::new("table::touched_elsewhere_does_not_count", TRACING, touched_elsewhere),
    Case::new("table::filled_by_the_kernel_is_touched", TRACING, populated),
    Case::new("table::read_into_is_touched", TRACING, read_into),
    Case::new("table::locked_as_it_is_mapped_is_touched", TRACING, locked),
    Case::new("table::filled_elsewhere_by_the_kernel_does_not_count", TRACING, filled_elsewhere),
    Case::new("table::huge_pages_elsewhere_do_not_count", TRACING, huge_elsewhere),
    Case::new("table::touched_by_huge_pages", TRACING, touched_by_huge_pages),
    Case::new("table::touched_by_two_threads", TRACING, touched_by_two),
    Case::new("table::aligned", TRACING, aligned),
    Case::new("table::refused_once_is_found_once", TRACING, refused_once),
    Case::new("table::limit_is_remembered_before_smaller_ones", TRACING, remembered),
    Case::new("table::several_summed", TRACING, summed),
    Case::new("table::small_ones_below_the_floor", TRACING, floor),
    Case::new("table::advice_is_given", TRACING, advice),
];

/// Any size of table is reported.
pub(super) const ANY: &[&str] = &["--min-table", "0"];

/// Bytes that fit none of the limits in use, whatever the element.
pub(super) const NO_TABLE: &str = "34000896";

/// Runs `trigger table` with the number of descriptors that tests use, known by no other number.
pub(super) fn table(options: &[&str], trigger: &[&str]) -> anyhow::Result<Run> {
    table_under(Tracer::new(options)?, trigger)
}

/// The same under this tracer.
pub(super) fn table_under(tracer: Tracer, trigger: &[&str]) -> anyhow::Result<Run> {
    let arguments: Vec<&str> = std::iter::once("table").chain(trigger.iter().copied()).collect();
    tracer.descriptors(limit::table()).trigger(&arguments)
}

/// What the trigger asks for: the elements and a malloc header, in whole pages.
pub(super) fn length(element: u64) -> u64 {
    (limit::table() * element + 16).next_multiple_of(4096)
}

/// An element size that makes a table of at least 16 MiB.
pub(super) fn large_element() -> u64 {
    if limit::table() > 1 << 23 { 8 } else { 1024 }
}

/// The first finding about the process that asked.
fn finding(run: &Run) -> anyhow::Result<&Line> {
    let pid = run.pid()?;
    run.first("fd_table", |line| line.pid() == pid)
}

/// Checks the numbers of a finding.
fn expect_table(line: &Line, element: u64) -> anyhow::Result<()> {
    let limit = limit::table();
    line.expect(&[
        ("limit", limit.into()),
        ("element_bytes", element.into()),
        ("bytes", length(element).into()),
        ("overhead_bytes", (length(element) - limit * element).into()),
    ])
}

fn learned_by(call: &str, how: &str) -> anyhow::Result<()> {
    let run = table(ANY, &["--by", call])?.succeeded()?;
    let line = finding(&run)?;
    expect_table(line, 8)?;
    line.expect(&[
        ("state", "mapped".into()),
        ("source", "mmap".into()),
        ("learned_how", how.into()),
        ("learned_by_pid", run.pid()?.into()),
        ("learned_by_tid", run.pid()?.into()),
        ("learned_forks", 0.into()),
        ("touched_bytes", 0.into()),
    ])
}

fn learned_by_setting() -> anyhow::Result<()> {
    let set = limit::table() / 2;
    let run = table(ANY, &["--by", "setrlimit", "--limit", &set.to_string()])?.succeeded()?;
    let line = finding(&run)?;
    line.expect(&[("limit", set.into()), ("element_bytes", 8.into()), ("learned_how", "set".into())])
}

fn in_pid_namespace() -> anyhow::Result<()> {
    let run = table(ANY, &["--by", "prlimit-own-id", "--pid-namespace"])?.succeeded()?;
    let child = run.reported("child")?;
    let line = run.first("fd_table", |line| line.pid() == child)?;
    expect_table(line, 8)?;
    line.expect(&[("learned_forks", 0.into()), ("learned_by_pid", child.into())])?;
    // The id that it passed is one of its own namespace.
    run.first("rlimit_read", |line| line.pid() == child && line.is("resource", "nofile"))?;
    run.none("rlimit_read", |line| line.pid() == child && line.get("target_pid").is_some())?;
    run.none("rlimit_read", |line| line.pid() == child && line.get("target_unknown").is_some())
}

fn element_sizes() -> anyhow::Result<()> {
    for element in [4u64, 12, 16, 56, 64, 128, 432, 664] {
        let run = table(ANY, &["--elements", &element.to_string()])?.succeeded()?;
        expect_table(finding(&run)?, element)?;
    }
    Ok(())
}

fn by_mremap() -> anyhow::Result<()> {
    let run = table(ANY, &["--call", "mremap"])?.succeeded()?;
    let line = finding(&run)?;
    expect_table(line, 8)?;
    line.expect(&[("source", "mremap".into())])
}

fn by_brk() -> anyhow::Result<()> {
    // A heap of gibibytes would run into the mappings above it: a million descriptors are enough.
    let run = Tracer::new(ANY)?.descriptors(1_000_003).trigger(&["table", "--call", "brk"])?.succeeded()?;
    finding(&run)?.expect(&[
        ("limit", 1_000_003.into()),
        ("element_bytes", 8.into()),
        ("source", "brk".into()),
    ])
}

fn size_class() -> anyhow::Result<()> {
    let run = table(ANY, &["--size-class"])?.succeeded()?;
    let line = finding(&run)?;
    line.expect(&[("limit", limit::table().into()), ("element_bytes", 8.into())])?;
    let bytes = line.number("bytes")?;
    ensure!(bytes.trailing_zeros() + 3 >= bytes.ilog2(), "{bytes} bytes are no size class");
    Ok(())
}

fn failed() -> anyhow::Result<()> {
    let run = table(ANY, &["--fail"])?.succeeded()?;
    let line = finding(&run)?;
    expect_table(line, 8)?;
    line.expect(&[("state", "failed".into()), ("error", "ENOMEM".into())])
}

fn inherited() -> anyhow::Result<()> {
    let run = table(ANY, &["--forks", "2"])?.succeeded()?;
    let line = finding(&run)?;
    expect_table(line, 8)?;
    line.expect(&[("learned_forks", 2.into())])?;
    let reader = line.number("learned_by_pid")?;
    ensure!(reader != line.pid(), "the grandchild did not read the limit itself: {line}");
    run.one("rlimit_read", |line| line.pid() == reader && line.is("resource", "nofile")).map(drop)
}

fn by_thread() -> anyhow::Result<()> {
    let run = table(&["--min-table", "0", "--min-bytes", "4096"], &["--thread"])?.succeeded()?;
    let line = finding(&run)?;
    expect_table(line, 8)?;
    line.expect(&[("learned_by_tid", run.pid()?.into())])?;
    let asker = run.reported("tid")?;
    line.expect(&[("asked_by_tid", asker.into())])?;
    run.one("mmap", |line| line.is("bytes", length(8)))?.expect(&[("thread.id", asker.into())])
}

fn lag() -> anyhow::Result<()> {
    let run = table(ANY, &["--delay-ms", "1200"])?.succeeded()?;
    let lag = finding(&run)?.number("lag_ns")?;
    ensure!((1_200_000_000..20_000_000_000).contains(&lag), "a lag of {lag} ns after waiting 1.2 s");
    Ok(())
}

fn touched() -> anyhow::Result<()> {
    const TOUCH: u64 = 12 << 20;
    let element = large_element().to_string();
    // Changes of RSS are seen from the finding on, which a slow machine takes a while to read.
    let touch = ["--elements", &element, "--touch", &TOUCH.to_string(), "--step-ms", "25"];
    let run = table(ANY, &touch)?.succeeded()?;
    expect_table(finding(&run)?, large_element())?;
    let pid = run.pid()?;
    let steps: Vec<u64> = run
        .of("fd_table")
        .into_iter()
        .filter(|line| line.pid() == pid)
        // Of a table of gibibytes so little is no more than mapped.
        .filter_map(|line| line.number("touched_bytes").ok().filter(|bytes| *bytes > 0))
        .collect();
    ensure!(!steps.is_empty() && steps.is_sorted(), "touched growth in steps: {steps:?}");
    ensure!(steps.iter().all(|bytes| *bytes <= TOUCH + (1 << 20)), "more than was touched: {steps:?}");
    let end = run.one("exit", |line| line.pid() == pid)?.number("fd_table_touched_bytes")?;
    ensure!(end.abs_diff(TOUCH) <= 1 << 20, "{end} bytes touched at exit, {TOUCH} were");
    Ok(())
}

fn touched_elsewhere() -> anyhow::Result<()> {
    const TOUCH: u64 = 3 << 20;
    let (element, touch) = (large_element().to_string(), TOUCH.to_string());
    let trigger = ["--elements", &element, "--touch", &touch, "--touch-elsewhere", NO_TABLE];
    let run = table(ANY, &trigger)?.succeeded()?;
    let pid = run.pid()?;
    let end = run.one("exit", |line| line.pid() == pid)?.number("fd_table_touched_bytes")?;
    ensure!(end.abs_diff(TOUCH) <= 64 << 10, "{end} bytes touched at exit, {TOUCH} of the table were");
    Ok(())
}

/// A table of which some is touched, by a tracer that sees all of it: one with a rule that nothing reaches.
fn touched_at_exit(trigger: &[&str]) -> anyhow::Result<(u64, u64)> {
    let element = large_element().to_string();
    let rule = ["--min-table", "0", "--act", "signal-touched", "--act-touched", "1TiB"];
    let run = table(&rule, &[&["--elements", &element], trigger].concat())?.succeeded()?;
    let pid = run.pid()?;
    let exit = run.one("exit", |line| line.pid() == pid)?;
    Ok((exit.number("fd_table_touched_bytes")?, exit.number("fd_table_bytes")?))
}

fn filled_elsewhere() -> anyhow::Result<()> {
    for bytes in ["4096", "1700001", "3000001"] {
        let (end, _) = touched_at_exit(&["--touch", "45056", "--read-between", bytes])?;
        ensure!(end <= 64 << 10, "{end} bytes touched at exit, 44 KiB were, with {bytes} filled in between");
    }
    Ok(())
}

/// What a system call writes to it counts as well.
fn read_into() -> anyhow::Result<()> {
    const READ: u64 = 3 << 20;
    let (end, _) = touched_at_exit(&["--read-into", &READ.to_string()])?;
    ensure!(end.abs_diff(READ) <= 64 << 10, "{end} bytes touched at exit, {READ} were read into it");
    Ok(())
}

fn huge_elsewhere() -> anyhow::Result<()> {
    let (end, _) = touched_at_exit(&["--touch", "245760", "--huge-beside", "60"])?;
    // The last block may pass for huge where page tables cannot be read, until the next page of it is asked for.
    ensure!(end <= 4 << 20, "{end} bytes touched at exit, 240 KiB were");
    Ok(())
}

/// What the trigger writes to of a table of any size.
const MOST: &str = "18874368";

fn touched_by_huge_pages() -> anyhow::Result<()> {
    let (end, total) = touched_at_exit(&["--huge", "--touch", MOST])?;
    // Blocks that the table shares with others, and the last one, may count as a page each.
    ensure!((9 << 20..=total).contains(&end), "{end} bytes touched at exit, {MOST} of {total} were");
    Ok(())
}

fn touched_by_two() -> anyhow::Result<()> {
    for huge in [&["--huge"][..], &[]] {
        let (end, total) = touched_at_exit(&[huge, &["--by-two", "--touch", MOST]].concat())?;
        ensure!((9 << 20..=total).contains(&end), "{end} bytes touched at exit, {MOST} of {total} were");
    }
    Ok(())
}

/// A limit whose tables any machine bears, and that is near no power of two: alignment makes those of 2^30 fit it.
const SMALL: u64 = 19_997;

fn aligned() -> anyhow::Result<()> {
    for alignment in ["4096", "16384", "65536", "2097152"] {
        let trigger = ["table", "--call", "malloc", "--alignment", alignment, "--elements", "1024"];
        let run = Tracer::new(ANY)?.descriptors(SMALL).trigger(&trigger)?.succeeded()?;
        let line = finding(&run)?;
        line.expect(&[("limit", SMALL.into()), ("element_bytes", 1024.into())])?;
        ensure!(line.is("fit", "aligned"), "at {alignment}: {line}");
    }
    Ok(())
}

fn refused_once() -> anyhow::Result<()> {
    // Larger than what the heap may have free, which is asked of nobody.
    let run = table(ANY, &["--call", "malloc", "--fail", "--elements", "64"])?.succeeded()?;
    let pid = run.pid()?;
    let line = finding(&run)?;
    line.expect(&[("state", "failed".into()), ("element_bytes", 64.into()), ("ordinal", 1.into())])?;
    // The tries that follow are the allocator's own.
    run.none("fd_table", |line| line.pid() == pid && !line.is("ordinal", 1))
}

fn remembered() -> anyhow::Result<()> {
    // Too large for any of the others.
    let element = large_element();
    let run = table(ANY, &["--others", "5", "--elements", &element.to_string()])?.succeeded()?;
    expect_table(finding(&run)?, element)
}

fn populated() -> anyhow::Result<()> {
    whole(64, &["--region", "populated"])
}

fn locked() -> anyhow::Result<()> {
    whole(8, &["--lock-all"])
}

/// All of a table is touched as soon as it is there, and no fault tells of it.
fn whole(element: u64, how: &[&str]) -> anyhow::Result<()> {
    let elements = element.to_string();
    let trigger = [&["table", "--elements", &elements], how].concat();
    let run = Tracer::new(ANY)?.descriptors(SMALL).trigger(&trigger)?.succeeded()?;
    let pid = run.pid()?;
    let line = run.first("fd_table", |line| line.pid() == pid && line.is("state", "touched"))?;
    line.expect(&[("touched_bytes", (SMALL * element + 16).next_multiple_of(4096).into())])
}

fn touched_before() -> anyhow::Result<()> {
    let element = large_element().to_string();
    let run = table(ANY, &["--elements", &element, "--touch-before", NO_TABLE])?.succeeded()?;
    let pid = run.pid()?;
    expect_table(finding(&run)?, large_element())?;
    run.none("fd_table", |line| line.pid() == pid && line.is("state", "touched"))
}

fn summed() -> anyhow::Result<()> {
    let run = table(ANY, &["--elements", "56,664"])?.succeeded()?;
    let pid = run.pid()?;
    for (element, ordinal) in [(56, 1u64), (664, 2)] {
        let line = run.first("fd_table", |line| line.pid() == pid && line.is("element_bytes", element))?;
        expect_table(line, element)?;
        line.expect(&[("ordinal", ordinal.into())])?;
    }
    let last = run.first("fd_table", |line| line.is("ordinal", 2))?;
    last.expect(&[("total_bytes", (length(56) + length(664)).into())])
}

fn floor() -> anyhow::Result<()> {
    let above = (length(8) + 1).to_string();
    let run = table(&["--min-table", &above], &[])?.succeeded()?;
    run.none("fd_table", |_| true)?;
    let at = length(8).to_string();
    let run = table(&["--min-table", &at], &[])?.succeeded()?;
    finding(&run).map(drop)
}

fn advice() -> anyhow::Result<()> {
    let run = table(ANY, &[])?.succeeded()?;
    let line = finding(&run)?;
    // The tracer started it, under a limit that nobody above it has.
    line.expect(&[("limit_origin", "inherited".into()), ("limit_origin_comm", "memwatch".into())])?;
    let advice = line.text("advice")?;
    let origin = format!("inherited from process {} (memwatch)", line.number("limit_origin_pid")?);
    ensure!(advice.contains(&origin), "the advice does not name the limit's origin: {line}");
    ensure!(["high", "medium", "low"].contains(&line.text("confidence")?), "no confidence: {line}");
    let reasons = line.get("reasons").and_then(|reasons| reasons.as_array()).map_or(0, Vec::len);
    ensure!(reasons > 0, "no reasons: {line}");
    Ok(())
}
