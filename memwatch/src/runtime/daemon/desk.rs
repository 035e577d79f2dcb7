//! Where questions are taken: a thread of its own speaks to the peers, and hands one question at a time to the loop, which answers
//! from the engine and goes on.
//!
//! A peer sends one line, a [`Query`] as JSON, and gets the [`Answer`] as one line of JSON. Everything about it is bounded: how many
//! there are, what they send, how long they take. Between two questions to the loop passes ten times what the last one
//! took.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::socket::{self, Place, SocketError};
use crate::core::policy::explain::{Explanation, Query};
use crate::export::explain::{Answer, Peers};

/// Peers at a time.
const PEERS: usize = 8;
/// Longest question, in bytes.
const QUESTION_MAX: u64 = 4096;
/// Time that a peer has for all of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Shortest pause between two questions to the loop, and how many times the last one's time it is.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_TIMES: u32 = 10;

/// A question, and where the answer goes.
pub(super) type Question = (Query, oneshot::Sender<Explanation>);

/// The place where questions are taken.
#[derive(Debug)]
pub(super) struct Desk {
    questions: mpsc::Receiver<Question>,
    counted: Arc<Counted>,
    _place: Place,
}

/// What became of the peers.
#[derive(Debug, Default)]
struct Counted {
    answered: AtomicU64,
    refused: AtomicU64,
    garbled: AtomicU64,
    slow: AtomicU64,
    turned_away: AtomicU64,
}

impl Counted {
    fn peers(&self) -> Peers {
        Peers {
            answered: self.answered.load(Relaxed),
            refused: self.refused.load(Relaxed),
            garbled: self.garbled.load(Relaxed),
            slow: self.slow.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
        }
    }
}

impl Desk {
    /// Opens it at a path.
    pub(super) fn open(path: &Path) -> Result<Self, SocketError> {
        let failed = |act, source| SocketError::Io { act, path: path.to_owned(), source };
        let (listener, place) = socket::listen(path)?;
        listener.set_nonblocking(true).map_err(|error| failed("watch", error))?;
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let reactor = reactor.map_err(|error| failed("watch", error))?;
        let (asked, questions) = mpsc::channel(1);
        let counted = Arc::new(Counted::default());
        let desk = Arc::new(Clerk { asked: Mutex::new(asked), counted: Arc::clone(&counted) });
        std::thread::Builder::new()
            .name("memwatch-desk".into())
            .spawn(move || reactor.block_on(take_each(listener, desk)))
            .map_err(|error| failed("serve", error))?;
        Ok(Self { questions, counted, _place: place })
    }

    /// The next question. Safe to give up waiting for.
    pub(super) async fn asked(desk: &mut Option<Self>) -> Question {
        match desk {
            Some(desk) => match desk.questions.recv().await {
                Some(question) => question,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// What became of the peers so far.
    pub(super) fn peers(&self) -> Peers {
        self.counted.peers()
    }
}

/// What those who serve the peers share.
struct Clerk {
    /// One question at a time.
    asked: Mutex<mpsc::Sender<Question>>,
    counted: Arc<Counted>,
}

async fn take_each(listener: std::os::unix::net::UnixListener, clerk: Arc<Clerk>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("nobody can ask this daemon: {error}");
            return;
        }
    };
    let own = rustix::process::geteuid().as_raw();
    let places = Arc::new(Semaphore::new(PEERS));
    loop {
        let Ok((peer, _)) = listener.accept().await else {
            // No descriptor is left; later there may be one.
            sleep(PAUSE * PAUSE_TIMES).await;
            continue;
        };
        let counted = &clerk.counted;
        // The kernel tells who connected, whatever became of him since (SO_PEERCRED).
        if !peer.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own) {
            counted.refused.fetch_add(1, Relaxed);
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counted.turned_away.fetch_add(1, Relaxed);
            continue;
        };
        let clerk = Arc::clone(&clerk);
        tokio::spawn(async move {
            let _place = place;
            let counted = &clerk.counted;
            let counter = match timeout(PATIENCE, serve(peer, &clerk)).await {
                Ok(Ok(true)) => &counted.answered,
                // Who only looks whether somebody listens asks nothing.
                Ok(Ok(false)) => return,
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => &counted.garbled,
                Ok(Err(_)) | Err(_) => &counted.slow,
            };
            counter.fetch_add(1, Relaxed);
        });
    }
}

/// Answers one peer; whether it asked at all.
async fn serve(mut peer: UnixStream, clerk: &Clerk) -> io::Result<bool> {
    let mut line = Vec::new();
    let (reader, _) = peer.split();
    BufReader::new(reader.take(QUESTION_MAX)).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(false);
    }
    let question = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
    let Some(query) = question else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let explanation = ask(query, clerk).await?;
    let mut text = serde_json::to_vec(&Answer::new(&explanation, clerk.counted.peers()))?;
    drop(explanation);
    text.push(b'\n');
    peer.write_all(&text).await?;
    peer.shutdown().await?;
    Ok(true)
}

async fn ask(query: Query, clerk: &Clerk) -> io::Result<Explanation> {
    let asked = clerk.asked.lock().await;
    let started = Instant::now();
    let (answer, answered) = oneshot::channel();
    // The loop ends when the daemon does.
    let is_over = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    asked.send((query, answer)).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    let explanation = answered.await.map_err(is_over)?;
    sleep((started.elapsed() * PAUSE_TIMES).max(PAUSE)).await;
    Ok(explanation)
}
