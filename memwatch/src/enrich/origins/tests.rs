//! Origins over a `/proc` of ordinary files.

use std::fs;
use std::path::PathBuf;

use memwatch_ebpf::abi::state::LEARNED_READ;

use super::*;

const HUGE: u64 = 1 << 30;
const SECOND: u64 = 1_000_000_000;

struct FakeHost(PathBuf);

impl FakeHost {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("memwatch-origins-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("sys/fs")).unwrap();
        fs::write(root.join("sys/fs/nr_open"), "1073741824\n").unwrap();
        Self(root)
    }

    fn proc(&self) -> ProcFs {
        ProcFs::open(&self.0).unwrap()
    }

    /// Lets a process run with this limit, soft and hard.
    fn run(&self, tgid: u32, parent: u32, start_ns: u64, limit: u64) {
        let dir = self.0.join(tgid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let ticks = start_ns / ProcessKey::TICK_NS;
        let stat = format!("{tgid} (p{tgid}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("cgroup"), "0::/user.slice\n").unwrap();
        fs::write(dir.join("limits"), format!("Max open files            {limit} {limit} files\n")).unwrap();
    }

    fn end(&self, tgid: u32) {
        fs::remove_dir_all(self.0.join(tgid.to_string())).unwrap();
    }

    fn unit(&self, text: &str) -> String {
        let folder = self.0.join("etc/systemd/system");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("web.service");
        fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn process(parent: u32) -> Identity {
    Identity {
        parent_tgid: Some(parent),
        comm: b"server".to_vec(),
        ..Identity::unknown(ProcessKey { tgid: 100, start_ns: 9 * SECOND })
    }
}

fn learned(limit: u64) -> Learned {
    Learned { limit, how: LEARNED_READ, ..Learned::default() }
}

fn inherited(from: u32) -> Option<Origin> {
    Some(Origin::Inherited { from, comm: format!("p{from}").into_bytes() })
}

#[test]
fn the_shell_that_raised_it() {
    let host = FakeHost::new("shell");
    host.run(1, 0, 0, 1024);
    host.run(50, 1, 5 * SECOND, HUGE);
    host.run(100, 50, 9 * SECOND, HUGE);
    let (proc, own) = (host.proc(), process(50));
    let mut origins = Origins::at(&proc, &host.0);
    assert_eq!(origins.of_learned(&proc, &own, &learned(HUGE), 10 * SECOND), inherited(50));
    assert_eq!(origins.of_learned(&proc, &own, &learned(4096), 11 * SECOND), None, "changed since");
    host.end(100);
    assert_eq!(origins.of_learned(&proc, &own, &learned(HUGE), 12 * SECOND), inherited(50), "it died of it");
    assert_eq!(origins.of_learned(&proc, &own, &learned(4096), 13 * SECOND), None, "not its parent's");
    host.end(50);
    host.run(50, 1, 20 * SECOND, HUGE);
    let recycled = origins.of_learned(&proc, &own, &learned(HUGE), 21 * SECOND);
    assert_eq!(recycled, None, "a younger process is no parent");
}

#[test]
fn a_moment_ago_is_now() {
    let host = FakeHost::new("burst");
    host.run(50, 1, 5 * SECOND, HUGE);
    host.run(100, 50, 9 * SECOND, HUGE);
    let (proc, own) = (host.proc(), process(50));
    let mut origins = Origins::at(&proc, &host.0);
    let at = |origins: &mut Origins, now_ns| origins.of_learned(&proc, &own, &learned(HUGE), now_ns);
    assert_eq!(at(&mut origins, 10 * SECOND), inherited(50));
    host.run(50, 1, 5 * SECOND, 1024);
    assert_eq!(at(&mut origins, 10 * SECOND + ANCESTOR_NS - 1), inherited(50), "not read again");
    assert_eq!(at(&mut origins, 10 * SECOND + ANCESTOR_NS), Some(Origin::Own));
}

#[test]
fn a_unit_is_read_again_after_a_while() {
    let host = FakeHost::new("unit");
    let file = host.unit("[Service]\nLimitNOFILE=1073741824\n");
    host.run(50, 1, 5 * SECOND, HUGE);
    host.run(100, 50, 9 * SECOND, HUGE);
    let own = Identity { unit: Some("web.service".into()), ..process(50) };
    let proc = host.proc();
    let mut origins = Origins::at(&proc, &host.0);
    let mut at = |now_ns| origins.of_learned(&proc, &own, &learned(HUGE), now_ns);
    let unit = Some(Origin::Setting { unit: Some("web.service".into()), file });
    assert_eq!(at(10 * SECOND), unit);
    host.unit("[Service]\nLimitNOFILE=1024\n");
    assert_eq!(at(10 * SECOND + UNITS_NS - 1), unit, "not read again");
    assert_eq!(at(10 * SECOND + UNITS_NS), inherited(50), "what it has now is another's");
}
