//! Real programs as units of systemd's with the limit of the incidents: the finding names the limit, the element and the
//! unit, and a rule for the unit's group acts there and nowhere else, in each of its ways.

use anyhow::ensure;

use super::programs::{ERLANG, HAPROXY, PYTHON, RPCBIND, SLAPD, SQUID};
use crate::case::Case;
use crate::child::PATIENCE;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::report;
use crate::tracer::{Attached, Run, Tracer, eventually};
use crate::unit::Unit;

macro_rules! needs {
    ($program:literal $(, $more:expr)?) => {
        &[
            Need::Root,
            Need::Tracing,
            Need::Systemd,
            Need::Descriptors(limit::HUGE),
            Need::Program($program),
            $($more)?
        ]
    };
}

/// A row for each way to act on a program.
macro_rules! acts {
    ($($name:literal, $place:literal, $program:ident;)*) => {
        &[
            $(
                Case::alone(concat!("units::", $name, "_killed_before_the_first_touch"), needs!($place), || mapped(&$program)),
                Case::alone(concat!("units::", $name, "_killed_at_64_mib_touched"), needs!($place), || touched(&$program)),
                Case::alone(concat!("units::", $name, "_refused"), needs!($place, Need::Feature("fmod_ret_security")), || refused(&$program)),
            )*
            Case::alone("units::rpcbind_is_left_alone", needs!("usr/sbin/rpcbind"), rpcbind),
            Case::alone("units::whole_host_is_no_scope", needs!("usr/bin/python3"), no_scope),
        ]
    };
}

pub(super) const CASES: &[Case] = acts! {
    "uwsgi", "usr/bin/uwsgi-core", OF_UWSGI;
    "slapd", "usr/sbin/slapd", OF_SLAPD;
    "squid", "usr/sbin/squid", OF_SQUID;
    "haproxy", "usr/sbin/haproxy", OF_HAPROXY;
    "erlang", "usr/bin/erl", OF_ERLANG;
    "python", "usr/bin/python3", OF_PYTHON;
};

/// A program that sizes a table by its limit.
struct Program {
    /// What its unit is called.
    name: &'static str,
    script: &'static str,
    /// What stands at the end of its path.
    executable: &'static str,
    /// Bytes of its first table for each descriptor.
    element: u64,
    /// The same program as it runs beside in a unit that no rule names, where a guest's memory is enough for both.
    neighbour: Option<&'static str>,
}

macro_rules! uwsgi {
    ($port:literal, $socket:literal) => {
        concat!(
            "exec uwsgi-core --plugin http --plugin python3 --http 127.0.0.1:",
            $port,
            " --socket 127.0.0.1:",
            $socket,
            " --master"
        )
    };
}

const fn program(
    name: &'static str,
    script: &'static str,
    executable: &'static str,
    element: u64,
) -> Program {
    Program { name, script, executable, element, neighbour: None }
}

const OF_UWSGI: Program = Program {
    neighbour: Some(uwsgi!("8090", "8091")),
    ..program("uwsgi", uwsgi!("8080", "8081"), "uwsgi-core", 8)
};
const OF_SLAPD: Program = program("slapd", SLAPD, "slapd", 56);
const OF_SQUID: Program = program("squid", SQUID, "squid", 432);
const OF_HAPROXY: Program = program("haproxy", HAPROXY, "haproxy", 128);
const OF_ERLANG: Program = program("erlang", ERLANG, "beam.smp", 16);
const OF_PYTHON: Program = program("python", PYTHON, "python3.11", 8);

const MIB: u64 = 1 << 20;

/// The neighbour's limit: its table is larger than any bound and fits a guest's memory.
const NEIGHBOUR: u64 = 16_000_003;

/// A tracer with a rule for the unit.
fn tracer(unit: &Unit, rule: &[&str]) -> anyhow::Result<Attached> {
    let group = unit.cgroup();
    Tracer::new(&[&["--cgroup", &group, "--event", "fd_table,action,exit,rlimit_read"], rule].concat())?
        .attach()
}

/// Checks what a finding must name.
fn names(line: &Line, unit: &str, element: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("limit", limit::HUGE.into()),
        ("element_bytes", element.into()),
        ("memwatch.unit", unit.into()),
        ("memwatch.cgroup.path", format!("/system.slice/{unit}").into()),
    ])
}

/// What a rule did to a program.
struct Acted {
    run: Run,
    /// The process that the rule acted on.
    pid: u64,
}

impl Acted {
    /// The finding that led to the act.
    fn finding(&self) -> anyhow::Result<&Line> {
        self.run.first("fd_table", |line| line.pid() == self.pid)
    }

    /// The end of the process.
    fn exit(&self) -> anyhow::Result<&Line> {
        self.run.first("exit", |line| line.pid() == self.pid)
    }

    /// Bytes of its table that the process had resident when it died of the rule's signal.
    fn at_death(&self) -> anyhow::Result<u64> {
        let exit = self.exit()?;
        exit.expect(&[("signal", "SIGKILL".into())])?;
        exit.number("fd_table_touched_bytes")
    }
}

/// A unit that no rule names, with a program that has touched all of its table.
struct Neighbour {
    unit: Unit,
    pids: Vec<u32>,
}

impl Neighbour {
    const TABLE: u64 = NEIGHBOUR * 8;

    fn start(script: &str) -> anyhow::Result<Self> {
        let unit = Unit::waiting("neighbour", NEIGHBOUR, script)?;
        unit.go()?;
        eventually(PATIENCE, "the neighbour has touched its table", || unit.resident() >= Self::TABLE)?;
        let pids = unit.pids();
        Ok(Self { unit, pids })
    }

    fn is_untouched(&self) -> anyhow::Result<()> {
        let (known, left) = (&self.pids, self.unit.pids());
        ensure!(left == *known, "of the neighbour's processes {known:?} are left {left:?}");
        let resident = self.unit.resident();
        ensure!(resident >= Self::TABLE, "the neighbour has {resident} bytes resident");
        Ok(())
    }
}

/// Runs a program in a unit under a rule until the process that the rule acted on has ended; checks that the finding names
/// all and that its neighbour lives.
fn under(program: &Program, rule: &[&str]) -> anyhow::Result<Acted> {
    let unit = Unit::waiting(program.name, limit::HUGE, program.script)?;
    let name = unit.name().to_owned();
    let mut tracer = tracer(&unit, rule)?;
    let neighbour = program.neighbour.map(Neighbour::start).transpose()?;
    unit.go()?;
    let act = tracer.wait_for("action", |_| true)?;
    tracer.wait_for("exit", |line| line.pid() == act.pid())?;
    drop(unit);
    if let Some(neighbour) = neighbour {
        neighbour.is_untouched()?;
    }
    let run = tracer.interrupt()?.succeeded()?;
    run.none("action", |line| !line.is("memwatch.unit", name.as_str()))?;
    let acted = Acted { run, pid: act.pid() };
    let line = acted.finding()?;
    names(line, &name, program.element)?;
    let path = line.text("process.executable.path")?;
    ensure!(path.ends_with(program.executable), "{path} is not {}: {line}", program.executable);
    if program.executable == "uwsgi-core" {
        ensure!(line.text("advice")?.contains("max-fd"), "the advice does not name the setting: {line}");
        ensure!(line.number("learned_by_pid")? != line.pid(), "the master reads, its child maps: {line}");
    }
    Ok(acted)
}

fn mapped(program: &Program) -> anyhow::Result<()> {
    let touched = under(program, &["--act", "signal-mapped"])?.at_death()?;
    report::record(format!("{}, killed before the first touch", program.name), touched);
    ensure!(touched == 0, "{touched} bytes were touched before the signal");
    Ok(())
}

fn touched(program: &Program) -> anyhow::Result<()> {
    let touched = under(program, &["--act", "signal-touched", "--act-touched", "64MiB"])?.at_death()?;
    report::record(format!("{}, killed at 64 MiB touched", program.name), touched);
    // A page may be a huge one, and a fault may be counted on each CPU before the signal arrives.
    ensure!((64 * MIB..72 * MIB).contains(&touched), "{touched} bytes touched at a bound of 64 MiB");
    Ok(())
}

fn refused(program: &Program) -> anyhow::Result<()> {
    let acted = under(program, &["--act", "refuse"])?;
    acted.finding()?.expect(&[("state", "failed".into()), ("error", "ENOMEM".into())])?;
    let exit = acted.exit()?;
    report::record(format!("{}, refused", program.name), exit.number("fd_table_touched_bytes")?);
    exit.expect(&[("fd_table_bytes", 0.into())])?;
    // Refused, malloc asks in other ways: whoever had its table by one of them would touch it.
    let most = exit.number("max_rss_bytes")?;
    ensure!(most < 512 * MIB, "{most} bytes were resident: it had its table after all: {exit}");
    Ok(())
}

fn rpcbind() -> anyhow::Result<()> {
    let unit = Unit::waiting("rpcbind", limit::HUGE, RPCBIND)?;
    let mut tracer = tracer(&unit, &["--act", "signal-touched", "--act-touched", "64MiB"])?;
    unit.go()?;
    let line = tracer.wait_for("fd_table", |_| true)?;
    names(&line, unit.name(), 8)?;
    line.expect(&[("state", "mapped".into())])?;
    // As long as it takes others to touch gibibytes.
    std::thread::sleep(std::time::Duration::from_secs(10));
    ensure!(unit.pids().contains(&u32::try_from(line.pid())?), "it is gone: {line}");
    tracer.interrupt()?.succeeded()?.none("action", |_| true)
}

fn no_scope() -> anyhow::Result<()> {
    // The second holds the tests, and memwatch with them.
    for (group, reason) in [("/", "the whole host"), ("/system.slice", "memwatch itself")] {
        let mut running = Tracer::new(&["--cgroup", group, "--act", "signal-mapped"])?.start()?;
        let status = running.wait(PATIENCE)?;
        let errors = running.errors();
        ensure!(!status.success() && errors.contains(reason), "{group}: {status}: {errors}");
    }
    Ok(())
}
