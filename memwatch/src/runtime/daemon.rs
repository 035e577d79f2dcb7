//! The loop of `memwatch daemon`: records and looks in, commands carried out.

mod desk;
mod intake;
mod metrics;
mod names;
mod obey;
mod pools;
mod push;
mod recorder;
mod reload;
mod rules;
mod scrape;
mod setup;
pub mod socket;
mod sweeps;
mod trees;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use memwatch_ebpf::abi::fault::FaultCode;
use memwatch_ebpf::abi::knobs::Rule;
use tokio::signal::unix::{SignalKind, signal};

use super::Notifier;
use super::exporters::Exporters;
use crate::act::{Actuator, Hooks};
use crate::config::Configuration;
use crate::core::detect::fd_table::FdTables;
use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Command, Engine, Figures, Holding, Host, Input, Mode, Outbox, Settings, TableAction,
};
use crate::core::quantity::{Bytes, Counted};
use crate::enrich::ledger::Ledger;
use crate::enrich::proc::ProcFs;
use crate::enrich::survey::SurveyError;
use crate::export::clock::Clock;
use crate::export::decision::Decisions;
use crate::export::route::Form;
use crate::measure::{
    Found, HoldingMeter, HostMeter, Pace, PressureTrigger, ProcessMeter, StrainMeter, Survey, headroom,
};
use crate::probe::attach::{HookStatus, Options, Probe};
use crate::source::Source;
use crate::sys::boot_ns;
use desk::Desk;
use intake::Intake;
use metrics::Metrics;
use names::Names;
use pools::Pools;
use recorder::Recorder;
pub use recorder::Tally;
use setup::{actuator, desk, floor, knobs, modified, own, pressure};
use sweeps::Sweeps;
use trees::Trees;

/// Time from a process's figures to the next look at the host, in nanoseconds.
const SEEN_NS: u64 = 1_000_000;
/// Time between looks at the configuration's file and at the loss counters.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What the daemon goes by.
#[derive(Debug)]
pub enum Policy {
    /// A configuration, read again when it changes.
    File(PathBuf),
    /// These settings, and no file.
    Fixed(Box<Settings>),
}

/// Where the daemon is asked.
#[derive(Debug)]
pub enum Socket {
    /// At the usual place, if that can be had.
    Usual,
    /// There.
    At(PathBuf),
    /// Nowhere.
    None,
}

/// What the daemon is started with.
#[derive(Debug)]
pub struct Start {
    /// What it goes by.
    pub policy: Policy,
    /// How to load the probe.
    pub options: Options,
    /// Form of what is told on standard output; `None`: nobody is told anything.
    pub form: Option<Form>,
    /// Where every input is written, for `memwatch replay`.
    pub record: Option<PathBuf>,
    /// Records only this cgroup and those below it.
    pub record_cgroup: Option<String>,
    /// Where it is asked who would go.
    pub socket: Socket,
    /// Ends after this time.
    pub duration: Option<Duration>,
}

/// Everything that the loop holds.
struct Daemon {
    start: Start,
    probe: Probe,
    /// `None`: trees are told by living ancestors.
    trees: Option<Arc<Trees>>,
    intake: Intake,
    engine: Engine,
    outbox: Outbox,
    actuator: Box<dyn Actuator>,
    host: HostMeter,
    meter: ProcessMeter,
    survey: Survey,
    holdings: HoldingMeter,
    /// Why a cgroup could not be read was told.
    is_unread_told: bool,
    pools: Pools,
    notifier: Notifier,
    pressure: Option<PressureTrigger>,
    pace: Pace,
    rules: Vec<Rule>,
    decisions: Decisions,
    exporters: Exporters,
    names: Names,
    metrics: Metrics,
    recorder: Option<Recorder>,
    inputs: Vec<Input>,
    sweeps: Sweeps,
    strain: StrainMeter,
    /// Use of the host at which something is to be done.
    bounds: Vec<u64>,
    /// The next look at the host, on the boot clock.
    look_ns: u64,
    hooks: Hooks,
    /// `None`: nobody can ask.
    desk: Option<Desk>,
    unanswered_told: u64,
    modified: Option<SystemTime>,
    /// That of the file at the last look.
    seen_modified: Option<SystemTime>,
    ring_lost: u64,
}

/// Runs until a signal or its time ends it; gives what became of the recording, where there was one.
///
/// # Errors
/// When the configuration has faults, nothing can be attached, or a map fails.
pub async fn run(start: Start) -> anyhow::Result<Option<Tally>> {
    let configuration = setup::configuration(&start.policy)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    for missing in super::protect() {
        tracing::warn!("{missing}");
    }
    let mut daemon = Daemon::new(start, configuration)?;
    let mut source = Source::new(daemon.probe.take_ring()?).context("cannot watch the ring buffer")?;
    daemon.begin()?;
    let deadline =
        daemon.start.duration.and_then(|duration| tokio::time::Instant::now().checked_add(duration));
    let period = daemon.notifier.watchdog_period().map_or(HOUSEKEEPING, |period| period.min(HOUSEKEEPING));
    let mut housekeeping = tokio::time::interval(period);
    housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        daemon.drain(&mut source);
        if boot_ns() >= daemon.look_ns {
            daemon.look()?;
        }
        let until_look = Duration::from_nanos(daemon.look_ns.saturating_sub(boot_ns()));
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => daemon.reload(),
            () = super::or_never(deadline.map(tokio::time::sleep_until)) => break,
            (decision, outcome) = daemon.hooks.ended() => daemon.feed(Input::Outcome { decision, outcome }),
            (key, figures) = daemon.survey.seen() => daemon.seen(key, figures),
            found = daemon.holdings.found() => daemon.found(&found),
            inputs = daemon.pools.seen() => daemon.queued(inputs),
            () = pressed(&mut daemon.pressure) => {
                daemon.host.pressed();
                daemon.look_ns = 0;
            }
            _ = housekeeping.tick() => daemon.keep_house()?,
            (query, answer) = Desk::asked(&mut daemon.desk) => {
                // Who asked may have gone.
                let _ = answer.send(daemon.engine.explain(boot_ns(), &query));
            }
            answer = daemon.metrics.asked() => {
                let state = daemon.metrics.state(
                    &daemon.engine,
                    &mut daemon.probe,
                    daemon.exporters.accounts(),
                    daemon.names.losses(),
                );
                // Who asked may have gone.
                let _ = answer.send(state);
            }
            () = daemon.names.ready() => daemon.name(false),
            () = tokio::time::sleep(until_look) => {}
            waited = source.wait() => {
                waited.context("cannot tell the kernel side that its records are awaited")?;
            }
        }
    }
    daemon.notifier.stopping();
    daemon.name(true);
    daemon.exporters.finish();
    Ok(daemon.recorder.take().map(Recorder::finish))
}

/// Waits until the kernel tells of pressure; a trigger that has gone is not waited for again.
async fn pressed(trigger: &mut Option<PressureTrigger>) {
    let Some(set) = trigger else { return std::future::pending().await };
    if let Err(error) = set.fired().await {
        tracing::warn!("pressure is seen at looks only: {error}");
        *trigger = None;
    }
}

impl Start {
    /// The configuration's file.
    fn config(&self) -> Option<&Path> {
        match &self.policy {
            Policy::File(path) => Some(path),
            Policy::Fixed(_) => None,
        }
    }
}

/// How far the recording is, on the terminal's last line.
fn progress(tally: &Tally) {
    if io::stderr().is_terminal() {
        let inputs = Counted(tally.written, "input");
        // Nobody to tell is no reason to fail.
        let _ = write!(io::stderr(), "\r{inputs}, {} \x1b[K", Bytes(tally.bytes));
    }
}

impl Daemon {
    fn new(start: Start, configuration: Configuration) -> anyhow::Result<Self> {
        let Configuration { policy: settings, exports, metrics, containers } = configuration;
        let proc = || ProcFs::open(Path::new("/proc")).context("cannot open /proc");
        let mut ledger = Ledger::new(proc()?).context("cannot read the mounts of this host")?;
        let rules = rules::rules(&settings);
        let mut options = start.options.clone();
        options.watch_rss = !settings.process_limits.is_empty();
        options.watch_touch = !rules.is_empty();
        options.refuse = settings.fd_tables.iter().any(|rule| rule.action == TableAction::Refuse);
        let mut probe = Probe::load(&options, &knobs(&settings, &rules))?;
        probe.set_rules(&rules)?;
        setup::warn_of_refusals(&settings, &probe.hooks);
        let trees = Trees::new(&mut probe)?;
        if let Some(trees) = &trees {
            trees.name(&settings, &mut probe, &mut ledger);
        }
        let recorder =
            start.record.as_deref().map(|path| Recorder::start(path, start.record_cgroup.as_deref()));
        let exporters = Exporters::start(setup::routes(exports, start.form))
            .context("cannot start the threads of exporters")?;
        Ok(Self {
            probe,
            intake: Intake::new(
                ledger,
                FdTables::new(floor(&settings)),
                ProcessMeter::open(Path::new("/proc"))?,
                trees.clone(),
            ),
            actuator: actuator(&settings, trees.clone())?,
            trees,
            pressure: pressure(&settings),
            engine: Engine::new(settings, own()),
            outbox: Outbox::default(),
            host: HostMeter::open(Path::new("/proc")).context("cannot open /proc/meminfo")?,
            meter: ProcessMeter::open(Path::new("/proc"))?,
            survey: Survey::start().context("cannot start the thread that looks at processes")?,
            holdings: HoldingMeter::start().context("cannot start the thread that audits cgroups")?,
            is_unread_told: false,
            pools: Pools::start().context("cannot start the thread that looks at sockets")?,
            notifier: Notifier::from_environment().context("cannot reach the service manager")?,
            pace: Pace::default(),
            rules,
            decisions: Decisions::new(Some(Clock::of_this_host()))
                .with_arguments(exporters.wants_arguments()),
            exporters,
            names: Names::start(containers)
                .context("cannot start the thread that asks container runtimes")?,
            metrics: Metrics::start(metrics)?,
            recorder: recorder.transpose()?,
            inputs: Vec::with_capacity(4096),
            sweeps: Sweeps::default(),
            strain: StrainMeter::open(Path::new("/proc")).context("cannot read /proc/self/mountinfo")?,
            bounds: Vec::new(),
            look_ns: 0,
            hooks: Hooks::start().context("cannot start the thread of hooks")?,
            desk: desk(&start.socket)?,
            unanswered_told: 0,
            modified: start.config().and_then(modified),
            seen_modified: None,
            ring_lost: 0,
            start,
        })
    }

    /// Takes in what runs already. The hooks are attached, so nothing that starts meanwhile is missed.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.intake.seed(&mut self.inputs).context("cannot list /proc")?;
        self.feed_all();
        let mode = self.engine.settings().mode;
        let doing = match (&self.start.policy, mode) {
            (Policy::Fixed(_), _) if self.start.duration.is_some() => {
                "recording; Ctrl-C ends it before its time,"
            }
            (Policy::Fixed(_), _) => "recording until Ctrl-C",
            (Policy::File(_), Mode::Enforce) => "enforcing",
            (Policy::File(_), Mode::Observe) => "observing",
        };
        // Nobody to tell is no reason to fail.
        let _ = writeln!(
            io::stderr(),
            "memwatch: {doing} with {}; {} processes known",
            HookStatus::tally(&self.probe.hooks),
            self.engine.processes()
        );
        self.notifier.ready();
        Ok(())
    }

    /// A process was looked at; who is to go may depend on it.
    fn seen(&mut self, key: ProcessKey, figures: Option<Figures>) {
        self.feed(figures.map_or(Input::Unreadable(key), |figures| Input::Figures { key, figures }));
        // Once for all that come together.
        self.look_ns = self.look_ns.min(boot_ns() + SEEN_NS);
    }

    /// What a cgroup truly holds was read; a bound may be passed by it.
    fn found(&mut self, (cgroup, found): &Found) {
        let holding = match found {
            Ok(found) => Some(Holding::from(found)),
            // It ended meanwhile.
            Err(SurveyError::NoGroup { .. }) => None,
            Err(error) => {
                if !std::mem::replace(&mut self.is_unread_told, true) {
                    tracing::warn!(
                        "what cgroups truly hold is not known, the shares of their processes are: {error}"
                    );
                }
                None
            }
        };
        if let Some(holding) = holding.filter(|_| !self.exporters.is_empty()) {
            self.exporters.offer(self.decisions.holding(boot_ns(), cgroup, &holding));
        }
        self.metrics.found(cgroup, holding);
        self.feed(Input::Holding { cgroup: cgroup.clone(), holding });
    }

    /// Pools were looked at; how many workers they need may depend on it.
    fn queued(&mut self, inputs: Vec<Input>) {
        inputs.into_iter().for_each(|input| self.feed(input));
        self.look_ns = self.look_ns.min(boot_ns() + SEEN_NS);
    }

    /// Takes what the kernel side wrote, one batch.
    fn drain(&mut self, source: &mut Source) {
        let (intake, inputs) = (&mut self.intake, &mut self.inputs);
        source.drain(|record| intake.take(record, inputs));
        self.feed_all();
    }

    fn feed_all(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        for input in inputs.drain(..) {
            self.feed(input);
        }
        self.inputs = inputs;
    }

    /// Gives the engine one input, and carries out what comes of it, and of that.
    fn feed(&mut self, input: Input) {
        let mut next = Some(input);
        let mut waiting: Vec<Input> = Vec::new();
        while let Some(input) = next.take().or_else(|| waiting.pop()) {
            let now_ns = boot_ns();
            self.write_record(now_ns, &input);
            let mut outbox = std::mem::take(&mut self.outbox);
            outbox.clear();
            self.engine.handle(now_ns, input, &mut outbox);
            if outbox.commands.iter().any(|command| matches!(command, Command::Decided(_))) {
                self.metrics.counters.decided(boot_ns().saturating_sub(now_ns));
            }
            self.obey_all(now_ns, &outbox, &mut waiting);
            self.outbox = outbox;
        }
    }

    fn obey_all(&mut self, now_ns: u64, outbox: &Outbox, waiting: &mut Vec<Input>) {
        // In order, signals before questions; and no line about a signal may hold it up.
        for command in &outbox.commands {
            if let Some(answer) = self.obey(now_ns, *command) {
                waiting.push(answer);
            }
        }
        if outbox.commands.iter().any(obey::acts) {
            self.metrics.counters.reacted(boot_ns().saturating_sub(now_ns));
        }
        for command in &outbox.commands {
            self.tell(now_ns, command, outbox);
        }
    }

    fn tell(&mut self, now_ns: u64, command: &Command, outbox: &Outbox) {
        self.metrics.counters.count(command, &self.engine);
        if self.exporters.is_empty() {
            return;
        }
        if let Some(event) = self.decisions.event(now_ns, command, &self.engine, outbox)
            && let Some(event) = self.names.name(event, command, &self.engine)
        {
            self.exporters.offer(event);
        }
    }

    /// Hands on what has the name of its container by now, or has waited long enough; all that waits when told so.
    fn name(&mut self, all: bool) {
        for event in self.names.take_ready(all) {
            self.exporters.offer(event);
        }
    }

    fn write_record(&mut self, time_ns: u64, input: &Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.take(time_ns, input);
        }
    }

    /// Looks at the host and acts on what was seen; pools and who is followed come after that, where they are due, unless too
    /// little is known to choose by.
    fn look(&mut self) -> anyhow::Result<()> {
        let host = self.host.look(boot_ns()).context("cannot read /proc/meminfo")?;
        let now_ns = boot_ns();
        self.look_ns = u64::MAX;
        if !self.sweeps.know_enough(now_ns, &host) {
            self.sweep(now_ns, &host);
        }
        self.feed(Input::Host(host));
        self.pace.take(now_ns, &host);
        self.pools.look_when_due(now_ns, &self.engine);
        let strains = self.strain.look_when_due(now_ns, self.engine.settings());
        let mut is_more_known = !strains.is_empty();
        strains.into_iter().for_each(|strain| self.feed(strain));
        self.engine.bounds(&host, &mut self.bounds);
        if self.sweeps.are_due(now_ns, &host, &self.bounds, self.until_bound(&host)) {
            self.sweep(now_ns, &host);
            self.engine.bounds(&host, &mut self.bounds);
            is_more_known = true;
        }
        if is_more_known {
            self.feed(Input::Tick);
        }
        let due_ns = self.pace.due(headroom(&host, &self.bounds));
        self.look_ns = self.look_ns.min(now_ns + due_ns);
        Ok(())
    }

    /// Time to the next bound at the present rate, in nanoseconds, where that is one on the host's own use.
    fn until_bound(&self, host: &Host) -> Option<u64> {
        let left = self.engine.left_of_host(host)?;
        (left <= headroom(host, &self.bounds)).then(|| self.pace.until(left))
    }

    fn keep_house(&mut self) -> anyhow::Result<()> {
        self.probe.flush_log();
        self.notifier.alive();
        let (mode, open) = (self.engine.settings().mode.name(), self.engine.open());
        self.notifier.status(&format!(
            "mode {mode}: {} processes known, {open} decisions open",
            self.engine.processes()
        ));
        let modified = self.start.config().and_then(modified);
        // Twice the same: a file that is being written is left alone until it is whole.
        if modified != self.modified && modified == self.seen_modified {
            self.reload();
        }
        self.seen_modified = modified;
        let lost = self.probe.faults()?.get(FaultCode::RingFull as usize).copied().unwrap_or(0);
        if lost > self.ring_lost {
            tracing::warn!("{} records were lost: the ring buffer was full", lost - self.ring_lost);
            self.ring_lost = lost;
            self.intake.reconcile(&mut self.inputs).context("cannot list /proc")?;
            self.feed_all();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.complain();
            if matches!(self.start.policy, Policy::Fixed(_)) {
                progress(&recorder.tally());
            }
        }
        self.exporters.keep_house();
        self.names.keep_house();
        let unanswered = self.desk.as_ref().map_or(0, |desk| desk.peers().unanswered());
        if unanswered > self.unanswered_told {
            tracing::warn!(
                "{} peers at the socket got no answer; `memwatch explain --output json` counts them by reason",
                unanswered - self.unanswered_told
            );
            self.unanswered_told = unanswered;
        }
        let watches = self.intake.watches() || !self.rules.is_empty();
        if let Err(reason) = self.probe.watch_touch(watches) {
            tracing::warn!("touches of fd tables are not seen: {reason}");
        }
        Ok(())
    }
}
