//! A process as policies see it.

use serde::{Deserialize, Serialize};

use crate::core::fact::{Identity, ProcessKey};

/// What policies know of a process. Names are text: bytes that are not UTF-8 read as U+FFFD. Unknown is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The process.
    pub key: ProcessKey,
    /// Its parent's process id.
    pub parent: Option<u32>,
    /// Its name. Anybody may choose one: nothing is decided by it alone.
    pub comm: String,
    /// Path of its executable.
    pub exe: Option<String>,
    /// Its arguments, the program's own name first; empty when unknown.
    pub args: Vec<String>,
    /// Whether there are more of them, or more of the last one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub args_cut: bool,
    /// Real user id.
    pub uid: Option<u32>,
    /// Cgroup path.
    pub cgroup: Option<String>,
    /// Id of that cgroup: one that was removed and made anew has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    /// The systemd unit that the cgroup path names.
    pub unit: Option<String>,
    /// Id of the container that the cgroup path names.
    pub container: Option<String>,
    /// Uid of the Kubernetes pod that the cgroup path names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Roots of the process trees that it is known to be of, those of scopes: whoever is between them may have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<u32>,
    /// Whether the file that it runs is that of a guarded program; `None`: known by its path only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_guarded: Option<bool>,
}

impl Who {
    /// From an identity and what only `/proc` tells.
    #[must_use]
    pub fn new(identity: &Identity, oom_score_adj: Option<i32>, is_kernel: bool) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            key: identity.key,
            parent: identity.parent_tgid,
            comm: text(&identity.comm),
            exe: identity.exe.as_deref().map(text),
            args: identity.args.iter().map(|argument| text(argument)).collect(),
            args_cut: identity.args_cut,
            uid: identity.uid,
            cgroup: identity.cgroup_path.as_deref().map(str::to_owned),
            cgroup_id: identity.cgroup_id,
            unit: identity.unit.clone(),
            container: identity.container.as_ref().map(|container| container.id.clone()),
            pod: identity.pod.as_ref().map(|pod| pod.uid.clone()),
            oom_score_adj,
            is_kernel,
            trees: Vec::new(),
            runs_guarded: None,
        }
    }

    /// A process of which nothing else is known.
    #[cfg(test)]
    pub(crate) fn unknown(key: ProcessKey) -> Self {
        Self::new(&Identity::unknown(key), None, false)
    }

    /// File name of the executable. A file that was replaced since counts as what it was.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        let path = self.exe.as_deref()?;
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        path.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Whether it is in this cgroup or below it.
    #[must_use]
    pub fn is_below(&self, cgroup: &str) -> bool {
        let root = cgroup.trim_end_matches('/');
        self.cgroup
            .as_deref()
            .and_then(|path| path.strip_prefix(root))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(cgroup: &str) -> Who {
        Who {
            exe: Some("/usr/bin/uwsgi (deleted)".into()),
            cgroup: Some(cgroup.into()),
            ..Who::unknown(ProcessKey { tgid: 7, start_ns: 1 })
        }
    }

    #[test]
    fn a_cgroup_ends_at_a_slash() {
        assert!(who("/a/b").is_below("/a") && who("/a").is_below("/a/") && who("/a").is_below("/"));
        assert!(!who("/ab").is_below("/a"));
    }

    #[test]
    fn a_replaced_file_keeps_its_name() {
        assert_eq!(who("/").program(), Some("uwsgi"));
    }
}
