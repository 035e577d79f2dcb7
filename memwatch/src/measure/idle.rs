//! Whether a worker waits for a client.
//!
//! It does when every thread sleeps, at least one of them on a socket that listens (in accept, or in epoll, poll or select that
//! watch it) or for its turn to do so, and no descriptor is a client's connection. A connection is a client's when it was
//! accepted: it has the port or the path of a socket that listens. Connections that the worker itself made, to a database, do not
//! count.
//!
//! Sockets are asked themselves, through copies of the worker's descriptors that live for a microsecond each
//! (`pidfd_getfd(2)`): the answer is the same in every network namespace and costs the same however many connections the host
//! has. It is a glance: what the worker does a moment later is not known.

mod socket;
mod wait;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::core::fact::ProcessKey;
use crate::enrich::proc::number::decimal;
use crate::enrich::proc::{ProcFs, ProcessDir, scan_stat};
use socket::Socket;
use wait::{Wait, parse_wait};

/// Threads looked at; of a process with more nothing is told.
const THREADS: usize = 64;
/// Descriptors looked at; of a process with more nothing is told.
const DESCRIPTORS: usize = 512;
/// Bytes read of a file or of the worker's memory: 500 descriptors of an epoll, or as many of a poll.
const ROOM: usize = 32 * 1024;
/// `struct pollfd`: the descriptor is its first half.
const POLLFD: usize = 8;

/// Looks what workers wait for.
#[derive(Debug)]
pub struct IdleMeter {
    proc: ProcFs,
    room: Box<[u8; ROOM]>,
    path: String,
    numbers: Vec<u32>,
    waits: Vec<Wait>,
    listening: Vec<u32>,
    ports: Vec<u16>,
    connected: Vec<u16>,
}

impl IdleMeter {
    /// Opens the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it is not a folder that can be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            proc: ProcFs::open(root)?,
            room: Box::new([0; ROOM]),
            path: String::with_capacity(64),
            numbers: Vec::with_capacity(DESCRIPTORS),
            waits: Vec::with_capacity(THREADS),
            listening: Vec::with_capacity(DESCRIPTORS),
            ports: Vec::with_capacity(DESCRIPTORS),
            connected: Vec::with_capacity(DESCRIPTORS),
        })
    }

    /// Whether a worker waits for a client; `None` when that cannot be told: it is gone, may not be traced, or is too large
    /// to look at.
    pub fn is_idle(&mut self, key: ProcessKey) -> Option<bool> {
        let pid = i32::try_from(key.tgid).ok().and_then(Pid::from_raw)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let dir = self.proc.process(key.tgid).ok()?;
        let stat = scan_stat(dir.read_into("stat", self.room.as_mut()).ok()?).ok()?;
        if !stat.key().is_same(key) || stat.has_ended() {
            return None;
        }
        if !self.all_sleep(&dir)? || self.has_client(&dir, &process)? {
            return Some(false);
        }
        self.waits_on_listener(&dir)
    }

    /// Whether every thread sleeps in a call of interest; the calls are left in `waits`.
    fn all_sleep(&mut self, dir: &ProcessDir) -> Option<bool> {
        self.waits.clear();
        dir.numbers("task", THREADS, &mut self.numbers).ok()??;
        for &thread in &self.numbers {
            write_path(&mut self.path, "task/", thread, "/syscall");
            let mut file = dir.file(&self.path).ok()?;
            let wait = parse_wait(read(&mut file, self.room.as_mut())?)?;
            if wait == Wait::Other {
                return Some(false);
            }
            self.waits.push(wait);
        }
        Some(!self.waits.is_empty())
    }

    /// Whether a descriptor is a client's connection; those that listen are left in `listening`.
    fn has_client(&mut self, dir: &ProcessDir, process: &OwnedFd) -> Option<bool> {
        self.listening.clear();
        self.ports.clear();
        self.connected.clear();
        dir.numbers("fd", DESCRIPTORS, &mut self.numbers).ok()??;
        for &fd in &self.numbers {
            write_path(&mut self.path, "fd/", fd, "");
            if !dir.link_starts(&self.path, b"socket:") {
                continue;
            }
            let copy = match pidfd_getfd(process, i32::try_from(fd).ok()?, PidfdGetfdFlags::empty()) {
                Ok(copy) => copy,
                // Closed since.
                Err(rustix::io::Errno::BADF) => continue,
                Err(_) => return None,
            };
            match socket::ask(&copy)? {
                Socket::Accepted => return Some(true),
                Socket::Connected(port) => self.connected.push(port),
                Socket::Listens(port) => {
                    self.listening.push(fd);
                    self.ports.extend(port);
                }
                Socket::Other => {}
            }
        }
        Some(self.connected.iter().any(|port| self.ports.contains(port)))
    }

    /// Whether a thread waits on a socket that listens, or all of them for their turn.
    fn waits_on_listener(&mut self, dir: &ProcessDir) -> Option<bool> {
        if self.listening.is_empty() {
            return Some(false);
        }
        if self.waits.iter().all(|wait| *wait == Wait::Rest) {
            return Some(true);
        }
        for at in 0..self.waits.len() {
            let watches = match *self.waits.get(at)? {
                Wait::Accept(fd) => self.listening.contains(&fd),
                Wait::Epoll(fd) => self.epoll_watches(dir, fd)?,
                Wait::Poll(address, count) => self.poll_watches(dir, address, count)?,
                Wait::Select(address, count) => self.select_watches(dir, address, count)?,
                Wait::Rest | Wait::Other => false,
            };
            if watches {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Each descriptor that an epoll watches has a line `tfd: N …` (`ep_show_fdinfo` of fs/eventpoll.c, 6.18).
    fn epoll_watches(&mut self, dir: &ProcessDir, epoll: u32) -> Option<bool> {
        write_path(&mut self.path, "fdinfo/", epoll, "");
        let mut file = dir.file(&self.path).ok()?;
        let text = read(&mut file, self.room.as_mut())?;
        let watched = |line: &[u8]| {
            let mut words =
                line.strip_prefix(b"tfd:")?.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
            decimal(words.next()?)
        };
        let mut lines = text.split(|&byte| byte == b'\n').filter_map(watched);
        Some(lines.any(|fd| self.listening.iter().any(|listening| u64::from(*listening) == fd)))
    }

    fn poll_watches(&mut self, dir: &ProcessDir, address: u64, count: u64) -> Option<bool> {
        let bytes = usize::try_from(count).ok()?.checked_mul(POLLFD)?;
        let memory = read_memory(dir, address, self.room.get_mut(..bytes)?)?;
        let mut watched = memory.chunks_exact(POLLFD).filter_map(|entry| entry.first_chunk::<4>());
        Some(watched.any(|fd| self.listening.contains(&u32::from_ne_bytes(*fd))))
    }

    fn select_watches(&mut self, dir: &ProcessDir, address: u64, count: u64) -> Option<bool> {
        if address == 0 {
            return Some(false);
        }
        let bytes = usize::try_from(count).ok()?.div_ceil(8);
        let memory = read_memory(dir, address, self.room.get_mut(..bytes)?)?;
        let is_set = |fd: u32| memory.get(fd as usize / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
        Some(self.listening.iter().any(|fd| u64::from(*fd) < count && is_set(*fd)))
    }
}

fn write_path(path: &mut String, folder: &str, number: u32, file: &str) {
    path.clear();
    path.push_str(folder);
    path.push_str(itoa::Buffer::new().format(number));
    path.push_str(file);
}

/// The whole of a small file; `None` when it does not fit.
fn read<'a>(file: &mut File, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut filled = 0;
    loop {
        match file.read(room.get_mut(filled..)?).ok()? {
            0 if filled == room.len() => return None,
            0 => return room.get(..filled),
            more => filled += more,
        }
    }
}

fn read_memory<'a>(dir: &ProcessDir, address: u64, room: &'a mut [u8]) -> Option<&'a [u8]> {
    dir.file("mem").ok()?.read_exact_at(room, address).ok()?;
    Some(room)
}

#[cfg(test)]
mod tests;
