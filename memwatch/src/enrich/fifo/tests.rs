//! Masters of the test's own that read FIFOs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::*;
use crate::enrich::proc::ProcFs;

/// Makes FIFOs, opens them for reading, and prints what comes out of the first.
const MASTER: &str = "
import os, sys, time
held = []
for path in sys.argv[1:]:
    os.mkfifo(path)
    held.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
{more}
print('ready', flush=True)
while True:
    for fd in held[:1]:
        order = os.read(fd, 1)
        if order: print(order.decode(), flush=True)
    time.sleep(0.01)
";

struct Master {
    child: Child,
    output: BufReader<ChildStdout>,
    paths: Vec<PathBuf>,
    dir: ProcessDir,
}

impl Master {
    fn start(name: &str, fifos: usize, more: &str) -> Self {
        let folder = std::env::temp_dir();
        let path = |number| folder.join(format!("memwatch-fifo-{name}-{number}-{}", std::process::id()));
        let paths: Vec<PathBuf> = (0..fifos).map(path).collect();
        let mut command = Command::new("python3");
        command.args(["-c", &MASTER.replace("{more}", more)]).args(&paths).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 runs");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        output.read_line(&mut String::new()).expect("it is ready");
        let dir = ProcFs::open(Path::new("/proc")).unwrap().process(child.id()).unwrap();
        Self { child, output, paths, dir }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[test]
fn an_order_arrives_wherever_the_file_went() {
    let mut master = Master::start("one", 1, "os.pipe()");
    std::fs::remove_file(&master.paths[0]).expect("its file");
    let fifo = Fifo::read_by(&master.dir).expect("a FIFO");
    fifo.open(&master.dir).expect("a reader").write_all(b"+").expect("an order");
    let mut order = [0; 2];
    master.output.read_exact(&mut order).expect("it was read");
    assert_eq!(&order, b"+\n");
}

#[test]
fn what_is_not_sure_is_not_used() {
    let none = Master::start("none", 0, "");
    assert_eq!(Fifo::read_by(&none.dir).map(drop), Err(Way::NoFifo));
    let two = Master::start("two", 2, "");
    assert_eq!(Fifo::read_by(&two.dir).map(drop), Err(Way::ManyFifos));
    let twice = Master::start("twice", 1, "os.dup(held[0])");
    assert!(Fifo::read_by(&twice.dir).is_ok());
    let written = Master::start("written", 1, "w = os.open(sys.argv[1], os.O_WRONLY); os.close(held.pop())");
    assert_eq!(Fifo::read_by(&written.dir).map(drop), Err(Way::NoFifo), "it gives orders by it");
}

#[test]
fn one_of_another_user_is_not_used() {
    let master = Master::start("foreign", 1, "os.chown(sys.argv[1], 4711, -1)");
    assert_eq!(Fifo::read_by(&master.dir).map(drop), Err(Way::ForeignFifo));
    let own = Master::start("own", 1, "os.chown(sys.argv[1], 4711, -1); os.setuid(4711)");
    assert!(Fifo::read_by(&own.dir).is_ok());
}

#[test]
fn nobody_is_waited_for() {
    let mut master = Master::start("gone", 1, "");
    let fifo = Fifo::read_by(&master.dir).expect("a FIFO");
    master.child.kill().expect("it ends");
    master.child.wait().expect("it ended");
    assert!(fifo.open(&master.dir).is_err());
}
