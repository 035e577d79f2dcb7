//! `memwatch daemon` with a rule on fd tables, on uWSGI in a unit with the limit of the incidents: what each action does to the
//! process that asks for the table, and what becomes of a master that starts it again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;

use super::daemon::Stage;
use super::units::{BOUND, Neighbour, OF_UWSGI, UWSGI};
use crate::case::Case;
use crate::child::PATIENCE;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::report;
use crate::tracer::eventually;
use crate::unit::Unit;

macro_rules! needs {
    ($($more:expr)?) => {
        &[
            Need::Root,
            Need::Tracing,
            Need::InitialPids,
            Need::Systemd,
            Need::Descriptors(limit::HUGE),
            Need::Program("usr/bin/uwsgi-core"),
            $($more)?
        ]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::alone("tables::uwsgi_is_killed_before_the_first_touch", needs!(), mapped),
    Case::alone("tables::uwsgi_is_killed_at_64_mib_touched", needs!(), touched),
    Case::alone("tables::uwsgi_is_refused", needs!(Need::Feature("fmod_ret_security")), refused),
    Case::alone("tables::uwsgi_that_starts_its_router_again_is_stopped_over", needs!(), stopped_over),
    Case::alone("tables::uwsgi_goes_as_a_unit_and_is_not_started_again", needs!(), unit_stopped),
    Case::alone("tables::uwsgi_goes_as_a_cgroup_in_the_end", needs!(Need::Kernel(5, 14)), taken_as_one),
];

const MIB: u64 = 1 << 20;

/// A number of descriptors whose table fits a guest's memory and is more than the bound.
const BEARABLE: u64 = 16_000_003;

/// uWSGI in a unit, with a daemon that has a rule for it and for nobody else.
struct Scene {
    unit: Unit,
    neighbour: Neighbour,
    stage: Stage<()>,
}

impl Scene {
    /// Starts both, and then has uWSGI go.
    fn start(descriptors: u64, rule: &str) -> anyhow::Result<Self> {
        Self::on(Unit::waiting("uwsgi", descriptors, UWSGI)?, rule)
    }

    /// The same in this unit.
    fn on(unit: Unit, rule: &str) -> anyhow::Result<Self> {
        let policy = format!(
            "mode = \"enforce\"\n[growth]\nenabled = false\n[[scope]]\nname = \"unit\"\ncgroup = \"{}\"\n\
             [[fd_table]]\nname = \"uwsgi\"\nmatch = {{ exe = \"uwsgi*\" }}\n{rule}",
            unit.cgroup()
        );
        let neighbour = Neighbour::start(&OF_UWSGI)?;
        let stage = Stage::new((), &policy, &[])?;
        unit.go()?;
        Ok(Self { unit, neighbour, stage })
    }

    /// The first decision about a table.
    fn decided(&mut self) -> anyhow::Result<Line> {
        self.stage.wait_for("decision", |line| line.is("memwatch.decision.rule", "fd_table"))
    }

    /// How a decision ended.
    fn closed(&mut self, decision: &Line) -> anyhow::Result<Line> {
        let id = decision.number("memwatch.decision.id")?;
        self.stage.wait_for("closing", |line| line.number("memwatch.decision.id").is_ok_and(|it| it == id))
    }

    /// Ends the daemon; its neighbour was none of its business, and neither was anybody else.
    fn end(self) -> anyhow::Result<Vec<Line>> {
        self.neighbour.is_untouched()?;
        let group = self.unit.cgroup();
        let lines = self.stage.end()?;
        for line in lines.iter().filter(|line| line.name() == "decision") {
            ensure!(line.is("memwatch.cgroup.path", group.as_str()), "about somebody else: {line}");
        }
        Ok(lines)
    }
}

fn mapped() -> anyhow::Result<()> {
    let mut scene = Scene::start(limit::HUGE, "action = \"signal-mapped\"\nrounds = 100\n")?;
    let decision = scene.decided()?;
    decision.expect(&[
        ("memwatch.decision.gravity", "kill".into()),
        ("memwatch.decision.signal", "SIGKILL".into()),
        ("memwatch.decision.touched_bytes", 0.into()),
    ])?;
    scene.closed(&decision)?.expect(&[("memwatch.closing.ending", "returned".into())])?;
    let resident = scene.unit.resident();
    report::record("uwsgi, killed by the daemon before the first touch", resident);
    ensure!(resident < BOUND, "{resident} bytes are resident of a process");
    scene.end().map(drop)
}

fn touched() -> anyhow::Result<()> {
    let rule = "action = \"signal-touched\"\ntouched = \"64MiB\"\nsignal = \"SIGKILL\"\nrounds = 100\n";
    let mut scene = Scene::start(limit::HUGE, rule)?;
    let decision = scene.decided()?;
    decision.expect(&[("memwatch.decision.gravity", "kill".into())])?;
    let touched = decision.number("memwatch.decision.touched_bytes")?;
    report::record("uwsgi, killed by the daemon at 64 MiB touched", touched);
    ensure!((BOUND..512 * MIB).contains(&touched), "{touched} bytes touched at a bound of 64 MiB");
    scene.closed(&decision)?.expect(&[
        ("memwatch.closing.ending", "returned".into()),
        ("memwatch.closing.was_killed", true.into()),
    ])?;
    scene.end().map(drop)
}

fn refused() -> anyhow::Result<()> {
    let mut scene = Scene::start(limit::HUGE, "action = \"refuse\"\n")?;
    let decision = scene.decided()?;
    decision.expect(&[
        ("memwatch.decision.gravity", "refuse".into()),
        ("memwatch.decision.signal", "ENOMEM".into()),
    ])?;
    scene.closed(&decision)?.expect(&[
        ("memwatch.closing.ending", "refused".into()),
        ("memwatch.closing.was_killed", false.into()),
    ])?;
    // As long as it takes to touch gibibytes, and longer than who is asked to leave has.
    std::thread::sleep(Duration::from_secs(12));
    let resident = scene.unit.resident();
    ensure!(resident < 512 * MIB, "{resident} bytes are resident: it had its table after all");
    let lines = scene.end()?;
    let killed = lines.iter().find(|line| line.is("memwatch.closing.was_killed", true));
    ensure!(killed.is_none(), "it was killed besides: {killed:?}");
    Ok(())
}

/// Three routers are killed, the next one is let live, and that is said.
fn stopped_over() -> anyhow::Result<()> {
    let mut scene = Scene::start(BEARABLE, "action = \"signal-mapped\"\nrounds = 3\n")?;
    scene.stage.wait_for("warning", |line| line.is("memwatch.warning.kind", "stopped"))?;
    eventually(PATIENCE, "a router has its table", || scene.unit.resident() > BOUND)?;
    let pids = || scene.unit.pids().into_iter().collect::<BTreeSet<u32>>();
    let before = pids();
    std::thread::sleep(Duration::from_secs(10));
    ensure!(pids() == before, "of {before:?} are left {:?}", pids());
    let lines = scene.end()?;
    let victims: BTreeSet<u64> =
        lines.iter().filter(|line| line.name() == "decision").map(Line::pid).collect();
    // One more may have asked before the word reached the kernel.
    ensure!((3..=4).contains(&victims.len()), "{victims:?} were killed");
    Ok(())
}

/// A unit that systemd would start again is stopped by systemd.
fn unit_stopped() -> anyhow::Result<()> {
    let rule = "action = \"signal-mapped\"\nrounds = 2\nthen = \"unit\"\n";
    let mut scene = Scene::on(Unit::returning("uwsgi", BEARABLE, UWSGI)?, rule)?;
    let decision = scene.stage.wait_for("decision", |line| line.is("memwatch.decision.rule", "respawn"))?;
    decision.expect(&[("memwatch.decision.gravity", "stop_unit".into())])?;
    eventually(PATIENCE, "the unit is empty", || scene.unit.pids().is_empty())?;
    // Ten times what systemd waits before it starts it again.
    std::thread::sleep(Duration::from_secs(1));
    ensure!(scene.unit.pids().is_empty(), "it was started again");
    scene.end().map(drop)
}

fn taken_as_one() -> anyhow::Result<()> {
    let rule = "action = \"signal-mapped\"\nrounds = 2\nthen = \"cgroup\"\n";
    let mut scene = Scene::start(BEARABLE, rule)?;
    let decision = scene.stage.wait_for("decision", |line| line.is("memwatch.decision.rule", "respawn"))?;
    decision.expect(&[("memwatch.decision.gravity", "kill_cgroup".into())])?;
    eventually(PATIENCE, "the unit is empty", || scene.unit.pids().is_empty())?;
    scene.end().map(drop)
}
