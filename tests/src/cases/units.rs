//! Real programs as units of systemd's with the limit of the incidents: the finding names the limit, the element and the
//! unit, and a rule for the unit's group acts there and nowhere else, in each of its ways.

use anyhow::{Context as _, ensure};

use super::programs::{CUPSD, ERLANG, HAPROXY, RPCBIND, SLAPD, SQUID};
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
            Case::alone("units::rpcbind_killed_before_the_first_touch", needs!("usr/sbin/rpcbind"), || mapped(&OF_RPCBIND)),
            Case::alone("units::rpcbind_refused", needs!("usr/sbin/rpcbind", Need::Feature("fmod_ret_security")), || refused(&OF_RPCBIND)),
            Case::alone("units::rpcbind_is_left_alone", needs!("usr/sbin/rpcbind"), || left_alone(&OF_RPCBIND, limit::HUGE)),
            Case::alone("units::cupsd_is_left_alone", needs!("usr/sbin/cupsd"), || left_alone(&OF_CUPSD, OF_EVENTS)),
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
pub(super) struct Program {
    /// What its unit is called.
    name: &'static str,
    script: &'static str,
    /// What stands at the end of its path.
    executable: &'static str,
    /// What it is called when it asks for its table.
    comm: &'static str,
    /// Bytes of its first table for each descriptor.
    element: u64,
    /// The same program in a unit that no rule names; one that is only ever left alone has none.
    neighbour: Option<Other>,
}

/// How a program's neighbour is started, and what shows that it has its table.
pub(super) struct Other {
    script: &'static str,
    descriptors: u64,
    /// Bytes that it maps, and never touches; 0 for one that touches more than any bound, of what fits a guest's memory.
    mapped: u64,
}

/// One that touches its table.
const fn touching(script: &'static str, descriptors: u64) -> Option<Other> {
    Some(Other { script, descriptors, mapped: 0 })
}

pub(super) const OF_UWSGI: Program = Program {
    name: "uwsgi",
    script: UWSGI,
    executable: "uwsgi-core",
    comm: "uwsgi-core",
    element: 8,
    neighbour: touching(UWSGI, 16_000_003),
};
const OF_SLAPD: Program = Program {
    name: "slapd",
    script: SLAPD,
    executable: "slapd",
    comm: "slapd",
    element: 56,
    neighbour: touching(SLAPD, 200_003),
};
const OF_SQUID: Program = Program {
    name: "squid",
    script: SQUID,
    executable: "squid",
    comm: "squid",
    element: 432,
    neighbour: touching(SQUID, 700_003),
};
const OF_HAPROXY: Program = Program {
    name: "haproxy",
    script: HAPROXY,
    executable: "haproxy",
    comm: "haproxy",
    element: 128,
    neighbour: touching(HAPROXY, 2_000_003),
};
const OF_ERLANG: Program = Program {
    name: "erlang",
    script: ERLANG,
    executable: "beam.smp",
    comm: "beam.smp",
    element: 16,
    neighbour: touching(ERLANG, 8_000_003),
};
const OF_PYTHON: Program = Program {
    name: "python",
    script: PYTHON,
    executable: "python3.11",
    comm: "python3",
    element: 8,
    neighbour: touching(PYTHON, 16_000_003),
};
/// Never touches its table, and neither does its neighbour, which has as large a one.
const OF_RPCBIND: Program = Program {
    name: "rpcbind",
    script: RPCBIND,
    executable: "rpcbind",
    comm: "rpcbind",
    element: 8,
    neighbour: Some(Other { script: RPCBIND_APART, descriptors: limit::HUGE, mapped: 8 * limit::HUGE }),
};
/// Never touches its table.
const OF_CUPSD: Program = Program {
    name: "cupsd",
    script: CUPSD,
    executable: "cupsd",
    comm: "cupsd",
    element: 12,
    neighbour: None,
};

/// A second one does not start where the first one has its lock and its socket.
const RPCBIND_APART: &str =
    "exec unshare --mount /bin/sh -c 'mount -t tmpfs none /run && exec rpcbind -f -w'";

pub(super) const UWSGI: &str =
    "exec uwsgi-core --plugin http --plugin python3 --http 127.0.0.1:8080 --socket 127.0.0.1:8081 --master";
/// Stays when it has its table, unlike the one that is started by hand.
const PYTHON: &str = "exec python3 -c 'import array, resource, time
n = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
table = array.array(\"q\", [0]) * n
time.sleep(300)'";

const MIB: u64 = 1 << 20;

/// cupsd waits for an event of each descriptor at once; at the limit of the incidents the kernel refuses so many
/// (`EP_MAX_EVENTS`, fs/eventpoll.c), and cupsd ends.
const OF_EVENTS: u64 = 1 << 26;

/// The bound on touched memory.
pub(super) const BOUND: u64 = 64 * MIB;

/// The rule on touched memory.
const TOUCH_RULE: &[&str] = &["--act", "signal-touched", "--act-touched", "64MiB"];

/// A tracer with a rule for the unit.
fn tracer(unit: &Unit, rule: &[&str]) -> anyhow::Result<Attached> {
    let group = unit.cgroup();
    Tracer::new(&[&["--cgroup", &group, "--event", "fd_table,action,exit,rlimit_read"], rule].concat())?
        .attach()
}

/// Checks what a finding must name.
fn names(line: &Line, unit: &str, element: u64, descriptors: u64) -> anyhow::Result<()> {
    line.expect(&[
        ("limit", descriptors.into()),
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

/// A unit that no rule names, with a program that has a table as a rule would act on.
pub(super) struct Neighbour {
    unit: Unit,
    other: &'static Other,
    pids: Vec<u32>,
}

impl Neighbour {
    pub(super) fn start(program: &'static Program) -> anyhow::Result<Self> {
        let other = program.neighbour.as_ref().context("no neighbour is known of this program")?;
        let unit = Unit::apart("neighbour", other.descriptors, other.script)?;
        unit.go()?;
        let is_it = |pid: &u32| {
            let path = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            path.to_string_lossy().ends_with(program.executable)
        };
        eventually(PATIENCE, "the neighbour is the same program and has its table", || {
            other.has_table(&unit) && unit.pids().iter().any(is_it)
        })?;
        let pids = unit.pids();
        Ok(Self { unit, other, pids })
    }

    pub(super) fn is_untouched(&self) -> anyhow::Result<()> {
        let (known, left) = (&self.pids, self.unit.pids());
        let gone: Vec<_> = known.iter().filter(|pid| !left.contains(pid)).collect();
        ensure!(gone.is_empty(), "of the neighbour's processes {known:?} are gone {gone:?}");
        let (resident, mapped) = (self.unit.resident(), self.unit.mapped());
        ensure!(
            self.other.has_table(&self.unit),
            "the neighbour has {resident} bytes resident and {mapped} mapped"
        );
        Ok(())
    }
}

impl Other {
    /// Whether it has its table, in this unit.
    fn has_table(&self, unit: &Unit) -> bool {
        if self.mapped > 0 { unit.mapped() >= self.mapped } else { unit.resident() > BOUND }
    }
}

/// Runs a program in a unit under a rule until the process that the rule acted on has ended; checks that the finding names
/// all and that its neighbour lives.
fn under(program: &'static Program, rule: &[&str]) -> anyhow::Result<Acted> {
    let unit = Unit::waiting(program.name, limit::HUGE, program.script)?;
    let name = unit.name().to_owned();
    let mut tracer = tracer(&unit, rule)?;
    let neighbour = Neighbour::start(program)?;
    unit.go()?;
    let act = tracer.wait_for("action", |_| true)?;
    let ended = tracer.wait_for("exit", |line| line.pid() == act.pid());
    ended.with_context(|| format!("after {act}; the unit has {} bytes resident", unit.resident()))?;
    drop(unit);
    neighbour.is_untouched()?;
    let run = tracer.interrupt()?.succeeded()?;
    run.none("action", |line| !line.is("memwatch.unit", name.as_str()))?;
    let acted = Acted { run, pid: act.pid() };
    let line = acted.finding()?;
    names(line, &name, program.element, limit::HUGE)?;
    let path = line.text("process.executable.path")?;
    ensure!(path.ends_with(program.executable), "{path} is not {}: {line}", program.executable);
    if program.executable == "uwsgi-core" {
        ensure!(line.text("advice")?.contains("max-fd"), "the advice does not name the setting: {line}");
        ensure!(line.number("learned_by_pid")? != line.pid(), "the master reads, its child maps: {line}");
    }
    Ok(acted)
}

fn mapped(program: &'static Program) -> anyhow::Result<()> {
    let touched = under(program, &["--act", "signal-mapped", "--comm", program.comm])?.at_death()?;
    report::record(&format!("{}, killed before the first touch", program.name), touched);
    ensure!(touched == 0, "{touched} bytes were touched before the signal");
    Ok(())
}

fn touched(program: &'static Program) -> anyhow::Result<()> {
    let acted = under(program, TOUCH_RULE)?;
    let touched = acted.at_death()?;
    report::record(&format!("{}, killed at 64 MiB touched", program.name), touched);
    // A page may be a huge one, and a fault may be counted on each CPU before the signal arrives.
    ensure!((BOUND..72 * MIB).contains(&touched), "{touched} bytes touched at a bound of 64 MiB");
    origin(acted.finding()?, program)
}

/// Who lives long enough after its finding is looked at: it names the unit's setting.
fn origin(line: &Line, program: &Program) -> anyhow::Result<()> {
    line.expect(&[
        ("limit_origin", "unit".into()),
        ("limit_origin_unit", format!("memwatch-test-{}.service", program.name).into()),
    ])?;
    let file = line.text("limit_origin_file")?;
    ensure!(file.starts_with("/run/systemd/transient/"), "the setting is in {file}: {line}");
    Ok(())
}

fn refused(program: &'static Program) -> anyhow::Result<()> {
    let acted = under(program, &["--act", "refuse", "--comm", program.comm])?;
    acted.finding()?.expect(&[("state", "failed".into()), ("error", "ENOMEM".into())])?;
    let exit = acted.exit()?;
    report::record(&format!("{}, refused", program.name), exit.number("fd_table_touched_bytes")?);
    exit.expect(&[("fd_table_bytes", 0.into())])?;
    // Refused, malloc asks in other ways: whoever had its table by one of them would touch it.
    let most = exit.number("max_rss_bytes")?;
    ensure!(most < 512 * MIB, "{most} bytes were resident: it had its table after all: {exit}");
    Ok(())
}

/// A program that never touches its table: the rule on touched memory lets it live.
fn left_alone(program: &Program, descriptors: u64) -> anyhow::Result<()> {
    let unit = Unit::waiting(program.name, descriptors, program.script)?;
    let mut tracer = tracer(&unit, TOUCH_RULE)?;
    unit.go()?;
    let line = tracer.wait_for("fd_table", |_| true)?;
    names(&line, unit.name(), program.element, descriptors)?;
    line.expect(&[("state", "mapped".into())])?;
    origin(&line, program)?;
    // As long as it takes others to touch gibibytes.
    std::thread::sleep(std::time::Duration::from_secs(10));
    let left = unit.pids();
    let run = tracer.interrupt()?.succeeded()?;
    run.none("action", |_| true)?;
    run.none("exit", |exit| exit.pid() == line.pid())?;
    ensure!(left.contains(&u32::try_from(line.pid())?), "it is gone: {line}");
    Ok(())
}

fn no_scope() -> anyhow::Result<()> {
    // The second holds the tests, and memwatch with them.
    for (group, reason) in [("/", "the whole host"), ("/system.slice", "memwatch itself")] {
        let rule = ["--cgroup", group, "--act", "signal-mapped", "--comm", "python3"];
        let mut running = Tracer::new(&rule)?.start()?;
        let status = running.wait(PATIENCE)?;
        let errors = running.errors();
        ensure!(!status.success() && errors.contains(reason), "{group}: {status}: {errors}");
    }
    Ok(())
}
