//! `memwatch scan` on processes that live: tables that stand, tables to come, and what is out of sight.

mod programs;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::table::{large_element, length};
use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::limit;
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::scan::Scan;
use crate::scratch::Scratch;
use crate::syscall::process;
use crate::tracer::eventually;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("scan::a_table_that_stands", &[], stands),
    Case::new("scan::nothing_to_find", &[], nothing),
    Case::new("scan::a_limit_that_was_inherited", &[], inherited),
    Case::new("scan::the_kernel_s_own_table", &[], kernel),
    Case::new("scan::a_known_program_before_its_table", &[], expected),
    Case::new("scan::a_process_of_many_areas", &[], many_areas),
    Case::new("scan::processes_that_vanish", &[], vanishing),
    Case::alone("scan::ten_thousand_processes", &[Need::Root, Need::FreeMemory(4 << 30)], crowd),
    Case::new("scan::without_rights", &[Need::Root], without_rights),
    Case::new("scan::a_cgroup", &[Need::Root, Need::Unified], cgroup),
    Case::new("scan::names_on_a_terminal", &[], names),
    Case::new("scan::wrong_usage", &[], wrong_usage),
    Case::new("scan::real_uwsgi", programs::NEEDS_UWSGI, programs::uwsgi),
    Case::new("scan::real_haproxy", programs::NEEDS_HAPROXY, programs::haproxy),
    Case::new("scan::real_slapd", programs::NEEDS_SLAPD, programs::slapd),
    Case::new("scan::real_rpcbind", programs::NEEDS_RPCBIND, programs::rpcbind),
];

/// On a host with a low limit tables are small, and no length is sure.
const ANY: [&str; 4] = ["--min-table", "0", "--min-confidence", "low"];

/// Scans one process, or a process and its descendants.
fn look(which: &str, pid: u32, options: &[&str]) -> anyhow::Result<Scan> {
    let pid = pid.to_string();
    let all: Vec<&str> = [which, &pid].into_iter().chain(options.iter().copied()).collect();
    Scan::run(&all)
}

/// A trigger that has a table of the largest element, apart from its other memory, and stays.
fn holder(arguments: &[&str]) -> anyhow::Result<Trigger> {
    let element = large_element().to_string();
    let table = ["table", "--elements", &element, "--apart"];
    let all: Vec<&str> = table.into_iter().chain(arguments.iter().copied()).collect();
    let mut trigger = Trigger::ready_with_descriptors(&all, limit::table())?;
    trigger.act_and_hold()?;
    Ok(trigger)
}

fn stands() -> anyhow::Result<()> {
    const TOUCHED: u64 = 4 << 20;
    let trigger = holder(&["--touch", &TOUCHED.to_string()])?;
    let scan = look("--pid", trigger.pid(), &ANY)?;
    let line = scan.of(trigger.pid().into())?;
    line.expect(&[
        ("kind", "table".into()),
        ("limit", limit::table().into()),
        ("limit_soft", limit::table().into()),
        ("limit_hard", limit::table().into()),
        ("element_bytes", large_element().into()),
        ("bytes", length(large_element()).into()),
        ("touched_bytes", TOUCHED.into()),
        ("fit", "exact".into()),
        // The test has another limit, and started the trigger with this one.
        ("limit_origin", "own".into()),
    ])?;
    let kernel = line.number("kernel_slots")?;
    ensure!(line.number("kernel_bytes")? == kernel * 8 + kernel / 4 + kernel / 512, "{line}");
    ensure!(line.number("at_risk_bytes")? >= length(large_element()), "{line}");
    ensure!(!line.text("advice")?.is_empty(), "no advice: {line}");
    ensure!(scan.code == 1, "found, and ended with {}", scan.code);
    Ok(())
}

fn nothing() -> anyhow::Result<()> {
    let trigger = Trigger::ready(&["read-limits"])?;
    let scan = look("--pid", trigger.pid(), &["--min-table", "1TiB"])?;
    ensure!(scan.code == 0 && scan.lines.is_empty(), "{}: {:?}", scan.code, scan.lines);
    ensure!(
        scan.errors.contains("processes scanned: 1,") && scan.errors.contains("none at risk"),
        "{}",
        scan.errors
    );
    Ok(())
}

fn inherited() -> anyhow::Result<()> {
    let trigger = holder(&["--forks", "2"])?;
    let pid = trigger.pid();
    let scan = look("--tree", pid, &ANY)?;
    let table = scan
        .lines
        .iter()
        .find(|line| line.is("element_bytes", large_element()) && line.pid() != u64::from(pid));
    let Some(line) = table else { anyhow::bail!("no table of a grandchild: {:?}", scan.lines) };
    line.expect(&[("limit_origin", "inherited".into()), ("limit_origin_pid", pid.into())])
}

fn kernel() -> anyhow::Result<()> {
    let highest = (limit::table() - 1).min(1 << 18).to_string();
    let mut trigger = Trigger::ready_with_descriptors(&["dup-high", "--fd", &highest], limit::table())?;
    trigger.act_and_hold()?;
    let scan = look("--pid", trigger.pid(), &["--min-table", "100KiB"])?;
    let line = scan.of(trigger.pid().into())?;
    line.expect(&[("kind", "kernel".into()), ("confidence", "high".into())])?;
    ensure!(line.number("kernel_slots")? > highest.parse()?, "{line}");
    Ok(())
}

fn expected() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let program = scratch.path().join("uwsgi");
    std::fs::copy(locate::trigger()?, &program)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new(&program);
    command.args(["read-limits", "--on-stdin"]).stdin(std::process::Stdio::piped());
    process::limit_descriptors(&mut command, limit::table());
    let mut running = Running::start(&mut command)?;
    let _input = running.take_input();
    let bytes = limit::table() * 8;
    let scan = look("--pid", running.pid(), &["--min-table", &bytes.to_string()])?;
    scan.of(running.pid().into())?.expect(&[
        ("kind", "expected".into()),
        ("program", "uWSGI".into()),
        ("expected_bytes", bytes.into()),
        ("confidence", "medium".into()),
    ])?;
    let above = look("--pid", running.pid(), &["--min-table", &(bytes + 1).to_string()])?;
    ensure!(above.code == 0 && above.lines.is_empty(), "{:?}", above.lines);
    Ok(())
}

fn many_areas() -> anyhow::Result<()> {
    let number = limit::mappings().min(100_000);
    let trigger = holder(&["--areas", &number.to_string()])?;
    let areas = std::fs::read_to_string(format!("/proc/{}/maps", trigger.pid()))?.lines().count();
    ensure!(areas as u64 >= number, "{areas} areas");
    let scan = look("--pid", trigger.pid(), &["--min-table", "16MiB", "--min-confidence", "low"])?;
    scan.of(trigger.pid().into())?.expect(&[("bytes", length(large_element()).into())])
}

fn vanishing() -> anyhow::Result<()> {
    let mut trigger = Trigger::ready(&["burst", "--count", "3000"])?;
    trigger.act()?;
    for _ in 0..20 {
        let scan = look("--tree", trigger.pid(), &ANY)?;
        ensure!(scan.code <= 1 && !scan.errors.contains("not seen"), "{}: {}", scan.code, scan.errors);
    }
    Ok(())
}

/// Every one of them is looked at, by scan and by audit.
fn crowd() -> anyhow::Result<()> {
    const PROCESSES: usize = 10_000;
    let mut trigger = Trigger::ready(&["hold", "--workers", &PROCESSES.to_string()])?;
    trigger.act_and_hold()?;
    let scan = look("--tree", trigger.pid(), &[])?;
    let scanned = format!("processes scanned: {},", PROCESSES + 1);
    ensure!(scan.code == 0 && scan.errors.contains(&scanned), "{}: {}", scan.code, scan.errors);
    let mut command = Command::new(locate::memwatch()?);
    let audit = command.args(["audit", "--output", "json"]).output()?;
    let text = String::from_utf8_lossy(&audit.stdout);
    let first = Line::parse(text.lines().next().context("audit says nothing")?)?;
    ensure!(first.number("memwatch.audit.processes")? >= PROCESSES as u64, "{first}");
    Ok(())
}

fn without_rights() -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    let trigger = holder(&[])?;
    // The build output may lie where only its owner can go.
    let scratch = Scratch::new()?;
    let program = scratch.path().join("memwatch");
    std::fs::copy(locate::memwatch()?, &program)?;
    let pid = trigger.pid().to_string();
    let scan = Scan::run_as(&program, &["--pid", &pid, "--min-table", "1MiB"], |command| {
        command.uid(NOBODY).gid(NOBODY);
    })?;
    let [line] = &scan.lines[..] else { anyhow::bail!("{:?}", scan.lines) };
    line.expect(&[("kind", "scan_memory".into()), ("count", 1.into())])?;
    ensure!(scan.code == 3 && scan.errors.contains("CAP_SYS_PTRACE"), "{}: {}", scan.code, scan.errors);
    Ok(())
}

fn cgroup() -> anyhow::Result<()> {
    let (group, empty) = (Group::new("scan")?, Group::new("scan-empty")?);
    let inner = group.child("inner")?;
    let trigger = holder(&[])?;
    std::fs::write(inner.path().join("cgroup.procs"), trigger.pid().to_string())?;
    for path in [group.path(), inner.path()] {
        let path = path.to_string_lossy().into_owned();
        let options: Vec<&str> = ["--cgroup", &path].into_iter().chain(ANY).collect();
        let scan = Scan::run(&options)?;
        scan.of(trigger.pid().into())?;
        ensure!(scan.errors.contains("processes scanned: 1,"), "{}", scan.errors);
    }
    let path = empty.path().to_string_lossy().into_owned();
    let scan = Scan::run(&["--cgroup", &path])?;
    ensure!(
        scan.code == 2 && scan.errors.contains("no process is in cgroup"),
        "{}: {}",
        scan.code,
        scan.errors
    );
    Ok(())
}

fn names() -> anyhow::Result<()> {
    let element = length(8).to_string();
    let name = "--name=1b5b324a1b5b33316d0aff22";
    let mut trigger = Trigger::ready_with_descriptors(&["named", name, "--bytes", &element], limit::table())?;
    trigger.act()?;
    let comm = format!("/proc/{}/comm", trigger.pid());
    eventually(PATIENCE, "the name is set", || {
        std::fs::read(&comm).is_ok_and(|comm| comm.starts_with(b"\x1b"))
    })?;
    let mut command = Command::new(locate::memwatch()?);
    command.args(["scan", "--output", "table", "--pid", &trigger.pid().to_string()]).args(ANY);
    let mut running = Running::start(&mut command)?;
    let lines = running.rest(PATIENCE)?;
    ensure!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
    look("--pid", trigger.pid(), &ANY)?;
    Ok(())
}

fn wrong_usage() -> anyhow::Result<()> {
    // The largest id that a kernel gives is 2^22.
    for (options, text) in [
        (&["--pid", "4194305"][..], "there is no process"),
        (&["--tree", "4194305"], "there is no process"),
        (&["--cgroup", "/memwatch-tests-none"], "no process is in cgroup"),
        (&["--cgroup", "/a/../b"], "holds `..`"),
        (&["--min-table", "many"], "is not a size"),
        (&["--min-confidence", "sure"], "possible values"),
    ] {
        let scan = Scan::run(options)?;
        ensure!(scan.code == 2 && scan.lines.is_empty(), "{options:?} ended with {}", scan.code);
        ensure!(scan.errors.contains(text), "{options:?}: {}", scan.errors);
    }
    Ok(())
}
