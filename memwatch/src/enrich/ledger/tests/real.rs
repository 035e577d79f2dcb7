//! Against the running kernel.

use std::path::Path;
use std::process::Command;

use crate::enrich::ledger::Ledger;
use crate::enrich::proc::ProcFs;

#[test]
fn seeding_finds_this_process_and_its_child() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let mut ledger = Ledger::new(ProcFs::open(Path::new("/proc")).unwrap()).unwrap();
    ledger.seed().unwrap();
    let keys = ledger.descendants(std::process::id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(keys.first().unwrap().tgid, std::process::id());
    let key = keys.into_iter().find(|key| key.tgid == child.id()).unwrap();
    let identity = ledger.get(key).unwrap();
    assert_eq!(identity.parent_tgid, Some(std::process::id()));
    assert!(identity.cgroup_path.is_some());

    ledger.reconcile().unwrap();
    assert!(ledger.losses().exits_inferred >= 1);
    assert!(ledger.get(key).is_some(), "the dead keep their identity");
}
