//! What waits at the sockets of a pool, and who of its workers waits for a client, say how many workers it should have. Memory
//! is the other side of the scale: nothing grows above the lower bound of a scope, nor when all workers and one more
//! would pass it, should each come to hold as much as any has held.

use foldhash::fast::FixedState;

use super::{Among, Proposal, Rule, View, Wishes, level};
use crate::core::fact::ProcessKey;
use crate::core::policy::decision::{Cause, Gravity, Turn};
use crate::core::policy::engine::POOLS;
use crate::core::policy::queue::Known;
use crate::core::policy::server::Server;
use crate::core::policy::settings::{Pool, Sizing};
use crate::core::policy::sizing::{Seen, Sizer};
use crate::core::policy::world::{ById, Member, PoolId, bit, pool_settings};

/// Its name in reports.
pub(in crate::core::policy) const NAME: &str = "queue";
/// Age from which on a look at sockets or at a worker counts no more, in nanoseconds.
const FRESH_NS: u64 = 5_000_000_000;

#[derive(Debug)]
pub(super) struct QueueRule {
    tracks: ById<PoolId, Track>,
    counts: ById<PoolId, Count>,
    /// Pools in order; kept for its room.
    pools: Vec<PoolId>,
}

/// A pool from look to look.
#[derive(Debug)]
struct Track {
    master: ProcessKey,
    sizer: Sizer,
    /// The most that a worker has held of its own.
    peak: Option<u64>,
    /// When a worker last went without a successor that was noted.
    unreplaced_ns: Option<u64>,
}

/// The workers of a pool.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    workers: u32,
    idle: u32,
    scopes: u64,
    /// Bytes of their own.
    private: u64,
    /// The most that one of them has held.
    peak: Option<u64>,
}

/// What memory allows.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    /// Bytes that all workers and one more may take beyond what they hold.
    worst: Option<u64>,
    /// Bytes that may be taken.
    free: Option<u64>,
    is_tight: bool,
}

impl Default for QueueRule {
    fn default() -> Self {
        Self {
            tracks: ById::with_capacity_and_hasher(POOLS, FixedState::default()),
            counts: ById::with_capacity_and_hasher(POOLS, FixedState::default()),
            pools: Vec::with_capacity(POOLS),
        }
    }
}

impl Rule for QueueRule {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        self.tracks
            .retain(|pool, track| view.world.queue(*pool).is_some_and(|q| q.queue.master == track.master));
        self.counts.clear();
        for (_, member) in view.world.members() {
            let Some(id) = member.pool else { continue };
            if view.world.queue(id).is_none() || sizing_of(view, id).is_none() || !is_worker(view, id, member)
            {
                continue;
            }
            self.counts.entry(id).or_default().add(view.now_ns, member);
        }
        // Pools come in no order; a run can be repeated.
        self.pools.clear();
        self.pools.extend(self.counts.keys());
        self.pools.sort_unstable_by_key(|pool| (pool.entry, pool.master));
        for place in 0..self.pools.len() {
            if let Some(id) = self.pools.get(place).copied() {
                self.propose_one(view, id, wishes);
            }
        }
    }
}

impl QueueRule {
    fn propose_one(&mut self, view: &View<'_>, id: PoolId, wishes: &mut Wishes) {
        let (Some(count), Some(known)) = (self.counts.get(&id).copied(), view.world.queue(id)) else {
            return;
        };
        let Some((pool, sizing)) = sizing_of(view, id) else { return };
        let now_ns = view.now_ns;
        if now_ns.saturating_sub(known.time_ns) > FRESH_NS {
            return;
        }
        let fresh =
            || Track { master: known.queue.master, sizer: Sizer::default(), peak: None, unreplaced_ns: None };
        let track = self.tracks.entry(id).or_insert_with(fresh);
        track.peak = track.peak.max(count.peak);
        let room = room(view, &count, pool, track.peak);
        if let Some(gone_ns) = known.unreplaced_ns.filter(|gone_ns| track.unreplaced_ns != Some(*gone_ns)) {
            track.unreplaced_ns = Some(gone_ns);
            track.sizer.shrunk(gone_ns);
        }
        let seen = seen(now_ns, &count, known, pool, room);
        let due = track.sizer.look(sizing, &seen);
        if due.is_none() && now_ns >= known.rests_until_ns && track.sizer.can_spare(sizing, &seen) {
            wishes.spareable.push(id);
        }
        wishes.look_within(sizing.gap_ns());
        if track.sizer.is_long() {
            wishes.needs(now_ns, view.world.workers(id));
        }
        // By default the signals that tell a master stop it: whether it hears them has to be known.
        let master = view.world.holder(id.master).filter(|master| master.figures().caught.is_none());
        wishes.measure.extend(master.filter(|master| !master.is_unreadable).map(|master| master.who.key));
        let Some(due) = due.filter(|_| now_ns >= known.rests_until_ns) else { return };
        wishes.proposals.push(Proposal {
            rule: NAME,
            entry: id.entry,
            cause: Cause::Queue(Turn {
                step: due.step,
                workers: seen.workers,
                idle: seen.idle,
                waiting: seen.waiting,
                bound: known.queue.bound,
                lasting_ns: due.lasting_ns,
                peak: track.peak,
                worst: room.worst,
                room: room.free,
            }),
            gravity: Gravity::Resize,
            among: Among::Pool(id),
            wanted: 1,
            idle_first: true,
        });
    }
}

impl Count {
    fn add(&mut self, now_ns: u64, member: &Member) {
        let figures = member.figures();
        self.workers += 1;
        self.idle += u32::from(member.has_waited(now_ns, FRESH_NS));
        self.scopes |= member.scopes;
        let Some(private) = figures.private else { return };
        self.private += private;
        // What was resident at most, without what it shares now.
        let shared = figures.resident.unwrap_or(private).saturating_sub(private);
        let peak = figures.peak.map_or(private, |peak| peak.saturating_sub(shared).max(private));
        self.peak = self.peak.max(Some(peak));
    }
}

/// How a pool looks to its sizer: as it would be, had everything been done that was only told.
fn seen(now_ns: u64, count: &Count, known: &Known, pool: &Pool, room: Room) -> Seen {
    let minus = |number: u32| i64::from(number) - i64::from(known.spared);
    let idle = minus(count.idle);
    // Who would not have been there would have left its client waiting.
    let lacking = u64::try_from(-idle).unwrap_or(0);
    Seen {
        now_ns,
        workers: u32::try_from(minus(count.workers)).unwrap_or(0),
        idle: u32::try_from(idle).unwrap_or(0),
        waiting: known.queue.waiting + lacking,
        least: pool.min_alive,
        has_room: room.worst.zip(room.free).is_some_and(|(worst, free)| worst <= free),
        is_tight: room.is_tight,
        strands: known.queue.is_per_worker && known.queue.most > 0,
    }
}

/// What the bounds of the pool's scopes leave, its total, and the host where there are none.
fn room(view: &View<'_>, count: &Count, pool: &Pool, peak: Option<u64>) -> Room {
    let scopes = (0..view.settings.scopes.len()).filter(|scope| count.scopes & bit(*scope) != 0);
    let mut free: Option<u64> = None;
    let mut is_tight = false;
    for level in scopes.filter_map(|scope| level(view, scope)) {
        is_tight |= level.used >= level.lower;
        free = Some(free.unwrap_or(u64::MAX).min(level.lower.saturating_sub(level.used)));
    }
    if let Some(total) = pool.total {
        let left = total.saturating_sub(count.private);
        free = Some(free.unwrap_or(u64::MAX).min(left));
    }
    let free = free.or(view.world.host.map(|host| host.available));
    let all = |peak: u64| peak.saturating_mul(u64::from(count.workers) + 1).saturating_sub(count.private);
    Room { worst: peak.map(all), free, is_tight }
}

fn sizing_of<'a>(view: &View<'a>, id: PoolId) -> Option<(&'a Pool, &'a Sizing)> {
    let pool = pool_settings(view.settings, id)?;
    pool.size.as_ref().map(|sizing| (pool, sizing))
}

/// In a pool that nobody described, who does not hear the server's signal is none: a gateway, a logger.
fn is_worker(view: &View<'_>, id: PoolId, member: &Member) -> bool {
    let signal = || Server::of(&view.world.holder(id.master)?.who)?.found_signal();
    let caught = member.figures().caught;
    id.entry.is_some() || signal().is_none_or(|signal| caught.is_none_or(|caught| signal.is_in(caught)))
}
