//! How things stand, in numbers: what metrics show.

use super::Engine;
use crate::core::policy::explain::{Gauges, Query, ScopeGauges};
use crate::core::policy::rule::{self, View};
use crate::core::policy::world::ById;

impl Engine {
    /// How things stand. Nothing changes by it, and nobody is ranked for it.
    #[must_use]
    pub fn gauges(&self, now_ns: u64) -> Gauges {
        let mut alive = ById::default();
        self.count_alive(&mut alive);
        let view = View { now_ns, settings: &self.settings, world: &self.world };
        let scopes = self.settings.scopes.iter().enumerate().filter_map(|(number, scope)| {
            let level = rule::level(&view, number)?;
            Some(ScopeGauges {
                name: scope.name.clone(),
                used: level.used,
                memory: level.memory,
                lower: level.lower,
                upper: level.upper,
            })
        });
        Gauges {
            mode: self.settings.mode,
            host: self.world.host,
            processes: self.processes(),
            open: self.open(),
            kills: self.spent.at(now_ns).0,
            kill_budget: self.settings.budget.kills,
            scopes: scopes.collect(),
            pools: self.pool_states(now_ns, &Query::All, &alive),
        }
    }
}
