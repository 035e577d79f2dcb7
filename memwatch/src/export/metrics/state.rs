//! How things stand at one moment, as metrics.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Result};

use super::{OTHER, seconds, word};
use crate::core::policy::Holding;
use crate::core::policy::explain::{Gauges, PoolState, QueueState, Stays};
use crate::export::account::Account;

/// How things stand.
#[derive(Debug)]
pub struct State {
    /// Processes, scopes and pools.
    pub gauges: Gauges,
    /// What cgroups truly hold, by path.
    pub holdings: Vec<(String, Holding)>,
    /// How many of those have a label of their own.
    pub max_cgroups: usize,
    /// What was lost since the start, by kind.
    pub losses: Vec<(&'static str, u64)>,
    /// Those of the kernel side's programs that the kernel keeps statistics of.
    pub programs: Vec<Program>,
    /// Accounts of exporters, by name.
    pub exporters: Vec<(String, Account)>,
}

/// What a program of the kernel side costs.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Times that it ran.
    pub runs: u64,
    /// How long it ran in all, in nanoseconds.
    pub run_ns: u64,
}

/// Families that are made for one answer.
struct Families(Vec<MetricFamily>);

impl Families {
    /// A gauge; rows of one label are added up.
    fn gauge<'r>(
        &mut self,
        (name, help): (&str, &str),
        labels: &[&str],
        rows: impl IntoIterator<Item = (&'r str, impl TryInto<i64>)>,
    ) -> Result<()> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        for (label, value) in rows {
            let values: Vec<_> = labels.iter().map(|_| label).collect();
            gauge.with_label_values(&values).add(value.try_into().unwrap_or(i64::MAX));
        }
        self.0.extend(gauge.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
        Ok(())
    }

    /// A gauge of any number, by pool; what pools of one name have is put together.
    fn number<'r>(
        &mut self,
        (name, help): (&str, &str),
        rows: impl IntoIterator<Item = (&'r str, f64)>,
        together: fn(f64, f64) -> f64,
    ) -> Result<()> {
        let mut pools: BTreeMap<&str, f64> = BTreeMap::new();
        for (pool, value) in rows {
            pools.entry(pool).and_modify(|known| *known = together(*known, value)).or_insert(value);
        }
        let gauge = GaugeVec::new(Opts::new(name, help), &["pool"])?;
        for (pool, value) in pools {
            gauge.with_label_values(&[pool]).set(value);
        }
        self.0.extend(gauge.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
        Ok(())
    }

    /// A gauge without labels, where it is known.
    fn one(&mut self, name: &str, help: &str, value: Option<u64>) -> Result<()> {
        self.gauge((name, help), &[], value.map(|value| ("", value)))
    }

    /// A counter by one or more labels.
    fn counter<'r, const N: usize>(
        &mut self,
        (name, help): (&str, &str),
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([&'r str; N], u64)>,
    ) -> Result<()> {
        let counter = IntCounterVec::new(Opts::new(name, help), &labels)?;
        for (values, value) in rows {
            counter.with_label_values(&values).inc_by(value);
        }
        self.0.extend(counter.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
        Ok(())
    }
}

/// Why the size of a pool stays as it is, in a word.
fn reason(why: Stays) -> String {
    match why {
        Stays::Unasked => "unasked".to_owned(),
        Stays::NoOrder => "no_order".to_owned(),
        Stays::Closed(way) => word(&way),
        Stays::Deaf(_) => "deaf".to_owned(),
        Stays::Rests { .. } => "rests".to_owned(),
    }
}

impl State {
    /// As metrics.
    ///
    /// # Errors
    /// When a name is none: never of these.
    pub(super) fn families(&self) -> Result<Vec<MetricFamily>> {
        let mut families = Families(Vec::new());
        self.host(&mut families)?;
        self.scopes(&mut families)?;
        self.pools(&mut families)?;
        self.queues(&mut families)?;
        self.cgroups(&mut families)?;
        self.own(&mut families)?;
        Ok(families.0)
    }

    fn host(&self, to: &mut Families) -> Result<()> {
        let Gauges { host, processes, open, kills, kill_budget, mode, .. } = &self.gauges;
        to.gauge(("memwatch_mode", "1 for the mode that the policy is in."), &["mode"], [(mode.name(), 1)])?;
        to.one("memwatch_processes", "Processes that are known.", Some(*processes as u64))?;
        to.one("memwatch_open_decisions", "Decisions that have not ended.", Some(*open as u64))?;
        to.one("memwatch_window_kills", "Kills in the window of the budget.", Some((*kills).into()))?;
        to.one(
            "memwatch_kill_budget",
            "Kills that the budget allows in its window.",
            Some((*kill_budget).into()),
        )?;
        let total = host.map(|host| host.total);
        let available = host.map(|host| host.available);
        to.one("memwatch_host_memory_bytes", "Memory of the host.", total)?;
        to.one("memwatch_host_available_bytes", "Memory of the host that is available.", available)
    }

    fn scopes(&self, to: &mut Families) -> Result<()> {
        let scopes = &self.gauges.scopes;
        let mut each = |name, help, of: fn(&crate::core::policy::explain::ScopeGauges) -> u64| {
            to.gauge((name, help), &["scope"], scopes.iter().map(|scope| (scope.name.as_str(), of(scope))))
        };
        each("memwatch_scope_used_bytes", "Memory in use in a scope.", |scope| scope.used)?;
        each("memwatch_scope_memory_bytes", "Memory of a scope.", |scope| scope.memory)?;
        each("memwatch_scope_lower_bytes", "Use from which on workers are asked to leave.", |scope| {
            scope.lower
        })?;
        each("memwatch_scope_upper_bytes", "Use from which on they are killed.", |scope| scope.upper)
    }

    fn pools(&self, to: &mut Families) -> Result<()> {
        let pools = &self.gauges.pools;
        let mut each = |name, help, of: fn(&PoolState) -> Option<u64>| {
            let rows = pools.iter().filter_map(|pool| Some((pool.name.as_str(), of(pool)?)));
            to.gauge((name, help), &["pool"], rows)
        };
        each("memwatch_pool_masters", "Masters whose workers are a pool of this name.", |_| Some(1))?;
        each("memwatch_pool_workers", "Workers of a pool.", |pool| Some(pool.workers as u64))?;
        each("memwatch_pool_leaving_workers", "Workers on their way out.", |pool| Some(pool.leaving as u64))?;
        each(
            "memwatch_pool_memory_bytes",
            "Memory of a pool's workers, by the measure of its limits.",
            |pool| Some(pool.memory),
        )?;
        each("memwatch_pool_idle_workers", "Workers that wait for a client.", |pool| {
            pool.queue.map(|queue| queue.idle.into())
        })?;
        each("memwatch_pool_busy_workers", "Workers that do not.", |pool| {
            pool.queue.map(|queue| queue.busy.into())
        })?;
        each("memwatch_pool_max_workers", "Workers that a pool may grow to.", |pool| {
            pool.queue.and_then(|queue| queue.max_workers).map(u64::from)
        })?;
        each("memwatch_pool_waiting_connections", "Connections that wait to be accepted.", |pool| {
            pool.queue.map(|QueueState { queue, .. }| queue.waiting)
        })?;
        each(
            "memwatch_pool_queue_bound_connections",
            "Connections that may wait at the sockets of a pool.",
            |pool| pool.queue.map(|QueueState { queue, .. }| queue.bound),
        )?;
        let mut peaks: BTreeMap<&str, u64> = BTreeMap::new();
        for pool in pools {
            let peak = peaks.entry(&pool.name).or_default();
            *peak = (*peak).max(pool.peak);
        }
        to.gauge(
            ("memwatch_pool_worker_peak_bytes", "The most that was ever resident in a worker that is there."),
            &["pool"],
            peaks,
        )?;
        to.gauge(
            (
                "memwatch_pool_growth_bytes_per_second",
                "Change of what is resident in a pool's workers over the last minute.",
            ),
            &["pool"],
            pools.iter().filter_map(|pool| Some((pool.name.as_str(), pool.growth?))),
        )
    }

    /// Of the pools whose sockets are looked at: what was turned away, how long workers wait and work, and what became of their size.
    fn queues(&self, to: &mut Families) -> Result<()> {
        let queues = || {
            let pools = self.gauges.pools.iter();
            pools.filter_map(|pool| Some((pool.name.as_str(), pool.queue.as_ref()?)))
        };
        to.counter(
            (
                "memwatch_pool_dropped_connections_total",
                "Connections that the sockets of a pool turned away.",
            ),
            ["pool"],
            queues().filter_map(|(pool, state)| Some(([pool], state.queue.dropped?))),
        )?;
        to.counter(
            (
                "memwatch_pool_namespace_overflows_total",
                "Connections that found a queue full, in the whole network namespaces of a pool's sockets.",
            ),
            ["pool"],
            queues().filter_map(|(pool, state)| Some(([pool], state.queue.overflows?))),
        )?;
        let longest = |ns: Option<u64>| ns.map(seconds);
        to.number(
            ("memwatch_pool_longest_idle_seconds", "How long the worker has waited that has waited longest."),
            queues().filter_map(|(pool, state)| Some((pool, longest(state.longest_idle_ns)?))),
            f64::max,
        )?;
        to.number(
            ("memwatch_pool_longest_busy_seconds", "How long the worker has been busy that was so longest."),
            queues().filter_map(|(pool, state)| Some((pool, longest(state.longest_busy_ns)?))),
            f64::max,
        )?;
        to.number(
            (
                "memwatch_pool_spared_workers",
                "Workers that would have gone, where that is only told; below 0: that would have come.",
            ),
            queues().map(|(pool, state)| (pool, f64::from(state.spared))),
            |one, other| one + other,
        )?;
        to.number(
            (
                "memwatch_pool_mean_saved_bytes",
                "What fewer workers than at first have spared, on average, or would have.",
            ),
            queues().map(|(pool, state)| (pool, state.mean_saved as f64)),
            |one, other| one + other,
        )?;
        let stays = IntGaugeVec::new(
            Opts::new("memwatch_pool_size_stays", "Masters whose number of workers stays, by the reason."),
            &["pool", "reason"],
        )?;
        for (pool, why) in queues().filter_map(|(pool, state)| Some((pool, state.stays?))) {
            stays.with_label_values(&[pool, &reason(why)]).inc();
        }
        to.0.extend(stays.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
        Ok(())
    }

    fn cgroups(&self, to: &mut Families) -> Result<()> {
        let mut holdings: Vec<_> = self.holdings.iter().collect();
        holdings.sort_by(|(path, one), (other_path, other)| (other.used, path).cmp(&(one.used, other_path)));
        let label = |place: usize, path: &'_ str| {
            if place < self.max_cgroups { path.to_owned() } else { OTHER.to_owned() }
        };
        let labelled: Vec<_> = holdings
            .iter()
            .enumerate()
            .map(|(place, (path, holding))| (label(place, path), holding))
            .collect();
        let mut each = |name, help, of: fn(&Holding) -> Option<u64>| {
            let rows = labelled.iter().filter_map(|(label, holding)| Some((label.as_str(), of(holding)?)));
            to.gauge((name, help), &["cgroup"], rows)
        };
        each(
            "memwatch_cgroup_true_use_bytes",
            "What a cgroup costs the host, whoever is charged for it.",
            |it| Some(it.used),
        )?;
        each("memwatch_cgroup_charged_bytes", "What the kernel charged a cgroup for.", |it| {
            Some(it.charged)
        })?;
        each("memwatch_cgroup_missing_bytes", "What a cgroup holds and is charged elsewhere.", |it| {
            Some(it.missing)
        })?;
        each("memwatch_cgroup_limit_bytes", "Limit of a cgroup.", |it| it.limit)
    }

    /// What memwatch loses, sheds and costs.
    fn own(&self, to: &mut Families) -> Result<()> {
        to.counter(
            (
                "memwatch_lost_total",
                "What the kernel side lost, and names of containers, by kind (docs/events.md).",
            ),
            ["kind"],
            self.losses.iter().map(|(kind, count)| ([*kind], *count)),
        )?;
        to.counter(
            ("memwatch_bpf_runs_total", "Runs of a program; only where kernel.bpf_stats_enabled is 1."),
            ["program"],
            self.programs.iter().map(|program| ([program.name.as_str()], program.runs)),
        )?;
        let help = "Time that a program ran; only where kernel.bpf_stats_enabled is 1.";
        let seconds_run = CounterVec::new(Opts::new("memwatch_bpf_run_seconds_total", help), &["program"])?;
        for program in &self.programs {
            seconds_run.with_label_values(&[&program.name]).inc_by(seconds(program.run_ns));
        }
        to.0.extend(seconds_run.collect().into_iter().filter(|family| !family.get_metric().is_empty()));
        to.counter(
            ("memwatch_export_produced_events_total", "Events that were meant for an exporter."),
            ["exporter"],
            self.exporters.iter().map(|(name, account)| ([name.as_str()], account.produced)),
        )?;
        let outcomes =
            self.exporters.iter().flat_map(|(name, Account { delivered, shed, held_back, .. })| {
                [("delivered", *delivered), ("shed", *shed), ("held_back", *held_back)]
                    .map(|(outcome, events)| ([name.as_str(), outcome], events))
            });
        to.counter(
            ("memwatch_export_events_total", "What became of them; the others are on their way."),
            ["exporter", "outcome"],
            outcomes,
        )?;
        to.counter(
            ("memwatch_export_refused_events_total", "Of those that were shed, those that the peer refused."),
            ["exporter"],
            self.exporters.iter().map(|(name, account)| ([name.as_str()], account.refused)),
        )?;
        let queued = self.exporters.iter().map(|(name, account)| (name.as_str(), account.queued()));
        to.gauge(
            ("memwatch_export_queued_events", "Events on their way to an exporter."),
            &["exporter"],
            queued,
        )
    }
}
