//! What a container runtime calls a container.

use super::line::Line;
use crate::core::naming::Naming;
use crate::export::schema::{Field, fields};

/// The fields of a naming; the pod's uid only where the cgroup path did not name it.
pub(super) fn write(line: &mut Line<'_>, naming: &Naming, has_uid: bool) {
    let Naming { name, restarts, image, labels, pod } = naming;
    let mut text = |field, value: &Option<String>| {
        if let Some(value) = value {
            line.text(field, value.as_bytes());
        }
    };
    text(&fields::CONTAINER_NAME, name);
    text(&fields::IMAGE_NAME, &image.name);
    text(&fields::IMAGE_ID, &image.id);
    text(&fields::K8S_POD_NAME, &pod.name);
    text(&fields::K8S_NAMESPACE_NAME, &pod.namespace);
    if pod.name.is_some() {
        text(&fields::K8S_CONTAINER_NAME, name);
    }
    if !has_uid {
        text(&fields::K8S_POD_UID, &pod.uid);
    }
    if let Some(tag) = &image.tag {
        line.texts(&fields::IMAGE_TAGS, [tag]);
    }
    if let Some(digest) = &image.digest {
        line.texts(&fields::IMAGE_DIGESTS, [digest]);
    }
    line.maybe(&fields::K8S_RESTARTS, restarts.filter(|_| pod.name.is_some()));
    line.labels(&fields::CONTAINER_LABEL, labels);
    line.labels(&fields::K8S_POD_LABEL, &pod.labels);
}

/// Adds them to a flat object that was written already, with the end of its line; the container's id too where it lacks that.
pub fn add(object: &mut Vec<u8>, id: &str, naming: &Naming) {
    let Some(open) = object.strip_suffix(b"}\n").map(<[u8]>::len) else { return };
    let has = |field: &Field| memchr::memmem::find(object, field.lead().as_bytes()).is_some();
    let (has_id, has_uid) = (has(&fields::CONTAINER_ID), has(&fields::K8S_POD_UID));
    object.truncate(open);
    let mut line = Line::resume(object);
    if !has_id {
        line.text(&fields::CONTAINER_ID, id.as_bytes());
    }
    write(&mut line, naming, has_uid);
    line.close();
}
