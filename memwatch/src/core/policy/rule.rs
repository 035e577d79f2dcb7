//! The table of policies: each a file, each a row of [`RULES`].

mod audit;
mod fd_table;
mod growth;
mod host_bounds;
mod pressure;
mod process_limit;
mod queue;
mod thrash;
mod worker_pool;

use super::decision::{Cause, Gravity, Warning};
use super::settings::Settings;
use super::world::{Member, PoolId, ROOM, World};
use crate::core::fact::ProcessKey;

/// What a rule sees.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now_ns: u64,
    pub(super) settings: &'a Settings,
    pub(super) world: &'a World,
}

/// Among whom somebody is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// The workers in a scope, or every process in it where the scope says so.
    Scope(usize),
    /// The workers of a pool.
    Pool(PoolId),
    /// Nobody but this one.
    One(ProcessKey),
}

/// What a rule wants done. What becomes of it is for the engine to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) rule: &'static str,
    /// Number of the rule's entry in the settings.
    pub(super) entry: Option<usize>,
    pub(super) cause: Cause,
    pub(super) gravity: Gravity,
    pub(super) among: Among,
    /// Acts that should be under way: those that are count.
    pub(super) wanted: u32,
    /// Whether those that wait for a client go before those with more memory.
    pub(super) idle_first: bool,
}

/// What rules hand to the engine.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) proposals: Vec<Proposal>,
    pub(super) warnings: Vec<Warning>,
    /// Processes whose figures are needed before anything is proposed.
    pub(super) measure: Vec<ProcessKey>,
    /// Cgroups whose true use is to be read, by number.
    pub(super) audit: Vec<u64>,
    /// Pools of which a worker that goes needs no successor.
    pub(super) spareable: Vec<PoolId>,
    /// Time within which the rule wants to look again, in nanoseconds.
    pub(super) look_within_ns: Option<u64>,
}

/// Proposals and warnings for which room is made at the start.
const WISHES: usize = 256;

impl Wishes {
    /// None, with room for many.
    pub(super) fn with_room() -> Self {
        Self {
            proposals: Vec::with_capacity(WISHES),
            warnings: Vec::with_capacity(WISHES),
            measure: Vec::with_capacity(ROOM),
            audit: Vec::with_capacity(WISHES),
            spareable: Vec::with_capacity(WISHES),
            look_within_ns: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.proposals.clear();
        self.warnings.clear();
        self.measure.clear();
        self.audit.clear();
        self.spareable.clear();
        self.look_within_ns = None;
    }

    fn look_within(&mut self, time_ns: u64) {
        self.look_within_ns = Some(self.look_within_ns.map_or(time_ns, |known| known.min(time_ns)));
    }

    /// Puts the proposals from a place on in the order of their processes; members come in none.
    fn put_in_order(&mut self, first: usize) {
        if let Some(own) = self.proposals.get_mut(first..) {
            own.sort_unstable_by_key(|proposal| match proposal.among {
                Among::One(key) => Some(key),
                Among::Scope(_) | Among::Pool(_) => None,
            });
        }
    }

    /// Asks for figures that are missing or old. Whether there were any.
    fn needs<'a>(&mut self, now_ns: u64, members: impl Iterator<Item = (ProcessKey, &'a Member)>) -> bool {
        let before = self.measure.len();
        let due = members.filter(|(_, member)| member.is_stale(now_ns) && !member.is_unreadable);
        self.measure.extend(due.map(|(key, _)| key));
        self.measure.len() > before
    }
}

/// A policy. It proposes whenever it is asked; it is asked again and again, and told what is under way.
pub(super) trait Rule: std::fmt::Debug {
    /// Looks, and says what it wants.
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes);
}

pub(super) use fd_table::{NAME as FD_TABLE, entry_for as table_for};
pub(super) use growth::OF_POOL as POOL_GROWTH;
pub(super) use host_bounds::{NAME as HOST_BOUNDS, level};
pub(super) use process_limit::NAME as PROCESS_LIMIT;
pub(super) use queue::NAME as QUEUE;
pub(super) use worker_pool::{Totals, left as left_in_pools};

/// Makes every rule anew; the order is that in which their proposals are considered.
pub(super) const RULES: [fn() -> Box<dyn Rule>; 9] = [
    || Box::new(fd_table::FdTable),
    || Box::new(process_limit::ProcessLimit),
    || Box::<host_bounds::HostBounds>::default(),
    || Box::<pressure::PressureRule>::default(),
    || Box::<worker_pool::WorkerPool>::default(),
    || Box::<growth::GrowthRule>::default(),
    || Box::<thrash::ThrashRule>::default(),
    || Box::<audit::AuditRule>::default(),
    || Box::<queue::QueueRule>::default(),
];

/// The workers in a scope, or every process in it where the scope says so.
pub(super) fn candidates<'a>(
    settings: &'a Settings,
    world: &'a World,
    among: Among,
) -> impl Iterator<Item = (ProcessKey, &'a Member)> {
    world.members().filter(move |(key, member)| {
        member.is_free()
            && match among {
                Among::Scope(scope) => {
                    member.scopes & super::world::bit(scope) != 0
                        && (member.pool.is_some()
                            || settings.scopes.get(scope).is_some_and(|scope| scope.any_process))
                }
                Among::Pool(pool) => member.pool == Some(pool),
                Among::One(one) => *key == one,
            }
    })
}
