//! Real servers whose number of workers follows what waits at their sockets: it falls while they are idle and rises under load, and no
//! request fails.

use anyhow::ensure;

use super::daemon::Stage;
use crate::case::Case;
use crate::child::PATIENCE;
use crate::line::Line;
use crate::need::Need;
use crate::site::{Served, Server, Site, WORKERS};
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
    while site.workers() != Some(LEAST) {
        serve(&site, 20, 1)?;
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

/// What `memwatch explain` says of all pools, once it fits.
fn eventually_explained(stage: &Stage<()>, fits: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let mut text = String::new();
    let told = eventually(PATIENCE, "it is explained", || {
        text = stage.explained().unwrap_or_default();
        fits(&text)
    });
    told.map_err(|error| error.context(text.clone())).map(|()| text)
}
