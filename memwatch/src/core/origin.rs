//! Where the limits of a process come from, concluded from those of its ancestors and from the settings of its unit.

use super::fact::Identity;

/// RLIMIT_NOFILE of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What applies.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// Where limits come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A setting that gives just these limits, of a unit or of the manager for all units.
    Setting {
        /// The unit; `None` for the manager's default.
        unit: Option<String>,
        /// The file that holds it.
        file: String,
    },
    /// The runtime of the process's container.
    Runtime {
        /// Its name, when the cgroup path tells.
        name: Option<&'static str>,
        /// The process outside of the container that has the same limits: the runtime handed its own on.
        from: Option<u32>,
    },
    /// An ancestor had them already.
    Inherited {
        /// The eldest that has them.
        from: u32,
        /// Its name.
        comm: Vec<u8>,
    },
    /// The process itself, or what started it: its parent has others.
    Own,
}

impl Origin {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Setting { unit: Some(_), .. } => "unit",
            Self::Setting { unit: None, .. } => "manager",
            Self::Runtime { .. } => "container_runtime",
            Self::Inherited { .. } => "inherited",
            Self::Own => "own",
        }
    }

    /// What it is, to be read after "the limit is" or a comma. Names in it are bytes that others chose.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Setting { unit: Some(unit), file } => format!("LimitNOFILE of {unit} in {file}"),
            Self::Setting { unit: None, file } => format!("DefaultLimitNOFILE in {file}"),
            Self::Runtime { name, from } => {
                let name = name.unwrap_or("the container runtime");
                match from {
                    Some(pid) => format!("handed on by {name}, whose process {pid} has the same"),
                    None => format!("set by {name} for this container"),
                }
            }
            Self::Inherited { from, comm } => format!(
                "inherited from process {from} ({}), the eldest ancestor that has it",
                String::from_utf8_lossy(comm)
            ),
            Self::Own => "set by the process itself or by what started it: its parent has another".to_owned(),
        }
    }
}

/// A process and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub tgid: u32,
    /// Its name.
    pub comm: Vec<u8>,
    /// Its limits.
    pub limits: Limits,
    /// Id of its container, if it is in one.
    pub container: Option<String>,
}

/// The origin of the limits of `process`; `None` when its ancestors are out of sight. `ancestors` begins with the parent
/// and may end early. `setting` is the one that gives the process these limits, if a file holds one.
#[must_use]
pub fn origin(
    process: &Identity,
    limits: Limits,
    ancestors: &[Holder],
    setting: Option<Origin>,
) -> Option<Origin> {
    let container = process.container.as_ref();
    // Services in a container are those of another manager, with files of its own.
    if let Some(setting) = setting.filter(|_| container.is_none()) {
        return Some(setting);
    }
    let alike = ancestors.iter().take_while(|ancestor| ancestor.limits == limits);
    let (inside, outside): (Vec<_>, Vec<_>) =
        alike.partition(|ancestor| container.is_none_or(|own| ancestor.container.as_ref() == Some(&own.id)));
    if let Some(container) = container {
        let beyond = ancestors.get(inside.len());
        let is_first = beyond.is_none_or(|beyond| beyond.container.as_ref() != Some(&container.id));
        if is_first {
            return Some(Origin::Runtime {
                name: container.runtime,
                from: outside.first().map(|holder| holder.tgid),
            });
        }
    }
    match inside.last() {
        Some(eldest) => Some(Origin::Inherited { from: eldest.tgid, comm: eldest.comm.clone() }),
        None => (!ancestors.is_empty()).then_some(Origin::Own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::{Container, ProcessKey};

    const HUGE: Limits = Limits { soft: 1 << 30, hard: 1 << 30 };
    const PLAIN: Limits = Limits { soft: 1024, hard: 4096 };

    fn process(container: Option<&str>) -> Identity {
        Identity {
            parent_tgid: Some(50),
            comm: b"server".to_vec(),
            container: container.map(|id| Container { id: id.to_owned(), runtime: Some("containerd") }),
            ..Identity::unknown(ProcessKey { tgid: 100, start_ns: 7 })
        }
    }

    fn holder(tgid: u32, limits: Limits, container: Option<&str>) -> Holder {
        Holder { tgid, comm: b"sh".to_vec(), limits, container: container.map(str::to_owned) }
    }

    #[test]
    fn the_eldest_with_the_same_limits() {
        let chain = [holder(50, HUGE, None), holder(40, HUGE, None), holder(1, PLAIN, None)];
        let found = origin(&process(None), HUGE, &chain, None);
        assert_eq!(found, Some(Origin::Inherited { from: 40, comm: b"sh".to_vec() }));
        assert_eq!(origin(&process(None), PLAIN, &chain, None), Some(Origin::Own));
        assert_eq!(origin(&process(None), PLAIN, &[], None), None, "nothing is known of its parent");
    }

    #[test]
    fn a_setting_of_the_unit_says_it_all() {
        let setting = || Some(Origin::Setting { unit: Some("x.service".into()), file: "/etc/x".into() });
        assert_eq!(origin(&process(None), HUGE, &[holder(1, HUGE, None)], setting()), setting());
        let found = origin(&process(Some("a")), HUGE, &[], setting());
        assert_eq!(found, Some(Origin::Runtime { name: Some("containerd"), from: None }));
    }

    #[test]
    fn containers_have_them_from_the_runtime() {
        let runtime = |from| Some(Origin::Runtime { name: Some("containerd"), from });
        let own = process(Some("a"));
        let shim = |limits| holder(30, limits, None);
        assert_eq!(origin(&own, HUGE, &[shim(HUGE), holder(1, PLAIN, None)], None), runtime(Some(30)));
        assert_eq!(origin(&own, HUGE, &[shim(PLAIN)], None), runtime(None), "a ulimit of the container");
        let inner = |limits| holder(50, limits, Some("a"));
        assert_eq!(origin(&own, HUGE, &[inner(HUGE), shim(HUGE)], None), runtime(Some(30)));
        assert_eq!(origin(&own, HUGE, &[inner(PLAIN), shim(PLAIN)], None), Some(Origin::Own));
        let two = [inner(HUGE), inner(PLAIN), shim(PLAIN)];
        assert!(matches!(origin(&own, HUGE, &two, None), Some(Origin::Inherited { from: 50, .. })));
    }
}
