//! What a runtime tells of its containers by itself, so that those are known that nobody asks for in time.

use std::time::Instant;

use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tonic::Status;

use super::{Client, Shared};
use crate::core::naming::Naming;
use crate::enrich::cri::api::{self, ContainerEventResponse, ContainerEventType};
use crate::enrich::cri::naming::{of_sandbox, of_status};

/// Events on their way.
const QUEUE: usize = 64;

/// Whether a runtime tells each listener of everything. Before its version 2 containerd had one queue for all of them: what one
/// took, the kubelet did not get.
pub(super) fn tells_all(version: &api::VersionResponse) -> bool {
    let number = version.runtime_version.trim_start_matches('v');
    let major = number.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match version.runtime_name.as_str() {
        "cri-o" => true,
        "containerd" => major.is_some_and(|major| major >= 2),
        _ => false,
    }
}

/// A listener; it ends when it is dropped.
pub(super) struct Events {
    events: Receiver<Result<ContainerEventResponse, Status>>,
    _task: JoinSet<()>,
}

impl Events {
    pub(super) fn listen(client: &Client) -> Self {
        let mut client = client.clone();
        let (sender, events) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        // On its own: a runtime may not even accept the call before it has something to tell.
        task.spawn(async move {
            let mut stream = match client.get_container_events(api::GetEventsRequest {}).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => {
                    // Who listened may be gone.
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            };
            loop {
                let event = match stream.message().await {
                    Ok(Some(event)) => Ok(event),
                    Ok(None) => Err(Status::unavailable("its stream of events has ended")),
                    Err(status) => Err(status),
                };
                let is_last = event.is_err();
                if sender.send(event).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { events, _task: task }
    }

    /// The next event.
    pub(super) async fn next(events: &mut Option<Self>) -> Result<ContainerEventResponse, Status> {
        let Some(Self { events, .. }) = events else { return std::future::pending().await };
        events.recv().await.unwrap_or_else(|| Err(Status::unavailable("nobody listens any more")))
    }
}

/// Takes in what a runtime tells by itself.
pub(super) fn take(shared: &Shared, index: usize, event: ContainerEventResponse) {
    let now = Instant::now();
    let is_end = event.container_event_type() == ContainerEventType::ContainerDeletedEvent;
    let pod = event.pod_sandbox_status.map(|status| {
        let pod = of_sandbox(status.metadata, status.labels);
        (status.id, pod)
    });
    if let Some((id, pod)) = &pod
        && !(is_end && *id == event.container_id)
    {
        shared.cache().insert(index, id, Naming { pod: pod.clone(), ..Naming::default() });
    }
    for status in event.containers_statuses {
        if is_end && status.id == event.container_id {
            continue;
        }
        let id = status.id.clone();
        let pod = pod.as_ref().map(|(_, pod)| pod.clone()).unwrap_or_default();
        shared.cache().insert(index, &id, of_status(status, pod));
    }
    if is_end {
        shared.cache().went(&event.container_id, now);
    }
    shared.changed.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::cri::{Containers, cache};

    #[test]
    fn a_runtime_that_would_keep_events_from_the_kubelet_is_not_listened_to() {
        for (name, version, tells) in [
            ("containerd", "1.6.20~ds1", false),
            ("containerd", "v1.7.24", false),
            ("containerd", "v2.1.4", true),
            ("containerd", "2.0.0-rc.1", true),
            ("containerd", "", false),
            ("cri-o", "1.31.0", true),
            ("docker", "28.1.0", false),
        ] {
            let version = api::VersionResponse {
                runtime_name: name.to_owned(),
                runtime_version: version.to_owned(),
                ..Default::default()
            };
            assert_eq!(tells_all(&version), tells, "{version:?}");
        }
    }

    #[test]
    fn a_container_that_nobody_asked_for_is_known_beyond_its_end() {
        let containers = Containers::knowing([]);
        let shared = containers.shared.as_ref().expect("what is kept");
        let metadata = api::PodSandboxMetadata { name: "web-0".to_owned(), ..Default::default() };
        let pod =
            api::PodSandboxStatus { id: "pod".to_owned(), metadata: Some(metadata), ..Default::default() };
        let metadata = api::ContainerMetadata { name: "app".to_owned(), attempt: 1 };
        let status =
            api::ContainerStatus { id: "one".to_owned(), metadata: Some(metadata), ..Default::default() };
        let event = |kind: ContainerEventType, id: &str| ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            pod_sandbox_status: Some(pod.clone()),
            containers_statuses: vec![status.clone()],
            ..Default::default()
        };
        take(shared, 0, event(ContainerEventType::ContainerCreatedEvent, "one"));
        let named = |id: &str| {
            let naming = containers.naming(id)?;
            Some((naming.name.clone(), naming.pod.name.clone()))
        };
        let (app, web) = (Some("app".to_owned()), Some("web-0".to_owned()));
        assert_eq!(named("one"), Some((app.clone(), web.clone())));
        assert_eq!(named("pod"), Some((None, web.clone())));
        take(shared, 0, event(ContainerEventType::ContainerDeletedEvent, "one"));
        take(shared, 0, event(ContainerEventType::ContainerDeletedEvent, "pod"));
        assert_eq!(named("one"), Some((app, web)));
        let later = Instant::now() + cache::KEPT * 2;
        shared.cache().purge(later);
        assert!(named("pod").is_none(), "its end was not taken in");
    }
}
