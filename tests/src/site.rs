//! A site: a real prefork server with an app whose requests grow its workers, and clients that count what fails.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::program;
use crate::tracer::eventually;

/// Workers of a site.
pub const WORKERS: usize = 4;
/// Bytes by which a request grows the worker that answers it.
pub const GROWTH: u64 = 1 << 20;
/// Bytes by which a signal grows one worker.
pub const GROWTH_AT_ONCE: u64 = 256 << 20;
/// Seconds after which a site ends should nobody end it: an emulated machine beside builds takes minutes for the requests.
const SECONDS: &str = "1800";
/// Requests under way at the same time: more than there are workers, so that none ever waits for a client.
const CLIENTS: usize = 2 * WORKERS;

/// A request holds what it took, and is under way for a while. A worker of gunicorn that is sent SIGUSR2 grows by [`GROWTH_AT_ONCE`].
const APP: &str = "import signal, sys, time, flask\n\
    app = flask.Flask(__name__)\n\
    kept = []\n\
    if sys.argv[0].endswith('gunicorn'):\n    \
        signal.signal(signal.SIGUSR2, lambda *_: kept.append(b'x' * (256 << 20)))\n\
    @app.route('/grow')\n\
    def grow():\n    \
        kept.append(b'x' * (1 << 20))\n    \
        time.sleep(0.1)\n    \
        return 'grown'\n\
    @app.route('/rest')\n\
    def rest():\n    \
        time.sleep(0.05)\n    \
        return 'grown'\n";
const ANSWER: &str = "grown";

/// A prefork server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// uWSGI, whose workers take the connections themselves.
    Uwsgi,
    /// uWSGI behind its own HTTP router, which is a child of the master as the workers are.
    UwsgiRouter,
    /// uWSGI that leaves its size to orders at its master FIFO.
    UwsgiManual,
    /// uWSGI that sizes its pool by itself, with a master FIFO all the same.
    UwsgiSpare,
    /// gunicorn with its default, synchronous workers.
    Gunicorn,
}

impl Server {
    /// As a line for the shell.
    const fn start(self) -> &'static str {
        match self {
            Self::Uwsgi => {
                "exec uwsgi-core --plugin python3 --http-socket 127.0.0.1:8080 --master --workers 4 --max-fd 1024 \
                 --need-app --wsgi-file /tmp/app.py --callable app"
            }
            Self::UwsgiRouter => {
                "exec uwsgi-core --plugin http --plugin python3 --http 127.0.0.1:8080 --master --workers 4 --max-fd 1024 \
                 --need-app --wsgi-file /tmp/app.py --callable app"
            }
            Self::UwsgiManual => {
                "exec uwsgi-core --plugin python3 --http-socket 127.0.0.1:8080 --master --workers 4 --max-fd 1024 \
                 --master-fifo /tmp/fifo --cheaper 1 --cheaper-initial 4 --cheaper-algo manual \
                 --need-app --wsgi-file /tmp/app.py --callable app"
            }
            Self::UwsgiSpare => {
                "exec uwsgi-core --plugin python3 --http-socket 127.0.0.1:8080 --master --workers 4 --max-fd 1024 \
                 --master-fifo /tmp/fifo --cheaper 3 --cheaper-initial 4 \
                 --need-app --wsgi-file /tmp/app.py --callable app"
            }
            Self::Gunicorn => {
                "exec gunicorn --bind 127.0.0.1:8080 --workers 4 --timeout 200 --chdir /tmp app:app"
            }
        }
    }

    /// Children of its master.
    const fn children(self) -> usize {
        match self {
            Self::Uwsgi | Self::UwsgiManual | Self::UwsgiSpare | Self::Gunicorn => WORKERS,
            Self::UwsgiRouter => WORKERS + 1,
        }
    }
}

/// A server that runs, apart from the host; it ends when it is dropped.
pub struct Site {
    /// The root of its process tree.
    pub running: Running,
}

/// What the clients saw.
#[derive(Debug)]
pub struct Served {
    /// Requests that were answered in full.
    pub complete: u64,
    /// Those that were not, by whatever cause.
    pub failed: u64,
}

impl Site {
    /// Starts a server, in a cgroup where one is given, and waits for its workers.
    ///
    /// # Errors
    /// It cannot be started, or ends.
    pub fn start(server: Server, cgroup: Option<&Path>) -> anyhow::Result<Self> {
        const JOIN: &str = "if [ -n \"$1\" ]; then echo 0 > \"$1/cgroup.procs\"; fi; shift; exec \"$@\"";
        let root = program::root().context("no root file system")?;
        let script = format!(
            "exec >/tmp/log 2>&1; cat > /tmp/app.py <<'END'\n{APP}END\n{start}",
            start = server.start()
        );
        let mut command = Command::new("sh");
        command.args(["-c", JOIN, "sh"]).arg(cgroup.unwrap_or_else(|| Path::new("")));
        command.arg(locate::trigger()?).args(["inside", "--seconds", SECONDS, "--root"]).arg(&root);
        command.args(["--", "/bin/sh", "-c", &script]).stdin(Stdio::null());
        let site = Self { running: Running::start(&mut command)? };
        eventually(PATIENCE, "all workers run", || site.master_has(server.children()))
            .with_context(|| format!("{server:?}: {}", site.log()))?;
        Ok(site)
    }

    /// Whether the master has so many children.
    fn master_has(&self, count: usize) -> bool {
        self.workers().is_some_and(|workers| workers == count)
    }

    /// How many children the master has, while there is one.
    #[must_use]
    pub fn workers(&self) -> Option<usize> {
        self.worker_ids().map(|workers| workers.len())
    }

    /// Children of the master, the oldest first, while there is one: it is the only child of the first process in its name space,
    /// which is that of the tree's root.
    #[must_use]
    pub fn worker_ids(&self) -> Option<Vec<u32>> {
        let only = |pid: u32| children(pid).first().copied();
        only(self.running.pid()).and_then(only).map(children)
    }

    /// What the server wrote.
    fn log(&self) -> String {
        let first = children(self.running.pid()).first().copied().unwrap_or(0);
        std::fs::read_to_string(format!("/proc/{first}/root/tmp/log")).unwrap_or_default()
    }

    /// Sends it so many requests from the same network, each on a connection of its own, and counts.
    ///
    /// # Errors
    /// The clients cannot be started, or gave up.
    pub fn load(&self, requests: u64) -> anyhow::Result<Served> {
        self.load_at("/grow", requests, CLIENTS)
    }

    /// Sends so many requests that leave its workers as they are, so many at a time.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn keep_busy(&self, requests: u64, clients: usize) -> anyhow::Result<Served> {
        self.load_at("/rest", requests, clients)
    }

    fn load_at(&self, path: &str, requests: u64, clients: usize) -> anyhow::Result<Served> {
        let root = program::root().context("no root file system")?;
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.running.pid().to_string()).args(["--net", "--", "chroot"]).arg(root);
        command.args(["ab", "-q", "-n", &requests.to_string(), "-c", &clients.to_string(), "-s", "120"]);
        let output =
            command.arg(format!("http://127.0.0.1:8080{path}")).output().context("start the clients")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ab gave up: {errors}{text}; the server: {}", self.log());
        let number = |name: &str| number(&text, name);
        let bytes = number("HTML transferred:").with_context(|| format!("ab counts no bytes: {text}"))?;
        let complete = number("Complete requests:").with_context(|| format!("ab counts nothing: {text}"))?;
        let failed = number("Failed requests:").with_context(|| format!("ab counts no failure: {text}"))?;
        let refused = number("Non-2xx responses:").unwrap_or(0);
        ensure!(bytes == complete * ANSWER.len() as u64, "answers were cut short: {text}");
        Ok(Served { complete, failed: failed + refused })
    }
}

/// The number that stands behind a name in what ab prints.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Living children of a process, the oldest first.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
