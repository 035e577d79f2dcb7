//! Who descends from whom.

use std::collections::HashMap;

use super::Ledger;
use crate::core::fact::ProcessKey;

impl Ledger {
    /// A living process and all that descend from it, the process itself first; empty when it is not known.
    ///
    /// A child that is older than the holder of its parent's pid is not its child: the parent died and the pid was
    /// given again. Children of a parent that died belong to whoever adopted them.
    #[must_use]
    pub fn descendants(&self, root: u32) -> Vec<ProcessKey> {
        let mut children: HashMap<u32, Vec<ProcessKey>> = HashMap::new();
        for identity in self.live.values() {
            if let Some(parent) = identity.parent_tgid {
                children.entry(parent).or_default().push(identity.key);
            }
        }
        let mut found: Vec<ProcessKey> = self.live.get(&root).map(|known| known.key).into_iter().collect();
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            next += 1;
            // Each list is taken out once, so that no forged circle of parents can go on for ever.
            let born = children.remove(&parent.tgid).unwrap_or_default();
            let tick = |key: ProcessKey| key.start_ns / ProcessKey::TICK_NS;
            found.extend(born.into_iter().filter(|&child| child.tgid != root && tick(child) >= tick(parent)));
        }
        found
    }
}
