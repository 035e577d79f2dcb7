//! Memory in use by a process tree or by the host, watched beside a test by nothing of memwatch's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use crate::site::children;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Whose memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A process and its descendants: the sum of their proportional shares (PSS).
    Tree(u32),
    /// What is not available any more.
    Host,
}

impl Whose {
    /// Bytes in use now.
    #[must_use]
    pub fn used(self) -> u64 {
        match self {
            Self::Tree(root) => {
                share(root) + children(root).into_iter().map(|it| Self::Tree(it).used()).sum::<u64>()
            }
            Self::Host => {
                let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
                let sum = |name| kib(&text, name).unwrap_or(0) << 10;
                sum("MemTotal:").saturating_sub(sum("MemAvailable:"))
            }
        }
    }
}

/// The proportional share of a process; one that has ended holds nothing.
fn share(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    kib(&text, "Pss:").unwrap_or(0) << 10
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A thread that looks again and again.
pub struct Watch {
    most: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to look.
    #[must_use]
    pub fn start(whose: Whose) -> Self {
        let (most, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (most, is_over) = (Arc::clone(&most), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    most.fetch_max(whose.used(), Ordering::Relaxed);
                    thread::sleep(INTERVAL);
                }
            }
        });
        Self { most, is_over, thread }
    }

    /// The most that was in use.
    ///
    /// # Errors
    /// The thread panicked.
    pub fn end(self) -> anyhow::Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the thread that looks at memory panicked")?;
        Ok(self.most.load(Ordering::Relaxed))
    }
}
