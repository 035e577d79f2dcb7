//! What waits at the sockets of pools, looked at on a thread of its own.
//!
//! Which sockets a pool listens at is told by the descriptors of its master and workers, looked at now and then. How long their
//! queues are is told by `sock_diag(7)`, asked once for all sockets of a network namespace: in that of each socket,
//! which need not be that of the pool (socket activation), nor the host's.

mod diag;
mod listeners;
mod network;
mod way;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::IdleMeter;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Figures, Input, PoolSight, Queue, Way};
use crate::enrich::proc::ProcFs;
use listeners::{Listeners, Sought};
use network::Networks;

/// Age from which on it is looked anew at which sockets a pool listens.
const SETTLED: Duration = Duration::from_secs(15);
/// Pools whose sockets are looked for in one round, at most.
const SOUGHT: usize = 16;
/// Time for glances at workers in one round; who was not reached is the first of the next.
const GLANCES: Duration = Duration::from_millis(20);

/// What is as it was is told again after this time: it counts for some longer.
const AGAIN: Duration = Duration::from_secs(2);

/// The thread that looks. It ends with this.
#[derive(Debug)]
pub struct Queues {
    asked: SyncSender<Vec<PoolSight>>,
    seen: mpsc::Receiver<Vec<Input>>,
}

impl Queues {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started, or `/proc` cannot be opened.
    pub fn start() -> io::Result<Self> {
        let mut meter = QueueMeter::open(Path::new("/proc"))?;
        let (asked, taken) = sync_channel::<Vec<PoolSight>>(1);
        let (told, seen) = mpsc::channel(4);
        std::thread::Builder::new()
            .name("memwatch-queues".into())
            .spawn(move || look_at_each(&mut meter, &taken, &told))?;
        Ok(Self { asked, seen })
    }

    /// Has pools looked at, and returns at once: whether the thread was free.
    #[must_use]
    pub fn ask(&self, pools: Vec<PoolSight>) -> bool {
        self.asked.try_send(pools).is_ok()
    }

    /// What was seen. Safe to give up waiting for.
    pub async fn seen(&mut self) -> Vec<Input> {
        match self.seen.recv().await {
            Some(seen) => seen,
            None => std::future::pending().await,
        }
    }
}

fn look_at_each(meter: &mut QueueMeter, asked: &Receiver<Vec<PoolSight>>, told: &mpsc::Sender<Vec<Input>>) {
    while let Ok(pools) = asked.recv() {
        let mut inputs = Vec::new();
        meter.look(&pools, &mut inputs);
        meter.glance(&pools, &mut inputs);
        if !inputs.is_empty() && told.blocking_send(inputs).is_err() {
            return;
        }
    }
}

/// Looks at pools' sockets.
#[derive(Debug)]
pub struct QueueMeter {
    proc: ProcFs,
    idle: IdleMeter,
    networks: Networks,
    pools: HashMap<ProcessKey, Sockets>,
    /// What was last told of each worker, and when.
    told: HashMap<ProcessKey, (bool, Instant)>,
    /// The worker at which the next round of glances begins.
    next: usize,
}

/// What was found out about a pool.
#[derive(Debug)]
struct Sockets {
    listeners: Listeners,
    way: Way,
    since: Instant,
    /// Workers when it was.
    workers: Vec<ProcessKey>,
}

impl QueueMeter {
    /// Of the `/proc` mounted at `root`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            proc: ProcFs::open(root)?,
            idle: IdleMeter::open(root)?,
            networks: Networks::default(),
            pools: HashMap::new(),
            told: HashMap::new(),
            next: 0,
        })
    }

    /// Reads every pool's queue. Of a pool that listens nowhere, or whose sockets may not be read, nothing is told.
    pub fn look(&mut self, pools: &[PoolSight], inputs: &mut Vec<Input>) {
        self.find(pools);
        self.networks.read(self.pools.values().map(|sockets| &sockets.listeners));
        for sight in pools {
            let Some(sockets) = self.pools.get(&sight.master) else { continue };
            inputs.extend(self.queue(sight.master, sockets).map(Input::Queue));
        }
    }

    /// Looks for the sockets of pools that are new, or were looked at long ago.
    fn find(&mut self, pools: &[PoolSight]) {
        self.pools.retain(|master, _| pools.iter().any(|sight| sight.master == *master));
        let is_due = |sight: &&PoolSight| {
            self.pools.get(&sight.master).is_none_or(|known| {
                known.since.elapsed() > SETTLED
                    || (known.listeners.is_per_worker && known.workers != sight.workers)
            })
        };
        let due: Vec<&PoolSight> = pools.iter().filter(is_due).take(SOUGHT).collect();
        for sight in due {
            let Ok(dir) = self.proc.process(sight.master.tgid) else { continue };
            let sought = Sought { master: sight.master, workers: &sight.workers };
            let Some(listeners) = sought.find(&self.proc, &mut self.networks) else { continue };
            let way = if sight.by_fifo { way::of(&dir) } else { Way::Open };
            let sockets = Sockets { listeners, way, since: Instant::now(), workers: sight.workers.clone() };
            self.pools.insert(sight.master, sockets);
        }
        let used: Vec<u64> = self.pools.values().flat_map(|sockets| sockets.listeners.networks()).collect();
        self.networks.keep(&used);
    }

    fn queue(&self, master: ProcessKey, sockets: &Sockets) -> Option<Queue> {
        let mut queue = Queue {
            master,
            sockets: 0,
            unix: 0,
            is_per_worker: sockets.listeners.is_per_worker,
            waiting: 0,
            most: 0,
            bound: 0,
            dropped: None,
            overflows: self.overflows(&sockets.listeners),
            way: sockets.way,
        };
        for listener in &sockets.listeners.all {
            let Some(state) = self.networks.state(listener) else { continue };
            queue.sockets += 1;
            queue.unix += u32::from(listener.is_unix);
            queue.waiting += u64::from(state.waiting);
            queue.most = queue.most.max(u64::from(state.waiting));
            queue.bound += u64::from(state.bound);
            if let Some(dropped) = state.dropped {
                queue.dropped = Some(queue.dropped.unwrap_or(0) + u64::from(dropped));
            }
        }
        (queue.sockets > 0).then_some(queue)
    }

    /// Those of all network namespaces that a pool has sockets in, each counted once.
    fn overflows(&self, listeners: &Listeners) -> Option<u64> {
        let networks: BTreeSet<u64> = listeners.networks().collect();
        networks
            .into_iter()
            .filter_map(|network| self.networks.overflows(network))
            .reduce(u64::saturating_add)
    }

    /// Looks which workers wait for a client, as many as there is time for.
    pub fn glance(&mut self, pools: &[PoolSight], inputs: &mut Vec<Input>) {
        let started = Instant::now();
        let workers: Vec<ProcessKey> =
            pools.iter().filter(|sight| sight.glance).flat_map(|sight| &sight.workers).copied().collect();
        self.told.retain(|_, (_, when)| when.elapsed() < AGAIN);
        let first = if self.next < workers.len() { self.next } else { 0 };
        self.next = 0;
        for (place, key) in workers.iter().enumerate().cycle().skip(first).take(workers.len()) {
            if started.elapsed() > GLANCES {
                self.next = place;
                return;
            }
            let Some(idle) = self.idle.is_idle(*key) else { continue };
            if self.told.get(key).is_some_and(|(told, _)| *told == idle) {
                continue;
            }
            self.told.insert(*key, (idle, Instant::now()));
            let figures = Figures { idle: Some(idle), ..Figures::default() };
            inputs.push(Input::Figures { key: *key, figures });
        }
    }
}

#[cfg(test)]
mod tests;
