//! All metrics at once: the page that lists them, and their text.

use std::fmt::Write as _;

use super::*;
use crate::core::fact::ProcessKey;
use crate::core::policy::explain::{Gauges, PoolState, QueueState, ScopeGauges, Stays};
use crate::core::policy::{Holding, Host, Mode, Queue, Way};
use crate::export::account::Account;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

/// Text in front of the table.
const INTRODUCTION: &str = "\
# Metrics

<!-- Made from memwatch/src/export/metrics by `cargo xtask docs`; a test refuses a version that differs. -->

`memwatch daemon` answers `GET /metrics` in the text format of Prometheus where its configuration says so:

```toml
[metrics]
listen = \"127.0.0.1:9836\"
```

It sends the same under the same names to a receiver of OpenTelemetry's protocol where it says whom:

```toml
[metrics.otlp]
url = \"http://127.0.0.1:4317\"
every = \"1min\"
```

Counters are cumulative sums there, histograms have explicit bounds, and units are UCUM's. Of the points that were sent,
`memwatch_pushed_points_total` tells `delivered`, `refused` (by the receiver, for good) and `lost` (it did not take them; the next ones
say it too).

Nothing is gathered until it is asked for, and the daemon's loop is asked once a second at most, however often Prometheus asks. What is
not known is left out: metrics of pools where there is no pool, of BPF programs where the kernel keeps no statistics of them. Pools of one
name are added up, but for the peak of a worker, of which the highest is shown. Labels are words of the configuration and of memwatch itself; of cgroups the `max_cgroups` that hold the most, or
that came first in a counter, have their own, and all others are `other`.

";

fn counters() -> Counters {
    let counters = Counters::new(1).expect("counters");
    counters.decisions.with_label_values(&["worker_pool", "web", "enforce", "graceful"]).inc();
    counters.cgroup_decisions.with_label_values(&["/system.slice/web.service"]).inc();
    counters.endings.with_label_values(&["returned"]).inc();
    counters.warnings.with_label_values(&["growing"]).inc();
    counters.foretold(20_000_000_000, Some(18_000_000_000));
    counters.foretold(20_000_000_000, None);
    counters.pushed().with_label_values(&["delivered"]).inc();
    counters.decided(2_000);
    counters
}

fn holding(used: u64) -> Holding {
    let (used_low, used_high, charged, missing) = (used, used, used / 2, used / 2);
    Holding { used, used_low, used_high, charged, missing, limit: Some(used * 2), took_ns: 1, cpu_ns: 1 }
}

fn state() -> State {
    let master = ProcessKey { tgid: 7, start_ns: 7 };
    let queue = Queue {
        master,
        sockets: 1,
        unix: 0,
        is_per_worker: false,
        waiting: 3,
        most: 3,
        bound: 128,
        dropped: Some(2),
        overflows: Some(5),
        way: Way::NoFifo,
    };
    let queue = QueueState {
        queue,
        time_ns: 1,
        idle: 1,
        busy: 3,
        longest_idle_ns: Some(1_500_000_000),
        longest_busy_ns: Some(250_000_000),
        first: 4,
        spared: -1,
        mean_saved: 4096,
        max_workers: Some(8),
        stays: Some(Stays::Closed(Way::NoFifo)),
    };
    let pool = PoolState {
        name: "web".to_owned(),
        master: 7,
        workers: 4,
        leaving: 0,
        memory: 40,
        peak: 15,
        growth: Some(-3),
        min_alive: 1,
        signal: None,
        soft: None,
        hard: None,
        total: None,
        queue: Some(queue),
    };
    let scope = ScopeGauges { name: "host".to_owned(), used: 4, memory: 10, lower: 8, upper: 9 };
    let host = Host { total: 10, available: 6, swap_total: 0, swap_free: 0, full_pressure: None };
    State {
        gauges: Gauges {
            mode: Mode::Observe,
            host: Some(host),
            processes: 100,
            open: 1,
            kills: 0,
            kill_budget: 20,
            scopes: vec![scope],
            pools: vec![pool.clone(), PoolState { queue: None, peak: 20, growth: None, ..pool }],
        },
        holdings: vec![
            ("/a".to_owned(), holding(10)),
            ("/b".to_owned(), holding(30)),
            ("/c".to_owned(), holding(20)),
        ],
        max_cgroups: 1,
        losses: vec![("ring_full", 0)],
        programs: vec![Program { name: "mmap_exit".to_owned(), runs: 5, run_ns: 1_500_000_000 }],
        exporters: vec![(
            "stdout".to_owned(),
            Account { produced: 9, delivered: 5, shed: 2, refused: 1, held_back: 1 },
        )],
    }
}

fn metrics_md() -> String {
    let families = families(&counters().registry(), &state()).expect("families");
    let mut page = String::from(INTRODUCTION);
    page.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in &families {
        let labels = family.get_metric().first().map(|metric| metric.get_label()).unwrap_or_default();
        let labels: Vec<_> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        writeln!(page, "| `{}` | {kind} | {} | {} |", family.name(), labels.join(", "), family.help())
            .expect("a String");
    }
    page
}

#[test]
fn docs_metrics_is_current() {
    let page = metrics_md();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &page).expect("a writable docs/");
    }
    let committed = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(committed == page, "docs/metrics.md differs from the code: run `cargo xtask docs`");
}

#[test]
fn figures_are_added_up_and_bounded() {
    let text = text(&counters().registry(), &state()).expect("text");
    for line in [
        "memwatch_pool_workers{pool=\"web\"} 8",
        "memwatch_pool_busy_workers{pool=\"web\"} 3",
        "memwatch_pool_dropped_connections_total{pool=\"web\"} 2",
        "memwatch_pool_namespace_overflows_total{pool=\"web\"} 5",
        "memwatch_pool_longest_idle_seconds{pool=\"web\"} 1.5",
        "memwatch_pool_longest_busy_seconds{pool=\"web\"} 0.25",
        "memwatch_pool_spared_workers{pool=\"web\"} -1",
        "memwatch_pool_mean_saved_bytes{pool=\"web\"} 4096",
        "memwatch_pool_size_stays{pool=\"web\",reason=\"no_fifo\"} 1",
        "memwatch_forecasts_total{outcome=\"not_reached\"} 1",
        "memwatch_forecast_error_seconds_bucket{le=\"3\"} 1",
        "memwatch_forecast_error_seconds_sum 2",
        "memwatch_pool_memory_bytes{pool=\"web\"} 80",
        "memwatch_pool_worker_peak_bytes{pool=\"web\"} 20",
        "memwatch_pool_growth_bytes_per_second{pool=\"web\"} -3",
        "memwatch_cgroup_true_use_bytes{cgroup=\"/b\"} 30",
        "memwatch_cgroup_true_use_bytes{cgroup=\"other\"} 30",
        "memwatch_export_queued_events{exporter=\"stdout\"} 1",
        "memwatch_export_events_total{exporter=\"stdout\",outcome=\"held_back\"} 1",
        "memwatch_bpf_run_seconds_total{program=\"mmap_exit\"} 1.5",
        "memwatch_decision_duration_seconds_bucket{le=\"0.000003\"} 1",
        "memwatch_lost_total{kind=\"ring_full\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "no {line} in\n{text}");
    }
    assert!(!text.contains("cgroup=\"/a\""), "{text}");
}
