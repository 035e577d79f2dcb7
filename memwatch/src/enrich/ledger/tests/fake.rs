//! A `/proc` made of ordinary files, and events made by hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use memwatch_ebpf::abi::event;
use memwatch_ebpf::abi::header::Header;

use crate::core::fact::{Body, Event, ProcessKey};
use crate::enrich::ledger::Ledger;
use crate::enrich::proc::ProcFs;

pub(super) struct FakeProc(PathBuf);

impl FakeProc {
    pub(super) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("memwatch-{name}-{}", std::process::id()));
        let cgroups = root.join("cgroups");
        fs::create_dir_all(cgroups.join("system.slice/web.service")).unwrap();
        fs::create_dir_all(root.join("self")).unwrap();
        let mountinfo = format!("1 0 0:1 / {} rw - cgroup2 c rw\n", cgroups.display());
        fs::write(root.join("self/mountinfo"), mountinfo).unwrap();
        Self(root)
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::new(ProcFs::open(&self.0).unwrap()).unwrap()
    }

    pub(super) fn cgroup_id(&self, path: &str) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.0.join("cgroups").join(path)).unwrap().ino()
    }

    /// Lets a process start (in place of the last holder of its pid).
    pub(super) fn start(&self, tgid: u32, start_ns: u64, parent: u32, comm: &str) {
        self.end(tgid);
        let dir = self.0.join(tgid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let ticks = start_ns / ProcessKey::TICK_NS;
        let stat = format!("{tgid} ({comm}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        let status = format!("Name:\t{comm}\nTgid:\t{tgid}\nPPid:\t{parent}\nUid:\t7\t0\t0\t0\n");
        fs::write(dir.join("status"), status).unwrap();
        fs::write(dir.join("cmdline"), format!("{comm}\0--flag\0")).unwrap();
        fs::write(dir.join("cgroup"), "0::/system.slice/web.service\n").unwrap();
        symlink(Path::new("/usr/bin").join(comm), dir.join("exe")).unwrap();
    }

    pub(super) fn write(&self, tgid: u32, file: &str, text: &str) {
        fs::write(self.0.join(tgid.to_string()).join(file), text).unwrap();
    }

    pub(super) fn end(&self, tgid: u32) {
        let _ = fs::remove_dir_all(self.0.join(tgid.to_string()));
    }
}

impl Drop for FakeProc {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A header of the leader of a process, ten seconds after its start, user 7, cgroup unknown.
pub(super) fn header(tgid: u32, start_ns: u64, comm: &str) -> Header {
    let mut name = [0; 16];
    name.iter_mut().zip(comm.bytes()).for_each(|(to, from)| *to = from);
    Header {
        time_ns: start_ns + 10_000_000_000,
        start_ns,
        cgroup_id: 0,
        seq: 1,
        tgid,
        tid: tgid,
        uid: 7,
        parent_tgid: 0,
        cpu: 0,
        kind: 0,
        version: 1,
        len: 0,
        comm: name,
    }
}

pub(super) fn mmap(header: Header) -> Event {
    Event { header, body: Body::Mmap(event::Mapping::default()) }
}

pub(super) fn exit(header: Header) -> Event {
    Event { header, body: Body::Exit(event::Exit::default()) }
}

pub(super) fn fork(header: Header, tgid: u32, start_ns: u64) -> Event {
    Event { header, body: Body::Fork(event::Fork { start_ns, tgid, outside: 0 }) }
}

pub(super) fn exec(header: Header, filename: &str, args: &[u8], args_total: usize) -> Event {
    let mut body = event::Exec {
        inode: 0,
        device: 0,
        generation: 0,
        args_len: u32::try_from(args.len()).unwrap(),
        args_total: u32::try_from(args_total).unwrap(),
        outside: 0,
        _pad: 0,
        filename: [0; event::FILENAME_LEN],
        args: [0; event::ARGS_LEN],
    };
    body.filename[..filename.len()].copy_from_slice(filename.as_bytes());
    body.args[..args.len()].copy_from_slice(args);
    Event { header, body: Body::Exec(Box::new(body)) }
}
