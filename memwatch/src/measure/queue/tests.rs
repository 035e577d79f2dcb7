//! Pools of the test's own: Python programs that listen in every way that servers do, and accept nobody.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// A master with two workers that never accept; `{listen}` stands before the fork, `{own}` in each worker. When all are ready the
/// address of `listener` is printed.
const POOL: &str = "
import ctypes, os, signal, socket, sys, time
def tcp(backlog, port=0, reuse=False):
    s = socket.socket()
    if reuse: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(('127.0.0.1', port)); s.listen(backlog)
    return s
libc = ctypes.CDLL(None)
{listen}
ready = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        libc.prctl(1, 9)
        {own}
        os.write(ready[1], b'x')
        time.sleep(120)
while len(os.read(ready[0], 1)) == 1:
    if len(os.read(ready[0], 1)) == 1: break
{after}
print(listener.getsockname()[1] if listener.family == socket.AF_INET else listener.getsockname(), flush=True)
time.sleep(120)
";

struct Pool {
    child: Child,
    sight: PoolSight,
    address: String,
}

impl Pool {
    fn start(listen: &str, own: &str) -> Self {
        Self::start_by(&mut Command::new("python3"), listen, own, "")
    }

    fn start_by(python: &mut Command, listen: &str, own: &str, after: &str) -> Self {
        let program = POOL.replace("{listen}", listen).replace("{own}", own).replace("{after}", after);
        let mut child = python.args(["-c", &program]).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("a line");
        // Behind `unshare --fork` the master is a child.
        let first = children(child.id());
        let (master, workers) =
            if let [master] = *first { (master, children(master)) } else { (child.id(), first) };
        assert_eq!(workers.len(), 2, "{address}");
        let workers = workers.into_iter().map(key).collect();
        let sight = PoolSight { master: key(master), workers, glance: true, by_fifo: false };
        Self { child, sight, address: address.trim().to_owned() }
    }

    fn port(&self) -> u16 {
        self.address.parse().expect("a port")
    }

    fn look(&self) -> Option<Queue> {
        look(&mut QueueMeter::open(Path::new("/proc")).expect("/proc"), &self.sight)
    }

    /// Looks until so many wait: a handshake is done a moment after `connect` has returned.
    fn waits(&self, count: u64) -> Queue {
        let started = Instant::now();
        loop {
            let queue = self.look().expect("a queue");
            if queue.waiting == count {
                return queue;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{queue:?} instead of {count}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for key in self.sight.workers.iter().chain([&self.sight.master]) {
            crate::sys::signal_child(key.tgid, libc::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn key(pid: u32) -> ProcessKey {
    let stat = ProcFs::open(Path::new("/proc")).unwrap().process(pid).unwrap().stat().unwrap();
    ProcessKey { tgid: pid, start_ns: stat.start_ns }
}

fn look(meter: &mut QueueMeter, sight: &PoolSight) -> Option<Queue> {
    let mut inputs = Vec::new();
    meter.look(std::slice::from_ref(sight), &mut inputs);
    inputs.into_iter().find_map(|input| if let Input::Queue(queue) = input { Some(queue) } else { None })
}

fn connect(port: u16, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a connection")).collect()
}

#[test]
fn what_waits_at_a_shared_socket_is_counted_once() {
    let pool = Pool::start("listener = tcp(5)", "");
    let queue = pool.waits(0);
    assert_eq!((queue.sockets, queue.unix, queue.bound, queue.is_per_worker), (1, 0, 5, false));
    assert_eq!((queue.dropped, queue.way), (Some(0), Way::Open));
    let _clients = connect(pool.port(), 3);
    assert_eq!(pool.waits(3).most, 3);
}

#[test]
fn a_bound_of_nothing_lets_one_wait_and_who_finds_it_full_is_counted() {
    let pool = Pool::start("listener = tcp(0)", "");
    let before = pool.waits(0);
    assert_eq!(before.bound, 0);
    let _client = connect(pool.port(), 1);
    pool.waits(1);
    let address = ([127, 0, 0, 1], pool.port()).into();
    let late = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    assert!(late.is_err(), "the queue is full");
    let after = pool.waits(1);
    assert!(after.dropped > Some(0), "{after:?}");
    assert!(after.overflows > before.overflows, "{before:?} {after:?}");
}

#[test]
fn sockets_of_single_workers_are_added_up() {
    let pool = Pool::start(
        "port = tcp(1, reuse=True); listener = port",
        "own = tcp(7, port.getsockname()[1], True)",
    );
    let queue = pool.look().expect("a queue");
    // The one of before the fork is shared.
    assert_eq!((queue.sockets, queue.bound, queue.is_per_worker), (1, 1, false));
    let pool = Pool::start(
        "port = socket.socket(); port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); port.bind(('127.0.0.1', 0)); listener = port",
        "own = tcp(7, port.getsockname()[1], True)",
    );
    let clients = connect(pool.port(), 6);
    let queue = pool.waits(6);
    assert_eq!((queue.sockets, queue.bound, queue.is_per_worker), (2, 14, true));
    assert!(queue.most < 6 || clients.len() == 6, "{queue:?}");
}

#[test]
fn a_socket_that_only_the_master_holds_is_its_own() {
    let pool = Pool::start("listener = tcp(5); stats = tcp(9)", "stats.close()");
    assert_eq!(pool.look().map(|queue| (queue.sockets, queue.bound)), Some((1, 5)));
    let pool = Pool::start("listener = tcp(5)", "listener.close()");
    assert_eq!(pool.look(), None, "no worker listens");
}

#[test]
fn who_waits_to_be_let_in_at_a_unix_socket_is_not_counted() {
    let path = std::env::temp_dir().join(format!("memwatch-queue-{}", std::process::id()));
    let listen = format!(
        "listener = socket.socket(socket.AF_UNIX); listener.bind('{}'); listener.listen(2)",
        path.display()
    );
    let pool = Pool::start(&listen, "");
    let mut clients: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).expect("room")).collect();
    let queue = pool.waits(3);
    assert_eq!((queue.sockets, queue.unix, queue.bound, queue.dropped), (1, 1, 2, None));
    let late = path.clone();
    let waiting = std::thread::spawn(move || UnixStream::connect(late).is_ok());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(pool.waits(3).waiting, 3, "a fourth waits in connect(2)");
    clients.clear();
    drop(pool);
    // Its connection ended with the socket, before or after it was let in.
    let _ = waiting.join();
    std::fs::remove_file(path).expect("the socket's file");
}

#[test]
fn pools_in_namespaces_of_their_own_are_read_there() {
    let mut apart = Command::new("unshare");
    apart.args(["--net", "--pid", "--fork", "--kill-child", "python3"]);
    let setup = "os.system('ip link set lo up'); listener = tcp(6)";
    let client = "clients = [socket.create_connection(listener.getsockname()) for _ in range(4)]";
    let pool = Pool::start_by(&mut apart, setup, "", client);
    let queue = pool.waits(4);
    assert_eq!((queue.sockets, queue.bound), (1, 6));
    assert_eq!(queue.overflows, Some(0), "the namespace is new");
}

#[test]
fn a_socket_that_was_handed_over_is_read_in_the_namespace_it_came_from() {
    // As systemd does for a service with PrivateNetwork=yes and a socket unit.
    let pool = Pool::start("listener = tcp(5); libc.unshare(0x40000000)", "");
    let _clients = connect(pool.port(), 2);
    pool.waits(2);
}

#[test]
fn a_master_that_is_another_by_now_is_looked_at_anew() {
    let pool = Pool::start("listener = tcp(5)", "");
    let mut meter = QueueMeter::open(Path::new("/proc")).expect("/proc");
    assert!(look(&mut meter, &pool.sight).is_some());
    let mut other = pool.sight.clone();
    other.master.start_ns += ProcessKey::TICK_NS;
    // Its workers hold the socket together, whoever the master is.
    assert_eq!(look(&mut meter, &other).map(|queue| queue.master), Some(other.master));
    assert_eq!(meter.pools.len(), 1);
    meter.look(&[], &mut Vec::new());
    assert!(meter.pools.is_empty());
    meter.look(&[], &mut Vec::new());
    assert!(meter.networks.is_empty(), "no namespace is kept alive");
}

#[test]
fn workers_that_accept_are_seen_to_wait() {
    let pool = Pool::start("listener = tcp(5)", "os.write(ready[1], b'x'); listener.accept()");
    let mut meter = QueueMeter::open(Path::new("/proc")).expect("/proc");
    let started = Instant::now();
    loop {
        let mut inputs = Vec::new();
        meter.told.clear();
        meter.glance(std::slice::from_ref(&pool.sight), &mut inputs);
        let is_idle =
            |input: &Input| matches!(input, Input::Figures { figures: Figures { idle: Some(true), .. }, .. });
        if inputs.len() == 2 && inputs.iter().all(is_idle) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{inputs:?}");
    }
    let mut inputs = Vec::new();
    meter.glance(std::slice::from_ref(&pool.sight), &mut inputs);
    assert_eq!(inputs, [], "nothing has changed");
    meter.told.clear();
    meter.glance(&[PoolSight { glance: false, ..pool.sight.clone() }], &mut inputs);
    assert_eq!(inputs, []);
}

/// Figures for a person: `cargo test -p memwatch --release queues_of_200_pools -- --ignored --nocapture`.
#[test]
#[ignore = "it takes a quiet machine"]
fn queues_of_200_pools() {
    let pools: Vec<Pool> = (0..200).map(|_| Pool::start("listener = tcp(5)", "")).collect();
    let sights: Vec<PoolSight> = pools.iter().map(|pool| pool.sight.clone()).collect();
    let mut meter = QueueMeter::open(Path::new("/proc")).expect("/proc");
    let mut times = Vec::new();
    for _ in 0..50 {
        let (started, mut inputs) = (Instant::now(), Vec::new());
        meter.look(&sights, &mut inputs);
        times.push((started.elapsed(), inputs.len()));
    }
    println!("{times:?}");
    assert!(times.last().is_some_and(|(time, queues)| *queues == 200 && *time < Duration::from_millis(5)));
}
