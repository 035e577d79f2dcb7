//! Workers of the test's own: Python programs that listen and wait in every way that servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// What every worker starts with: it prints its port when it is about to wait.
const LISTEN: &str = "
import os, select, socket, sys, threading, time
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
def serve():
    client, _ = listener.accept()
    client.recv(1)
    return client
";

struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
    key: ProcessKey,
}

impl Worker {
    /// Starts a worker that runs this after it listens.
    fn start(program: &str) -> (Self, u16) {
        let mut worker = Self::run(&format!("{LISTEN}{program}"));
        let port = worker.line().parse().unwrap();
        (worker, port)
    }

    fn run(program: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let output = BufReader::new(child.stdout.take().unwrap());
        let stat = ProcFs::open(Path::new("/proc")).unwrap().process(child.id()).unwrap().stat().unwrap();
        let key = ProcessKey { tgid: child.id(), start_ns: stat.start_ns };
        Self { child, output, key }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits until the worker is seen this way; fails with what it is seen as instead.
    fn comes_to_be(&self, idle: Option<bool>) {
        let mut meter = IdleMeter::open(Path::new("/proc")).unwrap();
        let started = Instant::now();
        loop {
            let seen = meter.is_idle(self.key);
            if seen == idle {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{seen:?} instead of {idle:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the worker sleeps, then returns how it is seen.
    fn seen_asleep(&self) -> Option<bool> {
        let dir = ProcFs::open(Path::new("/proc")).unwrap().process(self.key.tgid).unwrap();
        while dir.stat().unwrap().state != b'S' {
            std::thread::yield_now();
        }
        IdleMeter::open(Path::new("/proc")).unwrap().is_idle(self.key)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn in_each_way_to_wait_a_client_makes_it_busy() {
    for wait in [
        "pass",
        "select.select([listener, sys.stdin], [], [])",
        "p = select.poll(); p.register(0); p.register(listener); p.poll()",
        "e = select.epoll(); e.register(0); e.register(listener, select.EPOLLIN); e.poll()",
    ] {
        let (worker, port) = Worker::start(&format!("while True:\n {wait}\n serve()\n"));
        worker.comes_to_be(Some(true));
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        worker.comes_to_be(Some(false));
        client.write_all(b"x").unwrap();
        worker.comes_to_be(Some(true));
    }
}

#[test]
fn a_client_that_is_kept_makes_it_busy_though_it_waits_for_others() {
    let (worker, port) = Worker::start("kept = serve()\nserve()");
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"x").unwrap();
    worker.comes_to_be(Some(false));
    drop(client);
}

#[test]
fn threads_of_a_pool_rest_and_one_that_works_does_not() {
    let (worker, _) = Worker::start(
        "lock = threading.Lock()\nlock.acquire()\n[threading.Thread(target=lock.acquire).start() for _ in range(3)]\nserve()",
    );
    worker.comes_to_be(Some(true));
    let (worker, _) = Worker::start("threading.Thread(target=sys.stdin.read).start()\nserve()");
    assert_ne!(worker.seen_asleep(), Some(true));
    worker.comes_to_be(Some(false));
}

#[test]
fn a_connection_of_its_own_is_no_client() {
    let database = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let program = format!(
        "c = socket.create_connection(('127.0.0.1', {}))\na, b = socket.socketpair()\nserve()",
        database.local_addr().unwrap().port()
    );
    let (worker, _) = Worker::start(&program);
    let _accepted = database.accept().unwrap();
    worker.comes_to_be(Some(true));
}

#[test]
fn who_waits_for_anything_else_is_busy() {
    for program in
        ["print(1, flush=True)\nimport sys\nsys.stdin.read()", "print(1, flush=True)\nwhile True: pass"]
    {
        let mut worker = Worker::run(program);
        worker.line();
        worker.comes_to_be(Some(false));
    }
    // It sleeps, and nobody can come.
    let mut worker = Worker::run("print(1, flush=True)\nimport time\ntime.sleep(60)");
    worker.line();
    assert_eq!(worker.seen_asleep(), Some(false));
}

#[test]
fn unix_sockets_are_told_apart_by_their_name() {
    let path: PathBuf = std::env::temp_dir().join(format!("memwatch-idle-{}", std::process::id()));
    let program = format!(
        "import socket\nl = socket.socket(socket.AF_UNIX)\nl.bind('{}')\nl.listen()\nprint(1, flush=True)\n\
         while True:\n c, _ = l.accept()\n c.recv(1)\n c.close()",
        path.display()
    );
    let mut worker = Worker::run(&program);
    worker.line();
    worker.comes_to_be(Some(true));
    let mut client = UnixStream::connect(&path).unwrap();
    worker.comes_to_be(Some(false));
    client.write_all(b"x").unwrap();
    worker.comes_to_be(Some(true));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn too_many_descriptors_or_threads_are_not_looked_at() {
    let (worker, _) = Worker::start("kept = [os.dup(0) for _ in range(600)]\nprint(2, flush=True)\nserve()");
    worker.comes_to_be(None);
    let (worker, _) = Worker::start(
        "[threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(70)]\nserve()",
    );
    worker.comes_to_be(None);
}

#[test]
fn another_start_time_is_another_process() {
    let (worker, _) = Worker::start("serve()");
    let other = ProcessKey { start_ns: worker.key.start_ns + ProcessKey::TICK_NS, ..worker.key };
    assert_eq!(IdleMeter::open(Path::new("/proc")).unwrap().is_idle(other), None);
}
