//! Sockets of container runtimes: where they are, and how it stands with each.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::Sender;

/// Where runtimes listen as they are packaged: containerd, that of k3s, CRI-O, and Docker's CRI.
const USUAL: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];

/// Which sockets are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// The usual ones, as far as they are there, now or later.
    #[default]
    Usual,
    /// These; none, if it is empty.
    At(Vec<PathBuf>),
}

impl Sockets {
    /// Their paths, and whether each was named by nobody.
    pub(super) fn paths(&self) -> Vec<(PathBuf, bool)> {
        match self {
            Self::Usual => USUAL.iter().map(|path| (PathBuf::from(path), true)).collect(),
            Self::At(paths) => paths.iter().map(|path| (path.clone(), false)).collect(),
        }
    }
}

/// How it stands with a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody listens, or does not answer as a runtime would.
    #[default]
    Down,
    /// It is there and was not heard yet.
    Trying,
    /// It answers, and calls itself so.
    Up(String),
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    /// Nobody named it: that it is not there says nothing.
    pub(super) is_usual: bool,
    state: Mutex<State>,
    asks: Sender<Box<str>>,
}

impl Socket {
    pub(super) fn new(path: PathBuf, is_usual: bool, asks: Sender<Box<str>>) -> Self {
        let socket = Self { path, is_usual, state: Mutex::new(State::Down), asks };
        if socket.place().is_some() {
            socket.set(State::Trying);
        }
        socket
    }

    /// Where it is now, if it is there. In a container with the host's process ids the usual ones are below the root of the first
    /// process.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let below = |root: &Path| self.path.strip_prefix("/").ok().map(|path| root.join(path));
        let elsewhere = || below(Path::new("/proc/1/root")).filter(|_| self.is_usual);
        // A link to a socket is one.
        Some(self.path.clone())
            .filter(|path| path.exists())
            .or_else(|| elsewhere().filter(|path| path.exists()))
    }

    pub(super) fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Whether it may know a container of which a cgroup path names the runtime, or does not.
    pub(super) fn may_know(&self, runtime: Option<&str>) -> bool {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Down => false,
            State::Trying => true,
            State::Up(name) => runtime.is_none_or(|runtime| runtime == name),
        }
    }

    /// Asks for an id; false when too many are asked for already.
    pub(super) fn ask(&self, id: &str) -> bool {
        self.asks.try_send(id.into()).is_ok()
    }
}
