//! Real prefork servers under load, with and without memwatch: no request fails when a worker is recycled, and memory stays
//! below the bound that the same load breaks otherwise.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};

use super::daemon::Stage;
use crate::case::Case;
use crate::cgroup::Group;
use crate::line::Line;
use crate::need::Need;
use crate::site::{GROWTH, Served, Server, Site};
use crate::use_of_memory::{Watch, Whose};

macro_rules! needs {
    ($program:literal $(, $more:expr)*) => {
        &[
            Need::Root,
            Need::Tracing,
            Need::InitialPids,
            Need::Program($program),
            Need::Program("usr/bin/ab"),
            Need::Program("usr/lib/python3/dist-packages/flask")
            $(, $more)*
        ]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("servers::uwsgi_in_a_cgroup", needs!("usr/bin/uwsgi-core", Need::Unified), || {
        recycled(Server::Uwsgi, Reach::Cgroup, &BOUNDS)
    }),
    Case::new("servers::gunicorn_in_a_tree", needs!("usr/bin/gunicorn"), || {
        recycled(Server::Gunicorn, Reach::Tree, &NAMED)
    }),
    Case::new("servers::uwsgi_workers_beside_their_router", needs!("usr/bin/uwsgi-core"), || {
        recycled(Server::UwsgiRouter, Reach::Tree, &WORKER_LIMIT)
    }),
    Case::alone("servers::uwsgi_on_the_host", needs!("usr/bin/uwsgi-core", Need::OwnMachine), || {
        recycled(Server::Uwsgi, Reach::Host, &BOUNDS)
    }),
    Case::alone("servers::gunicorn_on_the_host", needs!("usr/bin/gunicorn", Need::OwnMachine), || {
        recycled(Server::Gunicorn, Reach::Host, &BOUNDS)
    }),
];

const MIB: u64 = 1 << 20;
/// Bytes above those in use at the start.
const LOWER: u64 = 60 * MIB;
const UPPER: u64 = 300 * MIB;
/// They would take a third more than is allowed.
const REQUESTS: u64 = 400;

/// What is governed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Tree,
    Cgroup,
    Host,
}

/// The rule that is to hold memory below the upper bound.
struct Rule {
    /// Its name in decisions.
    name: &'static str,
    /// Whether the bounds of the scope are those of the test; else they are out of the way.
    by_bounds: bool,
    /// What stands below the scope.
    settings: &'static str,
}

/// Bounds, on a pool that nobody named: the preset of the server gives the signal.
const BOUNDS: Rule = Rule {
    name: "host_bounds",
    by_bounds: true,
    settings: "[found_pools]\nmin_lifetime = \"1ms\"\nrounds = 1000\n",
};

/// A limit of each worker, on a pool that nobody named.
const WORKER_LIMIT: Rule = Rule {
    name: "worker_pool",
    by_bounds: false,
    settings: "[found_pools]\nsoft = \"56MiB\"\nstagger = \"10ms\"\nmin_lifetime = \"1ms\"\nrounds = 1000\n",
};

/// Bounds, on a pool that is named by its kind, which gives the signal.
const NAMED: Rule = Rule {
    name: "host_bounds",
    by_bounds: true,
    settings: "[[pool]]\nname = \"site\"\nkind = \"gunicorn\"\nmin_lifetime = \"1ms\"\nrounds = 1000\n",
};

/// One server with all it needs.
struct Scene {
    site: Site,
    whose: Whose,
    /// Bytes in use before the first request.
    before: u64,
    /// Dropped last: a group can be removed once it is empty.
    group: Option<Group>,
}

impl Scene {
    fn new(server: Server, reach: Reach) -> anyhow::Result<Self> {
        let group = (reach == Reach::Cgroup).then(|| Group::new("site")).transpose()?;
        let site = Site::start(server, group.as_ref().map(Group::path))?;
        let whose = if reach == Reach::Host { Whose::Host } else { Whose::Tree(site.running.pid()) };
        Ok(Self { before: whose.used(), site, whose, group })
    }

    /// Every request is answered; gives the most memory that was in use meanwhile.
    fn load(&self) -> anyhow::Result<u64> {
        let watch = Watch::start(self.whose);
        let Served { complete, failed } = self.site.load(REQUESTS)?;
        let most = watch.end()?;
        ensure!(complete == REQUESTS && failed == 0, "{failed} of {complete} requests failed");
        Ok(most)
    }

    fn policy(&self, reach: Reach, rule: &Rule) -> anyhow::Result<String> {
        let kib = |bytes: u64| format!("\"{}KiB\"", (self.before + bytes) >> 10);
        let is_host = reach == Reach::Host;
        let reach = match (reach, &self.group) {
            (Reach::Host, _) => String::new(),
            (Reach::Cgroup, Some(group)) => {
                let name = group.path().file_name().context("a group has a name")?;
                format!("cgroup = \"/{}\"\nmemory = {}\n", name.to_string_lossy(), kib(2 * UPPER))
            }
            (Reach::Tree | Reach::Cgroup, _) => {
                format!("tree = {}\nmemory = {}\n", self.site.running.pid(), kib(2 * UPPER))
            }
        };
        let bounds = if rule.by_bounds {
            format!("lower = {}\nupper = {}\n", kib(LOWER), kib(UPPER))
        } else {
            String::new()
        };
        Ok(format!(
            "mode = \"enforce\"\nwhole_host = {is_host}\n[growth]\nenabled = false\n{}[[scope]]\nname = \"site\"\n{reach}{bounds}",
            rule.settings
        ))
    }
}

fn recycled(server: Server, reach: Reach, rule: &Rule) -> anyhow::Result<()> {
    let alone = Scene::new(server, reach)?;
    let most = alone.load().context("without memwatch")?;
    let bound = alone.before + UPPER;
    ensure!(
        most > bound,
        "{most} bytes at most without memwatch: the load does not break the bound of {bound}"
    );
    drop(alone);

    let scene = Scene::new(server, reach)?;
    let policy = scene.policy(reach, rule)?;
    let stage = Stage::new((), &policy, &[])?;
    let most = scene.load();
    let lines = stage.end()?;
    let most = most.with_context(|| format!("with memwatch; decided: {}", told(&lines)))?;
    let bound = scene.before + UPPER;
    ensure!(most < bound, "{most} bytes at most, above the bound of {bound}; decided: {}", told(&lines));
    let expected = if server == Server::Gunicorn { "SIGTERM" } else { "SIGHUP" };
    let mut left = BTreeSet::new();
    for line in &lines {
        match line.name() {
            "decision" => {
                ensure!(line.is("memwatch.decision.rule", rule.name), "{line}");
                ensure!(line.is("memwatch.decision.signal", expected), "{line}");
            }
            "closing" => {
                ensure!(line.is("memwatch.closing.was_killed", false), "{line}");
                left.insert(line.pid());
            }
            _ => {}
        }
    }
    // Whatever was taken above the bound has come back by workers that left.
    let taken = REQUESTS * GROWTH;
    ensure!(!left.is_empty() && most < scene.before + taken, "nobody left; decided: {}", told(&lines));
    Ok(())
}

fn told(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("\n{line}")).collect()
}
