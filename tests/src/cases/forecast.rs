//! `memwatch forecast` beside what comes: real servers whose every worker meets the largest request after the forecast was
//! made from one that did.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::program;
use crate::scratch::Scratch;
use crate::tracer::eventually;

macro_rules! needs {
    ($program:literal) => {
        &[Need::Root, Need::Program($program), Need::Program("usr/lib/python3/dist-packages/flask")]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("forecast::uwsgi_worst_case", needs!("usr/bin/uwsgi-core"), || worst_case(&UWSGI)),
    Case::new("forecast::gunicorn_worst_case", needs!("usr/bin/gunicorn"), || worst_case(&GUNICORN)),
    Case::new("forecast::uwsgi_growth_per_request", needs!("usr/bin/uwsgi-core"), || per_request(&UWSGI)),
    Case::new("forecast::gunicorn_growth_per_request", needs!("usr/bin/gunicorn"), || per_request(&GUNICORN)),
    Case::new("forecast::a_pool_by_its_master", &[Need::Root], named),
    Case::new("forecast::a_limit_of_the_cgroup", &[Need::Root, Need::Memory], limited),
    Case::new("forecast::a_check_tells_the_error", &[Need::Root], checked),
    Case::new("forecast::a_recording_that_is_too_short_says_so", &[Need::Root], too_short),
];

const MIB: u64 = 1 << 20;
const WORKERS: usize = 4;
/// What the largest request takes, in MiB.
const LARGEST: u64 = 64;
/// How far a forecast may be from what comes, in percent.
const ERROR: u64 = 15;

/// A worker keeps as much as its largest request took, and is busy for a while.
const APP: &str = "import time, flask\n\
    app = flask.Flask(__name__)\n\
    kept = [b'']\n\
    leaked = []\n\
    @app.route('/take/<int:mib>')\n\
    def take(mib):\n    \
        if len(kept[0]) < mib << 20:\n        \
            kept[0] = b'x' * (mib << 20)\n    \
        time.sleep(1)\n    \
        return 'taken'\n\
    @app.route('/leak/<int:kib>')\n\
    def leak(kib):\n    \
        leaked.append(b'x' * (kib << 10))\n    \
        return 'leaked'\n";

/// Asks for so many requests at once and waits for every answer.
const CLIENT: &str = "import sys, threading, urllib.request\n\
    def ask():\n    \
        urllib.request.urlopen('http://127.0.0.1:8080/' + sys.argv[2], timeout=100).read()\n\
    all = [threading.Thread(target=ask) for _ in range(int(sys.argv[1]))]\n\
    [it.start() for it in all]\n\
    [it.join() for it in all]\n";

/// A server: its name in the output, how it is started, and a word of its settings that has to be told.
struct Server {
    name: &'static str,
    start: &'static str,
    setting: &'static str,
}

const UWSGI: Server = Server {
    name: "uWSGI",
    start: "exec uwsgi-core --plugin python3 --http-socket 127.0.0.1:8080 --master --workers 4 --max-fd 1024 --need-app \
            --wsgi-file /tmp/app.py --callable app",
    setting: "reload-on-rss = ",
};
const GUNICORN: Server = Server {
    name: "gunicorn",
    start: "exec gunicorn --bind 127.0.0.1:8080 --workers 4 --timeout 200 --chdir /tmp app:app",
    setting: "workers = 4",
};

/// Living children of a process.
fn children(pid: u32) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Bytes that processes take together, shared pages by their share.
fn proportional(pids: impl Iterator<Item = u32>) -> u64 {
    let of = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    pids.filter_map(of).sum::<u64>() << 10
}

/// A server that runs apart from the host, and ends when it is dropped.
struct Site {
    running: Running,
    master: u32,
}

impl Site {
    fn start(server: &Server) -> anyhow::Result<Self> {
        let root = program::root().context("no root file system")?;
        let script = format!("exec >/tmp/log 2>&1; cat > /tmp/app.py <<'END'\n{APP}END\n{}", server.start);
        let mut command = Command::new(locate::trigger()?);
        command.args(["inside", "--seconds", "240", "--root"]).arg(&root);
        command.args(["--", "/bin/sh", "-c", &script]).stdin(Stdio::null());
        let running = Running::start(&mut command)?;
        let only = |pid: u32| children(pid).first().copied();
        // The first process of the name space has one child, the master.
        let master = || only(running.pid()).and_then(only);
        eventually(PATIENCE, "all workers run", || {
            master().is_some_and(|master| children(master).len() == WORKERS)
        })
        .with_context(|| {
            let first = only(running.pid()).unwrap_or(0);
            std::fs::read_to_string(format!("/proc/{first}/root/tmp/log")).unwrap_or_default()
        })?;
        let master = master().context("the master has ended")?;
        Ok(Self { running, master })
    }

    /// Has it answer so many requests at once, each on a connection of its own.
    fn ask(&self, at_once: usize, mib: u64) -> anyhow::Result<()> {
        self.ask_for(at_once, &format!("take/{mib}"))
    }

    fn ask_for(&self, at_once: usize, path: &str) -> anyhow::Result<()> {
        let root = program::root().context("no root file system")?;
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.running.pid().to_string()).args(["--net", "--", "chroot"]).arg(root);
        command.args(["python3", "-c", CLIENT, &at_once.to_string(), path]);
        let output = command.stdin(Stdio::null()).output().context("start the client")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Bytes that the pool takes, as the kernel counts them.
    fn takes(&self) -> u64 {
        proportional(children(self.master).into_iter().chain([self.master]))
    }
}

/// Starts to watch; gives the lines once it ends.
fn watch(
    options: &[&str],
    record: &Path,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Line>> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(["forecast", "--output", "json", "--every", "200ms", "--record"]).arg(record).args(options);
    let mut watching = Running::start(command.stdin(Stdio::null()))?;
    eventually(PATIENCE, "the first look is recorded", || {
        std::fs::metadata(record).is_ok_and(|file| file.len() > 0)
    })?;
    meanwhile()?;
    let lines = watching.rest(PATIENCE)?.iter().map(|text| Line::parse(text)).collect();
    let status = watching.wait(PATIENCE)?;
    ensure!(matches!(status.code(), Some(0 | 3)), "{status}: {}", watching.errors());
    lines
}

/// The line about the pool of a master.
fn pool_of(lines: &[Line], master: u32) -> anyhow::Result<&Line> {
    let is_of = |line: &&Line| {
        line.name() == "forecast.pool"
            && line.number("memwatch.master.pid").is_ok_and(|pid| pid == u64::from(master))
    };
    lines.iter().find(is_of).context("nothing is said of the pool")
}

fn near(foretold: u64, came: u64) -> anyhow::Result<()> {
    ensure!(
        foretold.abs_diff(came) * 100 <= came * ERROR,
        "{} MiB were foretold and {} MiB came",
        foretold / MIB,
        came / MIB
    );
    Ok(())
}

fn worst_case(server: &Server) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let site = Site::start(server)?;
    // Whatever the first request loads is there in each worker.
    site.ask(2 * WORKERS, 1)?;
    let lines = watch(&["--for", "8s"], &scratch.path().join("f.jsonl"), || site.ask(1, LARGEST))?;
    let pool = pool_of(&lines, site.master)?;
    ensure!(pool.is("memwatch.server", server.name), "{pool}");
    let growth = pool.number("memwatch.forecast.worker.growth")?;
    ensure!((LARGEST * 9 / 10..=LARGEST * 2).contains(&(growth / MIB)), "{pool}");
    let is_setting = |line: &&Line| {
        line.text("memwatch.forecast.setting.line").is_ok_and(|text| text.starts_with(server.setting))
    };
    ensure!(lines.iter().any(|line| is_setting(&line)), "no setting {:?}", server.setting);
    let foretold = pool.number("memwatch.forecast.worst")?;
    let before = site.takes();
    ensure!(before < foretold / 2, "{before} bytes are taken before the worst case, of {foretold}");
    let workers = children(site.master);
    // A worker that is busy takes no second request: soon each has met one.
    let each_is_large = || workers.iter().all(|pid| proportional([*pid].into_iter()) > LARGEST * MIB);
    for _ in 0..10 {
        site.ask(WORKERS, LARGEST)?;
        if each_is_large() {
            break;
        }
    }
    ensure!(each_is_large(), "a worker never met the largest request");
    ensure!(children(site.master) == workers, "a worker was restarted");
    near(foretold, site.takes())
}

/// Starts a pool that is no known server.
fn pool(step: u64, most: u64, every_ms: &str) -> anyhow::Result<Running> {
    let mut command = Command::new(locate::trigger()?);
    command.args(["pool", "--workers", "3", "--step", &step.to_string(), "--most", &most.to_string()]);
    command.args(["--every-ms", every_ms]).stdin(Stdio::null());
    let running = Running::start(&mut command)?;
    eventually(PATIENCE, "all workers run", || children(running.pid()).len() == 3)?;
    Ok(running)
}

/// The kernel counts the requests, and growth is shared out among them.
fn per_request(server: &Server) -> anyhow::Result<()> {
    const EACH_KIB: u64 = 1024;
    const REQUESTS: usize = 60;
    let scratch = Scratch::new()?;
    let site = Site::start(server)?;
    site.ask_for(2 * WORKERS, "leak/1")?;
    // Before three seconds are over, what a worker gains is its start.
    std::thread::sleep(Duration::from_secs(4));
    let lines = watch(&["--for", "10s"], &scratch.path().join("f.jsonl"), || {
        for _ in 0..REQUESTS / 4 {
            site.ask_for(4, &format!("leak/{EACH_KIB}"))?;
        }
        Ok(())
    })?;
    let pool = pool_of(&lines, site.master)?;
    ensure!(pool.is("memwatch.forecast.requests", REQUESTS as u64), "not {REQUESTS} requests: {pool}");
    ensure!(pool.is("memwatch.forecast.requests_by", "connections"), "{pool}");
    near(pool.number("memwatch.forecast.worker.per_request")?, EACH_KIB << 10)?;
    ensure!(pool.number("memwatch.forecast.advice.requests")? > 0, "{pool}");
    drop(site);
    Ok(())
}

fn too_short() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let record = scratch.path().join("f.jsonl");
    let pool = pool(MIB, 60 * MIB, "50")?;
    let master = pool.pid().to_string();
    watch(&["--master", &master, "--for", "1s"], &record, || Ok(()))?;
    let mut command = Command::new(locate::memwatch()?);
    let output = command
        .args(["forecast", "--check", "--output", "json", "--master", &master])
        .arg(&record)
        .output()?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && errors.contains("too few to foretell its use"), "{errors}");
    let lines: Vec<Line> = text.lines().map(Line::parse).collect::<Result<_, _>>()?;
    let of_host = lines.iter().filter(|line| line.name() == "forecast.check");
    let said = of_host.filter(|line| line.is("memwatch.forecast.check.too_short", true)).count();
    ensure!(said == 3, "{said} of three parts are told to be too short: {text}");
    Ok(())
}

fn named() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let record = scratch.path().join("f.jsonl");
    let pool = pool(4 * MIB, 40 * MIB, "20")?;
    let master = pool.pid().to_string();
    let is_full = |pid: u32| proportional([pid].into_iter()) >= 40 * MIB;
    eventually(PATIENCE, "the workers have grown", || children(pool.pid()).into_iter().all(is_full))?;
    let options = ["--master", &master, "--memory", "100MiB", "--keep-free", "0"];
    let lines = watch(&[&options[..], &["--for", "1s"]].concat(), &record, || Ok(()))?;
    let found = pool_of(&lines, pool.pid())?;
    near(found.number("memwatch.forecast.worst")?, 3 * 40 * MIB)?;
    found.expect(&[
        ("memwatch.forecast.fits", false.into()),
        ("memwatch.forecast.advice.workers", 2.into()),
        ("memwatch.forecast.room", "given".into()),
    ])?;
    // What was recorded says the same.
    let mut command = Command::new(locate::memwatch()?);
    let output = command.args(["forecast", "--output", "json"]).args(options).arg(&record).output()?;
    ensure!(output.status.code() == Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let again: Vec<Line> = text.lines().map(Line::parse).collect::<Result<_, _>>()?;
    let again = pool_of(&again, pool.pid())?.number("memwatch.forecast.worst")?;
    ensure!(again == found.number("memwatch.forecast.worst")?, "{again}: {found}");
    Ok(())
}

fn limited() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let group = Group::with_memory("pool")?;
    group.limit_memory(200 * MIB)?;
    let pool = pool(4 * MIB, 40 * MIB, "20")?;
    for pid in children(pool.pid()).into_iter().chain([pool.pid()]) {
        group.take(pid)?;
    }
    let master = pool.pid().to_string();
    let lines = watch(&["--master", &master, "--for", "1s"], &scratch.path().join("f.jsonl"), || Ok(()))?;
    pool_of(&lines, pool.pid())?.expect(&[
        ("memwatch.forecast.room", "cgroup".into()),
        ("memwatch.forecast.room.limit", (200 * MIB).into()),
        ("memwatch.forecast.room.usable", (200 * MIB / 100 * 90).into()),
    ])
}

fn checked() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let record = scratch.path().join("f.jsonl");
    let pool = pool(MIB, 60 * MIB, "50")?;
    let master = pool.pid().to_string();
    watch(&["--master", &master, "--for", "4s"], &record, || {
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    })?;
    let mut command = Command::new(locate::memwatch()?);
    let output = command
        .args(["forecast", "--check", "--output", "json", "--master", &master])
        .arg(&record)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Line> = text.lines().map(Line::parse).collect::<Result<_, _>>()?;
    // Pools of other tests are seen too.
    let of_pool: Vec<&Line> = lines
        .iter()
        .filter(|line| line.name() == "forecast.check_pool" && line.is("memwatch.master.pid", pool.pid()))
        .collect();
    ensure!(of_pool.len() == 3, "forecasts from three parts: {text}");
    for line in of_pool {
        let (foretold, came) =
            (line.number("memwatch.forecast.check.foretold")?, line.number("memwatch.forecast.check.came")?);
        ensure!(foretold > 0 && came >= 3 * MIB, "{line}");
    }
    ensure!(lines.iter().any(|line| line.name() == "forecast.check"), "nothing is said of the host: {text}");
    Ok(())
}
