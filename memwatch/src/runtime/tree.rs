//! Marks running processes for the kernel's filters.

use anyhow::bail;

use crate::enrich::ledger::Ledger;
use crate::probe::attach::Probe;
use memwatch_ebpf::abi::knobs::MARK_INHERITED;

/// Rounds in which descendants are looked for: each finds those forked before their parent was marked.
const ROUNDS: u32 = 5;

/// Marks a process, and where the marks have [`MARK_INHERITED`] all below it now and later. Returns the ids marked.
///
/// # Errors
/// When there is no such process, or the map is full.
pub fn mark_tree(probe: &mut Probe, ledger: &mut Ledger, root: u32, marks: u32) -> anyhow::Result<Vec<u32>> {
    // Before it is looked for: its end takes the mark away, so that a later holder of the id never has it.
    probe.mark(root, marks)?;
    // /proc/ID answers for a thread's id as well; a process leads its own group.
    let status = std::fs::read_to_string(format!("/proc/{root}/status")).unwrap_or_default();
    if !status.lines().any(|line| line.strip_prefix("Tgid:").is_some_and(|id| id.trim() == root.to_string()))
    {
        probe.unmark(root)?;
        bail!("there is no process with pid {root}; `ps -e` lists those that run");
    }
    let mut marked = vec![root];
    if marks & MARK_INHERITED == 0 {
        return Ok(marked);
    }
    for _ in 0..ROUNDS {
        ledger.seed()?;
        let fresh: Vec<_> = ledger
            .descendants(root)
            .into_iter()
            .map(|key| key.tgid)
            .filter(|tgid| !marked.contains(tgid))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for tgid in fresh {
            probe.mark(tgid, marks)?;
            marked.push(tgid);
        }
    }
    Ok(marked)
}
