//! What a container runtime calls a container.

/// Names of a container, or of the sandbox of a pod, which is a container without a name. Unknown is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Its name in the pod's specification.
    pub name: Option<String>,
    /// How often it was started anew.
    pub restarts: Option<u32>,
    /// What it was made from.
    pub image: Image,
    /// Its own labels.
    pub labels: Vec<Label>,
    /// Its pod.
    pub pod: PodNaming,
}

/// What a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Name with the registry, without tag and digest.
    pub name: Option<String>,
    /// Tag that it was asked for by.
    pub tag: Option<String>,
    /// Id by which the runtime knows it.
    pub id: Option<String>,
    /// Digest in its repository, with the name in front.
    pub digest: Option<String>,
}

/// Names of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNaming {
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its uid.
    pub uid: Option<String>,
    /// Its labels.
    pub labels: Vec<Label>,
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Naming {
    /// Bytes of text that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.name,
            &self.image.name,
            &self.image.tag,
            &self.image.id,
            &self.image.digest,
            &self.pod.name,
            &self.pod.namespace,
            &self.pod.uid,
        ];
        let labels = self.labels.iter().chain(&self.pod.labels);
        texts.into_iter().flatten().map(String::len).sum::<usize>()
            + labels.map(|label| label.key.len() + label.value.len()).sum::<usize>()
    }
}
