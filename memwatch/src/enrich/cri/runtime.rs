//! One runtime: asked for all at the start and now and then, for each id that is brought, and listened to.

mod events;

use std::collections::HashSet;
use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, sleep_until, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::Shared;
use super::api::{self, runtime_service_client::RuntimeServiceClient};
use super::naming::{of_container, of_sandbox};
use super::sockets::State;
use crate::core::naming::{Naming, PodNaming};
use events::{Events, tells_all};

/// Time that a call may take; one that lists all takes longer.
const CALL: Duration = Duration::from_secs(1);
const LIST: Duration = Duration::from_secs(10);
/// Bytes that an answer may have: 1,000 containers with all their annotations have some 4 MiB.
const ANSWER_MAX: usize = 16 << 20;
/// Pauses before another try with a runtime that failed: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Time between looks at which containers are still there.
const RELIST: Duration = Duration::from_secs(30);
/// An id that is not known yet is asked for again after this, then twice this and so on: a sandbox is told of only when it runs,
/// and its process has events before.
const AGAIN: Duration = Duration::from_millis(10);
/// So often.
const TRIES: u32 = 7;
/// Ids that are asked for one by one; beyond that all are listed.
const ONE_BY_ONE: usize = 8;
/// A list that takes some time is followed by none for so many times that: whoever makes cgroups in plenty, with ids that nobody
/// knows, must not keep the runtime busy.
const REST: u32 = 10;
/// Ids that are asked for again at a time.
const UNKNOWN_MAX: usize = 1_024;

type Client = RuntimeServiceClient<Channel>;

/// An id that the runtime did not know.
struct Unknown {
    id: Box<str>,
    tries: u32,
    next: Instant,
}

/// Asks a runtime until nobody wants to know any more.
pub(super) async fn serve(shared: Weak<Shared>, index: usize, mut asked: Receiver<Box<str>>) {
    let mut pause = PAUSE.0;
    let mut is_missed = false;
    loop {
        let Some(held) = shared.upgrade() else { return };
        let Some(socket) = held.sockets.get(index) else { return };
        let (place, began) = (socket.place(), Instant::now());
        match place {
            None => {
                if !socket.is_usual && !std::mem::replace(&mut is_missed, true) {
                    tracing::warn!("no container runtime listens at {}", socket.path.display());
                }
                fail(&held, index, &mut asked);
                drop(held);
            }
            Some(path) => {
                drop(held);
                let Err(failure) = session(&shared, index, &path, &mut asked).await else { return };
                let Some(shared) = shared.upgrade() else { return };
                tracing::debug!("cannot ask {}: {failure}", path.display());
                if let Failure::Call(_) = failure {
                    shared.failed();
                }
                fail(&shared, index, &mut asked);
            }
        }
        if began.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Why a runtime cannot be asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// A runtime that was stopped leaves its socket behind: nothing is lost that could be had.
    #[error("nobody listens: {0:?}")]
    Absent(tonic::transport::Error),
    #[error("it has no CRI: {0}")]
    Other(Status),
    #[error("{0}")]
    Call(Status),
}

impl Failure {
    /// What an attempt to connect ended in: only where nobody listens nothing failed.
    fn of_connecting(error: tonic::transport::Error) -> Self {
        let mut cause = error.source();
        while let Some(this) = cause {
            let kind = this.downcast_ref().map(io::Error::kind);
            if matches!(kind, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) {
                return Self::Absent(error);
            }
            cause = this.source();
        }
        Self::Call(Status::from_error(error.into()))
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if status.code() == Code::Unimplemented { Self::Other(status) } else { Self::Call(status) }
    }
}

/// The runtime cannot be asked: those that were to be asked for are not waited for.
fn fail(shared: &Shared, index: usize, asked: &mut Receiver<Box<str>>) {
    shared.set(index, State::Down);
    let mut cache = shared.cache();
    while let Ok(id) = asked.try_recv() {
        cache.denied(&id);
    }
    drop(cache);
    shared.changed.notify_one();
}

/// A connection, from its beginning until it fails; fine when nobody wants to know any more.
async fn session(
    shared: &Weak<Shared>,
    index: usize,
    path: &Path,
    asked: &mut Receiver<Box<str>>,
) -> Result<(), Failure> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display()));
    let endpoint = endpoint.map_err(Failure::of_connecting)?;
    let connected = timeout(CALL, endpoint.connect()).await;
    let channel = connected.map_err(|_| too_late())?.map_err(Failure::of_connecting)?;
    let mut runtime = Runtime {
        client: RuntimeServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX),
        index,
        unknown: Vec::new(),
        rests_until: Instant::now(),
    };
    let result = runtime.run(shared, asked).await;
    if result.is_err()
        && let Some(shared) = shared.upgrade()
    {
        let mut cache = shared.cache();
        runtime.unknown.iter().for_each(|unknown| cache.denied(&unknown.id));
    }
    result.map_err(Failure::from)
}

fn too_late() -> Status {
    Status::deadline_exceeded("no answer in time")
}

/// A call's answer, in time.
async fn within<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(time, call).await.unwrap_or_else(|_| Err(too_late()))
}

struct Runtime {
    client: Client,
    index: usize,
    unknown: Vec<Unknown>,
    /// No list is asked for before.
    rests_until: Instant,
}

impl Runtime {
    async fn run(&mut self, shared: &Weak<Shared>, asked: &mut Receiver<Box<str>>) -> Result<(), Status> {
        let version = api::VersionRequest { version: "v1".to_owned() };
        let version = within(CALL, self.client.version(version)).await?.into_inner();
        // Before the list, so that nothing between both goes unheard.
        let mut events = tells_all(&version).then(|| Events::listen(&self.client));
        let Some(held) = shared.upgrade() else { return Ok(()) };
        self.list(&held).await?;
        tracing::debug!("asking {} {}", version.runtime_name, version.runtime_version);
        held.set(self.index, State::Up(version.runtime_name));
        drop(held);
        let mut relist = tokio::time::interval_at(tokio::time::Instant::now() + RELIST, RELIST);
        relist.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ids = Vec::new();
        loop {
            let next = self.unknown.iter().map(|unknown| unknown.next).min();
            tokio::select! {
                taken = asked.recv_many(&mut ids, UNKNOWN_MAX) => {
                    let Some(shared) = shared.upgrade().filter(|_| taken > 0) else { return Ok(()) };
                    let now = Instant::now();
                    let room = UNKNOWN_MAX.saturating_sub(self.unknown.len()).min(ids.len());
                    let new = ids.drain(..room).map(|id| Unknown { id, tries: 0, next: now });
                    self.unknown.extend(new);
                    for id in ids.drain(..) {
                        let mut cache = shared.cache();
                        cache.shed(1);
                        cache.denied(&id);
                    }
                    self.resolve(&shared).await?;
                }
                event = Events::next(&mut events) => {
                    let Some(shared) = shared.upgrade() else { return Ok(()) };
                    match event {
                        Ok(event) => events::take(&shared, self.index, event),
                        Err(status) if status.code() == Code::Unimplemented => events = None,
                        Err(status) => return Err(status),
                    }
                }
                () = until(next) => {
                    let Some(shared) = shared.upgrade() else { return Ok(()) };
                    self.resolve(&shared).await?;
                }
                _ = relist.tick() => {
                    let Some(shared) = shared.upgrade() else { return Ok(()) };
                    shared.cache().purge(Instant::now());
                    // Also where the runtime tells of ends: it may drop what nobody takes in time.
                    if shared.cache().has_living() {
                        self.list(&shared).await?;
                    }
                }
            }
        }
    }

    /// Takes in all that the runtime has.
    async fn list(&mut self, shared: &Shared) -> Result<(), Status> {
        let began = Instant::now();
        let pods = within(LIST, self.client.list_pod_sandbox(api::ListPodSandboxRequest::default()));
        let pods = pods.await?.into_inner().items;
        let containers = within(LIST, self.client.list_containers(api::ListContainersRequest::default()));
        let containers = containers.await?.into_inner().containers;
        let there: HashSet<String> =
            pods.iter().map(|pod| &pod.id).chain(containers.iter().map(|one| &one.id)).cloned().collect();
        for pod in pods {
            self.know_pod(shared, pod);
        }
        for container in containers {
            self.know(shared, container);
        }
        shared.cache().only(self.index, |id| there.contains(id), Instant::now());
        shared.changed.notify_one();
        self.rests_until = Instant::now() + began.elapsed() * REST;
        Ok(())
    }

    /// Asks for the ids whose turn it is.
    async fn resolve(&mut self, shared: &Shared) -> Result<(), Status> {
        let now = Instant::now();
        let due: Vec<Box<str>> =
            self.unknown.iter().filter(|unknown| unknown.next <= now).map(|one| one.id.clone()).collect();
        if due.len() > ONE_BY_ONE {
            if now < self.rests_until {
                let late = self.unknown.iter_mut().filter(|unknown| unknown.next <= now);
                late.for_each(|unknown| unknown.next = self.rests_until);
                return Ok(());
            }
            self.list(shared).await?;
        } else {
            for id in &due {
                self.find(shared, id).await?;
            }
        }
        self.unknown.retain_mut(|unknown| {
            let mut cache = shared.cache();
            if cache.naming(&unknown.id).is_some() {
                return false;
            }
            if unknown.next <= now {
                unknown.next = now + AGAIN * (1 << unknown.tries);
                unknown.tries += 1;
            }
            let goes_on = unknown.tries < TRIES;
            if !goes_on {
                cache.denied(&unknown.id);
            }
            goes_on
        });
        shared.changed.notify_one();
        Ok(())
    }

    /// Asks for one id: that of a container, or of a pod's sandbox.
    async fn find(&mut self, shared: &Shared, id: &str) -> Result<(), Status> {
        let filter = Some(api::ContainerFilter { id: id.to_owned(), ..Default::default() });
        let found = within(CALL, self.client.list_containers(api::ListContainersRequest { filter }));
        // A runtime takes what an id begins with for it.
        let found = found.await?.into_inner().containers.into_iter().find(|container| container.id == id);
        match found {
            Some(container) => {
                if shared.cache().naming(&container.pod_sandbox_id).is_none() {
                    self.find_pod(shared, &container.pod_sandbox_id).await?;
                }
                self.know(shared, container);
                Ok(())
            }
            None => self.find_pod(shared, id).await,
        }
    }

    async fn find_pod(&mut self, shared: &Shared, id: &str) -> Result<(), Status> {
        let filter = Some(api::PodSandboxFilter { id: id.to_owned(), ..Default::default() });
        let found = within(CALL, self.client.list_pod_sandbox(api::ListPodSandboxRequest { filter }));
        if let Some(pod) = found.await?.into_inner().items.into_iter().find(|pod| pod.id == id) {
            self.know_pod(shared, pod);
        }
        Ok(())
    }

    fn know(&self, shared: &Shared, container: api::Container) {
        let mut cache = shared.cache();
        let pod = cache.naming(&container.pod_sandbox_id);
        let pod = pod.map_or_else(PodNaming::default, |naming| naming.pod.clone());
        let id = container.id.clone();
        cache.insert(self.index, &id, of_container(container, pod));
    }

    fn know_pod(&self, shared: &Shared, pod: api::PodSandbox) {
        let naming = Naming { pod: of_sandbox(pod.metadata, pod.labels), ..Naming::default() };
        shared.cache().insert(self.index, &pod.id, naming);
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
