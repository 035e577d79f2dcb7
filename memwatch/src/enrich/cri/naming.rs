//! From a runtime's messages to names, none longer than it may be.
//!
//! Kubernetes bounds names and labels by itself; a runtime that is driven by somebody else does not.

use std::collections::HashMap;

use super::api;
use crate::core::naming::{Image, Label, Naming, PodNaming};

/// Bytes of a name, and of a label's value.
const TEXT_MAX: usize = 253;
/// Bytes of a label's key: a prefix, a slash and a name.
const KEY_MAX: usize = 317;
/// Bytes of an image's reference.
const REFERENCE_MAX: usize = 512;
/// Labels of a container, and of a pod.
const LABELS_MAX: usize = 32;
/// Labels that say once more what has a field of its own.
const KUBELETS_OWN: &str = "io.kubernetes.";

/// Names of a container. Those of its pod are told by the pod's sandbox.
pub(super) fn of_container(container: api::Container, pod: PodNaming) -> Naming {
    let metadata = container.metadata.unwrap_or_default();
    Naming {
        restarts: Some(metadata.attempt),
        name: text(metadata.name, TEXT_MAX),
        image: image(container.image, container.image_ref, container.image_id),
        pod: or_by_labels(pod, &container.labels),
        labels: labels(container.labels),
    }
}

/// The same of a container that the runtime tells of by itself.
pub(super) fn of_status(status: api::ContainerStatus, pod: PodNaming) -> Naming {
    of_container(
        api::Container {
            metadata: status.metadata,
            image: status.image,
            image_ref: status.image_ref,
            image_id: status.image_id,
            labels: status.labels,
            ..api::Container::default()
        },
        pod,
    )
}

/// Names of a pod.
pub(super) fn of_sandbox(
    metadata: Option<api::PodSandboxMetadata>,
    own: HashMap<String, String>,
) -> PodNaming {
    let metadata = metadata.unwrap_or_default();
    PodNaming {
        name: text(metadata.name, TEXT_MAX),
        namespace: text(metadata.namespace, TEXT_MAX),
        uid: text(metadata.uid, TEXT_MAX),
        labels: labels(own),
    }
}

/// What the kubelet writes on its containers where the sandbox is not known any more.
fn or_by_labels(pod: PodNaming, own: &HashMap<String, String>) -> PodNaming {
    let label = |name: &str| own.get(&format!("{KUBELETS_OWN}pod.{name}")).cloned();
    let or = |known: Option<String>, name| known.or_else(|| text(label(name)?, TEXT_MAX));
    PodNaming {
        name: or(pod.name, "name"),
        namespace: or(pod.namespace, "namespace"),
        uid: or(pod.uid, "uid"),
        labels: pod.labels,
    }
}

fn image(spec: Option<api::ImageSpec>, reference: String, id: String) -> Image {
    let spec = spec.unwrap_or_default();
    // The kubelet asks for an image by its id, and says beside it what the pod's author wrote.
    let asked = [spec.user_specified_image, spec.image].into_iter().find(|text| is_reference(text));
    let digest = Some(&reference).filter(|text| text.contains('@')).cloned();
    let (name, tag) = asked.as_ref().or(digest.as_ref()).map(|text| parts(text)).unwrap_or_default();
    let id = [id, reference].into_iter().find(|text| !text.is_empty() && !text.contains('@'));
    let bounded = |text: Option<String>| text.and_then(|text| self::text(text, REFERENCE_MAX));
    Image { name: bounded(name), tag: bounded(tag), id: bounded(id), digest: bounded(digest) }
}

/// Whether it names a repository, and is no bare id.
fn is_reference(text: &str) -> bool {
    let is_id = |id: &str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    !text.is_empty() && !is_id(text.strip_prefix("sha256:").unwrap_or(text))
}

/// Name and tag of a reference.
fn parts(reference: &str) -> (Option<String>, Option<String>) {
    let named = reference.split_once('@').map_or(reference, |(named, _)| named);
    // A colon before the last slash is that of a port.
    let (name, tag) = match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
        Some(_) | None => (named, None),
    };
    (Some(name.to_owned()), tag)
}

/// The first labels by key, without those that have fields of their own, and those that no API server takes: a key becomes part of
/// one of ours.
fn labels(own: HashMap<String, String>) -> Vec<Label> {
    let mut labels: Vec<_> = own
        .into_iter()
        .filter(|(key, _)| !key.starts_with(KUBELETS_OWN) && is_key(key))
        .map(|(key, value)| Label { key, value: cut(value, TEXT_MAX) })
        .collect();
    labels.sort_by(|one, other| one.key.cmp(&other.key));
    labels.truncate(LABELS_MAX);
    labels
}

fn is_key(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-');
    (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(is_plain)
}

/// A text that is not empty.
fn text(text: String, max: usize) -> Option<String> {
    Some(cut(text, max)).filter(|text| !text.is_empty())
}

/// A text of at most so many bytes.
fn cut(mut text: String, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.shrink_to_fit();
    text
}
