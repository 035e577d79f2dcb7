//! Container runtimes, asked over their socket (CRI) what they call a container.
//!
//! A thread of its own asks: what runs at the start, then what the runtime tells by itself where it does so, and each id that an
//! event brings and nobody knows. Whoever attributes an event looks into the [`Containers`] kept here, which takes a look-up in a
//! table and never waits.
//!
//! Invariants:
//! - What is kept outlives the container, for a time and in number; all of it has a bound in entries and bytes.
//! - Every call has a time and a size that it may take. What fails, stalls or makes no sense is counted, never fatal, and is tried
//!   again after a pause.
//! - A runtime that does not answer is not waited for.

pub mod api;
mod cache;
mod naming;
mod runtime;
mod sockets;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use crate::core::fact::Container;
use crate::core::naming::Naming;
use cache::Cache;
pub use cache::Losses;
pub use sockets::Sockets;
use sockets::{Socket, State};

/// How long an event may wait for the name of its container.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Ids that wait to be asked for, of one runtime.
const ASKS: usize = 1_024;

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its names.
    Known(Arc<Naming>),
    /// Somebody is being asked, and may know within [`PATIENCE`].
    Awaited,
    /// Nothing, and nothing to wait for.
    Unknown,
}

/// What container runtimes say of their containers; a handle that may be cloned.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    /// `None`: nobody is asked.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    cache: Mutex<Cache>,
    sockets: Vec<Socket>,
    /// Something became known, or will not be.
    changed: Notify,
    failed: AtomicU64,
}

impl Containers {
    /// Nobody is asked, nothing known.
    #[must_use]
    pub const fn none() -> Self {
        Self { shared: None }
    }

    /// Nobody is asked, and these are known.
    #[cfg(test)]
    pub(crate) fn knowing(namings: impl IntoIterator<Item = (String, Naming)>) -> Self {
        let mut cache = Cache::new(0);
        namings.into_iter().for_each(|(id, naming)| cache.insert(0, &id, naming));
        let cache = Mutex::new(cache);
        let (sockets, changed, failed) = (Vec::new(), Notify::new(), AtomicU64::new(0));
        Self { shared: Some(Arc::new(Shared { cache, sockets, changed, failed })) }
    }

    /// Asks the runtimes at these sockets, on a thread that ends with the last handle.
    ///
    /// # Errors
    /// When the thread cannot be had.
    pub fn start(sockets: &Sockets) -> io::Result<Self> {
        let paths = sockets.paths();
        if paths.is_empty() {
            return Ok(Self::none());
        }
        let (sockets, asked): (Vec<_>, Vec<_>) = paths
            .into_iter()
            .map(|(path, is_usual)| {
                let (asks, asked) = mpsc::channel(ASKS);
                (Socket::new(path, is_usual, asks), asked)
            })
            .unzip();
        let shared = Arc::new(Shared {
            cache: Mutex::new(Cache::new(sockets.len())),
            sockets,
            changed: Notify::new(),
            failed: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Weak: whoever looks things up keeps what is known, and its end ends the thread.
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new().name("memwatch-cri".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let tasks: Vec<_> = asked
                    .into_iter()
                    .enumerate()
                    .map(|(index, asked)| tokio::spawn(runtime::serve(weak.clone(), index, asked)))
                    .collect();
                for task in tasks {
                    // One that panicked has aborted the process.
                    let _ = task.await;
                }
            });
        })?;
        Ok(Self { shared: Some(shared) })
    }

    /// What is known of a container now.
    #[must_use]
    pub fn naming(&self, id: &str) -> Option<Arc<Naming>> {
        self.shared.as_ref()?.cache().naming(id)
    }

    /// The same; one that is not known is asked for. Where a path names another runtime than those at the sockets, nobody is.
    #[must_use]
    pub fn look_up(&self, container: &Container) -> Answer {
        let Some(shared) = &self.shared else { return Answer::Unknown };
        let id = container.id.as_str();
        let mut cache = shared.cache();
        if let Some(naming) = cache.naming(id) {
            return Answer::Known(naming);
        }
        let now = Instant::now();
        let answers = |socket: &&Socket| socket.may_know(container.runtime);
        let count = shared.sockets.iter().filter(answers).count();
        if count == 0 {
            return Answer::Unknown;
        }
        if cache.is_new(id, now) {
            let asks = shared.sockets.iter().filter(answers).filter(|socket| socket.ask(id)).count();
            // Where nobody has room for the question it may be asked again.
            if asks > 0 {
                cache.asked(id, asks, now);
            } else {
                cache.shed(1);
            }
        }
        if cache.is_awaited(id, now) { Answer::Awaited } else { Answer::Unknown }
    }

    /// Waits until something became known, or will not be.
    pub async fn changed(&self) {
        match &self.shared {
            Some(shared) => shared.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// What could not be asked or kept.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.shared.as_ref().map_or_else(Losses::default, |shared| Losses {
            calls_failed: shared.failed.load(Ordering::Relaxed),
            ..shared.cache().losses()
        })
    }
}

impl Shared {
    /// Held for moments only, by either side.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets how it stands with a socket; whoever waits for it learns that.
    fn set(&self, index: usize, state: State) {
        if let Some(socket) = self.sockets.get(index) {
            socket.set(state);
        }
        self.changed.notify_one();
    }
}
