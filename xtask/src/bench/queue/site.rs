//! A server apart from the host, its clients, and a look at it four times a second.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// Seconds after which a server ends, whatever comes.
const SECONDS: &str = "3600";
const PATIENCE: Duration = Duration::from_secs(60);
const GAP: Duration = Duration::from_millis(250);

/// A request is under way for a while. Each worker loads the framework by itself, as servers do by default.
const APP: &str = "import time, flask, json, decimal, sqlite3, xml.dom.minidom\n\
    app = flask.Flask(__name__)\n\
    own = bytearray(16 << 20)\n\
    @app.route('/')\n\
    def rest():\n    \
        time.sleep(0.05)\n    \
        return 'rested'\n";

/// A server; it ends when it is dropped.
pub(super) struct Site {
    child: Child,
    /// The server's master.
    master: u32,
}

/// What clients saw in one phase.
pub(super) struct Served {
    pub(super) times_ms: Vec<f64>,
    pub(super) failed: u64,
}

impl Site {
    /// Starts a server and waits for its workers.
    pub(super) fn start(trigger: &Path, root: &Path, start: &str, workers: usize) -> Result<Self> {
        let script = format!("exec >/tmp/log 2>&1; cat > /tmp/app.py <<'END'\n{APP}END\n{start}");
        let mut command = Command::new(trigger);
        command.args(["inside", "--seconds", SECONDS, "--root"]).arg(root);
        command.args(["--", "/bin/sh", "-c", &script]).stdin(Stdio::null());
        let child = command.spawn().context("cannot start a server")?;
        let mut site = Self { child, master: 0 };
        let deadline = Instant::now() + PATIENCE;
        while site.master == 0 {
            ensure!(Instant::now() < deadline, "the server does not start: {}", site.log());
            thread::sleep(Duration::from_millis(50));
            let only = |pid: u32| children(pid).first().copied();
            let master = only(site.id()).and_then(only);
            site.master = master.filter(|master| children(*master).len() >= workers).unwrap_or(0);
        }
        // Each worker loads the app before it takes a connection.
        thread::sleep(Duration::from_secs(5));
        Ok(site)
    }

    /// The root of its process tree.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> String {
        let first = children(self.id()).first().copied().unwrap_or(0);
        fs::read_to_string(format!("/proc/{first}/root/tmp/log")).unwrap_or_default()
    }

    /// So many clients send requests for so many seconds.
    pub(super) fn load(&self, clients: usize, seconds: usize) -> Result<Served> {
        let master = self.master.to_string();
        let mut command = Command::new("nsenter");
        // In the server's own network and root, where /tmp is.
        command.args(["--target", &master, "--net", "--mount", "--root", "--wd", "--", "ab", "-q", "-r"]);
        command.args(["-t", &seconds.to_string(), "-n", "10000000", "-c", &clients.to_string(), "-s", "30"]);
        let output = command.args(["-g", "/tmp/times", "http://127.0.0.1:8080/"]).output();
        let output = output.context("cannot start the clients")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "the clients gave up: {}{text}; the server: {}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        let number = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        let failed = number("Failed requests:").context("ab counts no failure")?;
        let times = fs::read_to_string(format!("/proc/{master}/root/tmp/times")).context("no times")?;
        // starttime, seconds, ctime, dtime, ttime, wait; times in milliseconds.
        let time = |line: &str| line.split('\t').nth(4)?.parse().ok();
        let times_ms: Vec<f64> = times.lines().skip(1).filter_map(time).collect();
        ensure!(!times_ms.is_empty(), "no request was answered: {}", self.log());
        Ok(Served { times_ms, failed: failed + number("Non-2xx responses:").unwrap_or(0) })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A server at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) workers: usize,
    pub(super) bytes: u64,
}

/// Looks at a server until it is told to end.
pub(super) struct Watch {
    ends: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    looks: Receiver<Look>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins.
    pub(super) fn start(root: u32) -> Self {
        let (ends, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, looks) = channel();
        let (has_ended, counted) = (Arc::clone(&ends), Arc::clone(&count));
        let thread = thread::spawn(move || {
            while !has_ended.load(Ordering::Relaxed) {
                if told.send(look(root)).is_err() {
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                thread::sleep(GAP);
            }
        });
        Self { ends, count, looks, thread }
    }

    /// Looks so far.
    pub(super) fn looks(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends, and gives all.
    pub(super) fn end(self) -> Result<Vec<Look>> {
        self.ends.store(true, Ordering::Relaxed);
        let looks = self.looks.iter().collect();
        self.thread.join().map_err(|_| anyhow::anyhow!("the look at the server failed"))?;
        Ok(looks)
    }
}

/// The master is below the first process of the server's own name space, which is below the root.
fn look(root: u32) -> Look {
    let masters: Vec<u32> = children(root).into_iter().flat_map(children).collect();
    let workers: Vec<u32> = masters.iter().copied().flat_map(children).collect();
    let bytes = masters.iter().chain(&workers).map(|pid| share(*pid)).sum();
    Look { workers: workers.len(), bytes }
}

/// Bytes of a process, shared pages by their share.
fn share(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Many small pools, each with a socket that its two workers share. A master is told from who starts it by an argument.
const CROWD: &str = "import os, sys, time
master = '''
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None)
libc.prctl(1, 9)
listener = socket.socket(); listener.bind((\"127.0.0.1\", 0)); listener.listen(8)
for _ in range(2):
    if os.fork() == 0:
        libc.prctl(1, 9)
        os.write(int(sys.argv[2]), b\"x\")
        time.sleep(600)
time.sleep(600)
'''
read, write = os.pipe()
os.set_inheritable(write, True)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.execv(sys.executable, ['python3', '-c', master, 'one-of-a-crowd', str(write)])
left = 2 * int(sys.argv[1])
while left: left -= len(os.read(read, left))
print('ready', flush=True)
time.sleep(600)
";

/// They end when it is dropped.
pub(super) struct Crowd {
    child: Child,
    pools: usize,
}

impl Crowd {
    /// Starts so many.
    pub(super) fn start(root: &Path, pools: usize) -> Result<Self> {
        let mut command = Command::new("chroot");
        command.arg(root).args(["python3", "-c", CROWD, &pools.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start pools")?;
        let output = child.stdout.take().context("pools have no output")?;
        let crowd = Self { child, pools };
        BufReader::new(output).read_line(&mut String::new()).context("wait for pools")?;
        Ok(crowd)
    }

    /// How many there are.
    pub(super) const fn pools(&self) -> usize {
        self.pools
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // The others end with their parents.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
