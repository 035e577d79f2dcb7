//! Real programs as units of systemd's with the limit of the incidents: the finding names the limit, the element and the
//! unit, and a rule for the unit's group acts there and nowhere else.

use anyhow::{Context as _, ensure};

use super::programs::{ERLANG, HAPROXY, PYTHON, RPCBIND, SLAPD, SQUID};
use crate::case::Case;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::tracer::{Attached, Run, Tracer, eventually};
use crate::unit::Unit;

macro_rules! needs {
    ($program:literal) => {
        &[Need::Root, Need::Tracing, Need::Systemd, Need::Descriptors(limit::HUGE), Need::Program($program)]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::alone("units::uwsgi_killed_before_the_first_touch", needs!("usr/bin/uwsgi-core"), mapped),
    Case::alone("units::uwsgi_killed_at_64_mib_touched", needs!("usr/bin/uwsgi-core"), touched),
    Case::alone("units::uwsgi_refused", needs!("usr/bin/uwsgi-core"), refused),
    Case::alone("units::rpcbind_is_left_alone", needs!("usr/sbin/rpcbind"), rpcbind),
    Case::alone("units::slapd", needs!("usr/sbin/slapd"), || killed("slapd", SLAPD, "slapd", 56)),
    Case::alone("units::squid", needs!("usr/sbin/squid"), || killed("squid", SQUID, "squid", 432)),
    Case::alone("units::haproxy", needs!("usr/sbin/haproxy"), || killed("haproxy", HAPROXY, "haproxy", 128)),
    Case::alone("units::erlang", needs!("usr/bin/erl"), || killed("erlang", ERLANG, "beam.smp", 16)),
    Case::alone("units::python", needs!("usr/bin/python3"), || killed("python", PYTHON, "python3.11", 8)),
    Case::alone("units::whole_host_is_no_scope", needs!("usr/bin/python3"), no_scope),
];

const MIB: u64 = 1 << 20;

/// The neighbour's limit: its table, of the same program, is larger than any bound and fits a guest's memory.
const NEIGHBOUR: u64 = 16_000_003;

fn uwsgi(port: u32) -> String {
    format!(
        "exec uwsgi-core --plugin http --plugin python3 --http 127.0.0.1:{port} --socket 127.0.0.1:{} --master",
        port + 1
    )
}

/// A tracer with a rule for the unit.
fn tracer(unit: &Unit, rule: &[&str]) -> anyhow::Result<Attached> {
    let group = unit.cgroup();
    Tracer::new(&[&["--cgroup", &group, "--event", "fd_table,action,exit,rlimit_read"], rule].concat())?
        .attach()
}

/// Checks what a finding must name.
fn names(line: &Line, unit: &Unit, element: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("limit", limit::HUGE.into()),
        ("element_bytes", element.into()),
        ("memwatch.unit", unit.name().into()),
        ("memwatch.cgroup.path", unit.cgroup().into()),
    ])
}

/// Runs uWSGI in a unit under a rule, and beside it the same in a unit that no rule names. Gives what the tracer said until
/// the process that the rule acted on had ended, and the act.
fn uwsgi_under(rule: &[&str]) -> anyhow::Result<(Run, Line)> {
    let neighbour = Unit::waiting("neighbour", NEIGHBOUR, &uwsgi(8090))?;
    let unit = Unit::waiting("uwsgi", limit::HUGE, &uwsgi(8080))?;
    let mut tracer = tracer(&unit, rule)?;
    neighbour.go()?;
    let table = NEIGHBOUR * 8;
    eventually(crate::child::PATIENCE, "the neighbour has touched its table", || {
        neighbour.resident() >= table
    })?;
    let known = neighbour.pids();
    unit.go()?;
    let act = tracer.wait_for("action", |_| true)?;
    tracer.wait_for("exit", |line| line.pid() == act.pid())?;
    drop(unit);
    ensure!(
        neighbour.pids() == known,
        "of the neighbour's processes {known:?} are left {:?}",
        neighbour.pids()
    );
    ensure!(neighbour.resident() >= table, "the neighbour has {} bytes resident", neighbour.resident());
    let run = tracer.interrupt()?.succeeded()?;
    run.none("action", |line| !line.text("memwatch.unit").is_ok_and(|unit| unit.contains("uwsgi")))?;
    Ok((run, act))
}

/// The finding about the process that was acted on.
fn acted_on<'a>(run: &'a Run, act: &Line) -> anyhow::Result<&'a Line> {
    let line = run.first("fd_table", |line| line.pid() == act.pid())?;
    line.expect(&[
        ("limit", limit::HUGE.into()),
        ("element_bytes", 8.into()),
        ("memwatch.unit", "memwatch-test-uwsgi.service".into()),
    ])?;
    ensure!(line.text("advice")?.contains("max-fd"), "the advice does not name the setting: {line}");
    ensure!(line.number("learned_by_pid")? != line.pid(), "the master reads, its child maps: {line}");
    Ok(line)
}

/// Bytes of its table that a process had resident when it died of the rule's signal.
fn at_death(run: &Run, act: &Line) -> anyhow::Result<u64> {
    let exit = run.first("exit", |line| line.pid() == act.pid())?;
    exit.expect(&[("signal", "SIGKILL".into())])?;
    exit.number("fd_table_touched_bytes")
}

fn mapped() -> anyhow::Result<()> {
    let (run, act) = uwsgi_under(&["--act", "signal-mapped"])?;
    acted_on(&run, &act)?;
    let touched = at_death(&run, &act)?;
    ensure!(touched == 0, "{touched} bytes were touched before the signal");
    Ok(())
}

fn touched() -> anyhow::Result<()> {
    let (run, act) = uwsgi_under(&["--act", "signal-touched", "--act-touched", "64MiB"])?;
    acted_on(&run, &act)?;
    let touched = at_death(&run, &act)?;
    // A page may be a huge one, and the kernel's counter lags by some dozens of pages per CPU.
    ensure!((64 * MIB..72 * MIB).contains(&touched), "{touched} bytes touched at a bound of 64 MiB");
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    let (run, act) = uwsgi_under(&["--act", "refuse"])?;
    let line = acted_on(&run, &act)?;
    line.expect(&[("state", "failed".into()), ("error", "ENOMEM".into())])?;
    run.first("exit", |line| line.pid() == act.pid())?.expect(&[("fd_table_bytes", 0.into())])
}

fn rpcbind() -> anyhow::Result<()> {
    let unit = Unit::waiting("rpcbind", limit::HUGE, RPCBIND)?;
    let mut tracer = tracer(&unit, &["--act", "signal-touched", "--act-touched", "64MiB"])?;
    unit.go()?;
    let line = tracer.wait_for("fd_table", |_| true)?;
    names(&line, &unit, 8)?;
    line.expect(&[("state", "mapped".into())])?;
    // As long as it takes others to touch gibibytes.
    std::thread::sleep(std::time::Duration::from_secs(10));
    ensure!(unit.pids().contains(&u32::try_from(line.pid())?), "it is gone: {line}");
    tracer.interrupt()?.succeeded()?.none("action", |_| true)
}

/// A program that is killed before it touches its first table.
fn killed(name: &str, script: &str, program: &str, element: u64) -> anyhow::Result<()> {
    let unit = Unit::waiting(name, limit::HUGE, script)?;
    let mut tracer = tracer(&unit, &["--act", "signal-mapped"])?;
    unit.go()?;
    let act = tracer.wait_for("action", |_| true)?;
    tracer.wait_for("exit", |line| line.pid() == act.pid())?;
    let run = tracer.interrupt()?.succeeded()?;
    let line = run.first("fd_table", |line| line.pid() == act.pid())?;
    names(line, &unit, element)?;
    let path = line.text("process.executable.path").context("an executable")?;
    ensure!(path.ends_with(program), "{path} is not {program}: {line}");
    let touched = at_death(&run, &act)?;
    ensure!(touched < MIB, "{touched} bytes were touched before the signal");
    Ok(())
}

fn no_scope() -> anyhow::Result<()> {
    // The second holds the tests, and memwatch with them.
    for (group, reason) in [("/", "the whole host"), ("/system.slice", "memwatch itself")] {
        let mut running = Tracer::new(&["--cgroup", group, "--act", "signal-mapped"])?.start()?;
        let status = running.wait(crate::child::PATIENCE)?;
        let errors = running.errors();
        ensure!(!status.success() && errors.contains(reason), "{group}: {status}: {errors}");
    }
    Ok(())
}
