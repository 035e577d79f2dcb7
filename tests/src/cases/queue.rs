//! Real servers whose number of workers follows what waits at their sockets: it falls while they are idle and rises under load, and no
//! request fails.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::daemon::Stage;
use crate::case::Case;
use crate::child::PATIENCE;
use crate::line::Line;
use crate::need::Need;
use crate::site::{GROWTH_AT_ONCE, Served, Server, Site, WORKERS};
use crate::tracer::eventually;

macro_rules! needs {
    ($program:literal) => {
        &[
            Need::Root,
            Need::Tracing,
            Need::InitialPids,
            Need::Program($program),
            Need::Program("usr/bin/ab"),
            Need::Program("usr/lib/python3/dist-packages/flask"),
        ]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("queue::gunicorn_follows_its_load", needs!("usr/bin/gunicorn"), || {
        follows(Server::Gunicorn, "SIGTTIN", "SIGTTOU")
    }),
    Case::new("queue::uwsgi_follows_its_load", needs!("usr/bin/uwsgi-core"), || {
        follows(Server::UwsgiManual, "`+` at its FIFO", "`-` at its FIFO")
    }),
    Case::new("queue::what_sizes_itself_is_not_fought_over", needs!("usr/bin/uwsgi-core"), left_alone),
    Case::new("queue::the_oldest_is_not_replaced_while_others_are_idle", needs!("usr/bin/gunicorn"), || {
        recycled(0, "SIGTTOU", 0)
    }),
    Case::new("queue::another_is_replaced_and_is_the_only_one_to_go", needs!("usr/bin/gunicorn"), || {
        recycled(2, "SIGTERM", 1)
    }),
    Case::new("queue::observing_tells_what_would_be", needs!("usr/bin/gunicorn"), observed),
];

/// Workers that stay.
const LEAST: usize = 2;

fn policy(mode: &str, site: &Site) -> String {
    format!(
        "mode = \"{mode}\"\n[growth]\nenabled = false\n[[scope]]\nname = \"site\"\ntree = {}\nmemory = \"4GiB\"\n\
         [found_pools]\nmin_alive = {LEAST}\n\
         size = {{ max_workers = {WORKERS}, idle_for = \"1s\", waiting_for = \"200ms\", turn = \"1s\" }}\n",
        site.running.pid()
    )
}

/// Every request is answered.
fn serve(site: &Site, requests: u64, clients: usize) -> anyhow::Result<()> {
    let Served { complete, failed } = site.keep_busy(requests, clients)?;
    ensure!(complete == requests && failed == 0, "{failed} of {complete} requests failed");
    Ok(())
}

/// Decisions about the pool's size, each with what the master was told.
fn told(lines: &[Line]) -> anyhow::Result<Vec<&str>> {
    let decisions = lines.iter().filter(|line| line.is("memwatch.decision.rule", "queue"));
    decisions.map(|line| line.text("memwatch.decision.signal")).collect()
}

fn follows(server: Server, grow: &str, shrink: &str) -> anyhow::Result<()> {
    let site = Site::start(server, None)?;
    let stage = Stage::new((), &policy("enforce", &site), &[])?;
    // One client is served all the while: workers go while requests come.
    let started = Instant::now();
    while site.workers() != Some(LEAST) {
        serve(&site, 20, 1)?;
        ensure!(started.elapsed() < PATIENCE, "nobody goes: {}", stage.explained().unwrap_or_default());
    }
    let mut most = 0;
    for _ in 0..20 {
        serve(&site, 200, 12)?;
        most = most.max(site.workers().unwrap_or(0));
        if most == WORKERS {
            break;
        }
    }
    ensure!(most == WORKERS, "{most} workers under load");
    eventually(PATIENCE, "idle workers go again", || site.workers() == Some(LEAST))?;
    let lines = stage.end()?;
    let orders = told(&lines)?;
    ensure!(orders.iter().all(|order| *order == grow || *order == shrink), "{orders:?}");
    ensure!(orders.first() == Some(&shrink) && orders.contains(&grow), "{orders:?}");
    let ignored = lines.iter().filter(|line| line.is("memwatch.closing.ending", "ignored")).count();
    ensure!(ignored == 0, "{ignored} orders were ignored: {orders:?}");
    Ok(())
}

fn left_alone() -> anyhow::Result<()> {
    let site = Site::start(Server::UwsgiSpare, None)?;
    let stage = Stage::new((), &policy("enforce", &site), &[])?;
    let text = eventually_explained(&stage, |text| text.contains("an algorithm of its own"))?;
    ensure!(text.contains("4 idle") || text.contains("3 idle"), "{text}");
    let lines = stage.end()?;
    ensure!(told(&lines)?.iter().all(|order| *order == "nothing"), "{:?}", told(&lines)?);
    Ok(())
}

fn observed() -> anyhow::Result<()> {
    let site = Site::start(Server::Gunicorn, None)?;
    let stage = Stage::new((), &policy("observe", &site), &[])?;
    let text = eventually_explained(&stage, |text| text.contains("2 of them would have gone"))?;
    ensure!(text.contains("connections wait at 1 socket") && text.contains("spared on average"), "{text}");
    ensure!(site.workers() == Some(WORKERS), "{:?} workers", site.workers());
    let lines = stage.end()?;
    ensure!(told(&lines)? == ["SIGTTOU", "SIGTTOU"], "{:?}", told(&lines)?);
    Ok(())
}

/// A rule on memory recycles one of a real gunicorn's idle workers, by its place among them: it goes, and it alone; so many others come.
fn recycled(place: usize, signal: &str, come: usize) -> anyhow::Result<()> {
    let site = Site::start(Server::Gunicorn, None)?;
    let before = site.worker_ids().context("the master has ended")?;
    // Nobody goes for want of work: that would take an hour.
    let policy = policy("enforce", &site).replace("idle_for = \"1s\"", "idle_for = \"1h\"");
    let soft = format!("[found_pools]\nsoft = \"{}MiB\"\nmin_lifetime = \"1ms\"", GROWTH_AT_ONCE >> 20);
    let mut stage = Stage::new((), &policy.replace("[found_pools]", &soft), &[])?;
    eventually_explained(&stage, |text| text.contains("4 idle"))?;
    let victim = *before.get(place).context("a worker is missing")?;
    crate::syscall::process::signal(victim, libc::SIGUSR2)?;
    let decided = stage.wait_for("decision", |line| line.pid() == u64::from(victim))?;
    ensure!(decided.is("memwatch.decision.signal", signal), "{decided}");
    stage.wait_for("closing", |line| {
        line.pid() == u64::from(victim) && line.is("memwatch.closing.was_killed", false)
    })?;
    let changed = || {
        let after = site.worker_ids().unwrap_or_default();
        let gone: Vec<u32> = before.iter().copied().filter(|pid| !after.contains(pid)).collect();
        (gone, after.iter().filter(|pid| !before.contains(pid)).count())
    };
    eventually(PATIENCE, "the master has followed", || changed() == (vec![victim], come))?;
    // gunicorn looks after its workers once a second.
    std::thread::sleep(Duration::from_secs(4));
    let lines = stage.end()?;
    ensure!(changed() == (vec![victim], come), "of {before:?} {victim} was to go: {:?}", changed());
    ensure!(told(&lines)?.is_empty(), "{:?}", told(&lines)?);
    let decisions = lines.iter().filter(|line| line.name() == "decision").count();
    ensure!(decisions == 1, "{decisions} decisions");
    serve(&site, 40, 2)
}

/// What `memwatch explain` says of all pools, once it fits.
fn eventually_explained(stage: &Stage<()>, fits: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let mut text = String::new();
    let told = eventually(PATIENCE, "it is explained", || {
        text = stage.explained().unwrap_or_default();
        fits(&text)
    });
    told.map_err(|error| error.context(text.clone())).map(|()| text)
}
