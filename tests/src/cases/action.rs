//! Acts of rules, on the test's own child: at the moment the memory is asked for, and when it is touched.

use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Context as _, ensure};

use super::TRACING;
use super::table::{NO_TABLE, large_element, length, table};
use crate::case::Case;
use crate::cgroup::Group;
use crate::limit;
use crate::need::Need;
use crate::tracer::{Run, Tracer};
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("action::signal_before_the_first_touch", TRACING, before_touch),
    Case::new("action::signal_of_choice", TRACING, signal_of_choice),
    Case::new("action::signal_at_the_touched_bound", TRACING, at_bound),
    Case::new("action::signal_at_the_bound_of_what_is_read_into_it", TRACING, at_bound_of_reads),
    Case::new("action::untouched_table_is_left_alone", TRACING, untouched),
    Case::new("action::growth_elsewhere_is_left_alone", TRACING, elsewhere),
    Case::new("action::memory_that_the_kernel_fills_is_left_alone", TRACING, filled_elsewhere),
    Case::new("action::smaller_table_is_left_alone", TRACING, smaller),
    Case::new("action::no_table_is_left_alone", TRACING, no_table),
    Case::new("action::accidents_are_left_alone", TRACING, accidents),
    Case::new("action::a_named_program_has_its_tables", TRACING, known_elements),
    Case::new("action::in_a_cgroup_only_who_is_named", GROUPS, named_in_a_cgroup),
    Case::new("action::rule_without_its_hooks_is_refused", TRACING, without_hooks),
    Case::new("action::refusal", REFUSING, refusal),
    Case::new("action::refusal_of_a_table_that_grows", REFUSING, refusal_of_growth),
    Case::new("action::lookalikes_are_not_refused", REFUSING, lookalikes),
];

const GROUPS: &[Need] = &[Need::Root, Need::Tracing, Need::Unified];

const REFUSING: &[Need] = &[Need::Root, Need::Tracing, Need::Way("fentry")];

const TOUCH: u64 = 12 << 20;

/// Acts on tables of any size and however likely an accident is: what a machine's limit makes of them is not asked here.
const ANYTHING: &[&str] = &["--min-table", "0", "--act-confidence", "low"];

/// Runs the trigger that asks for a table and touches some of it, under a rule.
fn acted(rule: &[&str], trigger: &[&str]) -> anyhow::Result<Run> {
    let element = large_element().to_string();
    let options: Vec<&str> = [ANYTHING, rule].concat();
    let trigger: Vec<&str> = [&["--elements", &element], trigger].concat();
    table(&options, &trigger)
}

fn touching() -> [String; 2] {
    ["--touch".to_owned(), TOUCH.to_string()]
}

/// Bytes of its table that the killed child had touched.
fn touched_at_death(run: &Run, signal: i32) -> anyhow::Result<u64> {
    ensure!(run.status.code() == Some(128 + signal), "ended with {}; {}", run.status, run.errors);
    let act = run.one("action", |_| true)?;
    let pid = act.pid();
    run.one("exit", |line| line.pid() == pid)?.number("fd_table_touched_bytes")
}

fn before_touch() -> anyhow::Result<()> {
    let [touch, bytes] = touching();
    let run = acted(&["--act", "signal-mapped"], &[&touch, &bytes])?;
    let touched = touched_at_death(&run, libc::SIGKILL)?;
    ensure!(touched == 0, "{touched} bytes were touched before the signal");
    run.one("action", |line| line.is("what", "signal_mapped"))?
        .expect(&[("signal", "SIGKILL".into()), ("bytes", length(large_element()).into())])
}

fn signal_of_choice() -> anyhow::Result<()> {
    let run = acted(&["--act", "signal-mapped", "--act-signal", "15"], &[])?;
    touched_at_death(&run, libc::SIGTERM).map(drop)
}

fn at_bound() -> anyhow::Result<()> {
    const BOUND: u64 = 4 << 20;
    let [touch, bytes] = touching();
    let run = acted(&["--act", "signal-touched", "--act-touched", &BOUND.to_string()], &[&touch, &bytes])?;
    let touched = touched_at_death(&run, libc::SIGKILL)?;
    // The kernel's counter runs ahead of or behind the truth by some dozens of pages per CPU.
    ensure!((BOUND..BOUND + (2 << 20)).contains(&touched), "{touched} bytes touched at a bound of {BOUND}");
    Ok(())
}

/// The same where a system call writes to the table.
fn at_bound_of_reads() -> anyhow::Result<()> {
    const BOUND: u64 = 4 << 20;
    let bytes = TOUCH.to_string();
    let rule = ["--act", "signal-touched", "--act-touched", &BOUND.to_string()];
    let touched = touched_at_death(&acted(&rule, &["--read-into", &bytes])?, libc::SIGKILL)?;
    ensure!((BOUND..BOUND + (2 << 20)).contains(&touched), "{touched} bytes touched at a bound of {BOUND}");
    Ok(())
}

/// Nobody was signalled, and the child came to its own end.
fn left_alone(run: Run) -> anyhow::Result<()> {
    run.succeeded()?.none("action", |_| true)
}

fn untouched() -> anyhow::Result<()> {
    left_alone(acted(
        &["--act", "signal-touched", "--act-touched", "4194304"],
        &["--touch-before", NO_TABLE],
    )?)
}

fn elsewhere() -> anyhow::Result<()> {
    left_alone(acted(
        &["--act", "signal-touched", "--act-touched", "4194304"],
        &["--touch", "2097152", "--touch-elsewhere", NO_TABLE],
    )?)
}

/// A few pages of the table, and as much memory as the table has besides, which the kernel fills.
fn filled_elsewhere() -> anyhow::Result<()> {
    left_alone(acted(
        &["--act", "signal-touched", "--act-touched", "4194304"],
        &["--touch", "45056", "--read-between", "1700001"],
    )?)
}

fn smaller() -> anyhow::Result<()> {
    let above = (length(large_element()) + 1).to_string();
    left_alone(acted(&["--act", "signal-mapped", "--act-min", &above], &[])?)
}

fn no_table() -> anyhow::Result<()> {
    left_alone(acted(&["--act", "signal-mapped"], &["--region", "prot-none"])?)
}

/// A limit at which one length in nineteen fits.
const SMALL: u64 = 19_997;

/// Lengths that fit by accident, each with the most that is asked of a length when a rule acts on it.
fn accidents() -> anyhow::Result<()> {
    for (trigger, most) in [
        (&["--elements", "1024"][..], "medium"),
        (&["--elements", "16", "--size-class"], "low"),
        (&["--elements", "1024", "--call", "malloc", "--alignment", "65536"], "low"),
    ] {
        let mut acts = true;
        for asked in ["low", "medium", "high"] {
            let options = ["--min-table", "0", "--act", "signal-mapped", "--act-confidence", asked];
            let options = if asked == "high" { &options[..4] } else { &options };
            let run = Tracer::new(options)?.descriptors(SMALL).trigger(&[&["table"], trigger].concat())?;
            run.first("fd_table", |line| line.is("limit", SMALL))?;
            if acts {
                touched_at_death(&run, libc::SIGKILL)?;
            } else {
                left_alone(run)?;
            }
            acts = acts && asked != most;
        }
    }
    Ok(())
}

/// What is no more than an accident elsewhere is a table in a program that keeps such ones.
fn known_elements() -> anyhow::Result<()> {
    for (program, is_known) in [("uwsgi", true), ("squid", false)] {
        let options = ["--min-table", "0", "--act", "signal-mapped", "--exe", program];
        let run = Tracer::new(&options)?.descriptors(SMALL).trigger(&["table"])?;
        let expected = if is_known { 128 + libc::SIGKILL } else { 0 };
        ensure!(run.status.code() == Some(expected), "{program}: ended with {}; {}", run.status, run.errors);
    }
    Ok(())
}

/// Two do the same in one cgroup.
fn named_in_a_cgroup() -> anyhow::Result<()> {
    let group = Group::new("named")?;
    let path = group.path().to_str().context("a path that is text")?;
    let element = large_element().to_string();
    let ready = |name: &str| {
        let name: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        Trigger::ready_with_descriptors(&["table", "--elements", &element, "--called", &name], limit::table())
    };
    let (mut named, mut other) = (ready("mw-named")?, ready("mw-other")?);
    for pid in [named.pid(), other.pid()] {
        group.take(pid)?;
    }
    let rule = ["--cgroup", path, "--act", "signal-mapped", "--comm", "mw-named"];
    let tracer = Tracer::new(&[ANYTHING, &rule].concat())?.attach()?;
    other.act_and_hold()?;
    named.act()?;
    let (killed, _) = named.finish()?;
    ensure!(killed.signal() == Some(libc::SIGKILL), "the one that is named ended with {killed}");
    let (status, _) = other.finish()?;
    ensure!(status.success(), "the other one ended with {status}");
    tracer.interrupt()?.one("action", |_| true)?.expect(&[("memwatch.process.comm", "mw-named".into())])
}

fn without_hooks() -> anyhow::Result<()> {
    for act in ["signal-mapped", "signal-touched", "refuse"] {
        let run = table(&["--without", "mmap", "--act", act], &[])?;
        ensure!(run.status.code() == Some(1), "--act {act} ended with {}: {}", run.status, run.errors);
        ensure!(run.errors.contains("--act cannot work: hook mmap"), "no reason: {}", run.errors);
        ensure!(run.report.is_null(), "the command ran without the rule: {}", run.report);
    }
    Ok(())
}

fn refusal() -> anyhow::Result<()> {
    let run = acted(&["--act", "refuse"], &["--refused"])?.succeeded()?;
    run.one("action", |line| line.is("what", "refuse"))?;
    run.first("fd_table", |line| line.is("state", "failed")).map(drop)
}

fn refusal_of_growth() -> anyhow::Result<()> {
    let run = acted(&["--act", "refuse"], &["--refused", "--call", "mremap"])?.succeeded()?;
    run.one("action", |line| line.is("what", "refuse"))?.expect(&[("bytes", length(large_element()).into())])
}

/// Memory of a table's length that the kernel charges too, and that is no table.
fn lookalikes() -> anyhow::Result<()> {
    for region in ["shared", "stack"] {
        left_alone(acted(&["--act", "refuse"], &["--region", region])?)?;
    }
    // A fork charges what the parent has, here from before it learned the limit.
    let before = length(large_element()).to_string();
    let run = Tracer::new(&[ANYTHING, &["--act", "refuse"]].concat())?
        .descriptors(limit::table())
        .trigger(&["table", "--map-first", &before, "--apart", "--forks", "1", "--region", "prot-none"])?;
    left_alone(run)
}
