//! Words of the choices that events and findings make: the same in JSON, in the table and in the documentation.

use memwatch_ebpf::abi::{event, state};
use memwatch_ebpf::table::Fit;

use crate::core::fact::{Hierarchy, Qos};
use crate::core::naming::Naming;

/// A container by its names, as far as there are any.
pub(super) fn naming(naming: &Naming) -> String {
    let Naming { name, image, pod, .. } = naming;
    let mut text = String::new();
    if let Some(name) = name {
        text += &format!("container {name}");
        if let Some(repository) = &image.name {
            let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            text += &format!(" ({repository}{tag})");
        }
    }
    if let Some(pod) = &pod.name {
        let of = if text.is_empty() { "" } else { " of " };
        text += of;
        text += "pod ";
        if let Some(namespace) = &naming.pod.namespace {
            text += &format!("{namespace}/");
        }
        text += pod;
    }
    text
}

/// A pod's class, as Kubernetes writes it.
pub(super) const fn qos(class: Qos) -> &'static str {
    match class {
        Qos::Guaranteed => "Guaranteed",
        Qos::Burstable => "Burstable",
        Qos::BestEffort => "BestEffort",
    }
}

/// How a length follows from a limit.
pub(super) const fn fit(fit: Fit) -> &'static str {
    match fit {
        Fit::Exact => "exact",
        Fit::PowerOfTwo => "power_of_two",
        Fit::SizeClass => "size_class",
        Fit::Heap => "heap",
        Fit::Capped => "capped",
        Fit::Merged => "merged",
        Fit::Aligned => "aligned",
    }
}

/// How a limit was learned.
pub(super) const fn learned(how: u32) -> Option<&'static str> {
    match how {
        state::LEARNED_READ => Some("read"),
        state::LEARNED_SET => Some("set"),
        state::LEARNED_READ_HARD => Some("read_hard"),
        _ => None,
    }
}

/// Where a close sweep stands.
pub(super) const fn sweep_phase(phase: u32) -> Option<&'static str> {
    match phase {
        event::SWEEP_START => Some("start"),
        event::SWEEP_PROGRESS => Some("progress"),
        event::SWEEP_END => Some("end"),
        _ => None,
    }
}

/// What a rule did.
pub(super) const fn action(what: u32) -> Option<&'static str> {
    match what {
        event::ACTION_SIGNAL_MAPPED => Some("signal_mapped"),
        event::ACTION_SIGNAL_TOUCHED => Some("signal_touched"),
        event::ACTION_REFUSE => Some("refuse"),
        event::ACTION_SIGNAL_RSS => Some("signal_rss"),
        _ => None,
    }
}

/// The hierarchy that a cgroup path stands in.
pub(super) const fn hierarchy(hierarchy: Hierarchy) -> &'static str {
    match hierarchy {
        Hierarchy::Unified => "unified",
        Hierarchy::Memory => "memory",
        Hierarchy::Systemd => "systemd",
    }
}

/// What was short of memory.
pub(super) const fn oom_domain(domain: u32) -> Option<&'static str> {
    match domain {
        event::OOM_HOST => Some("host"),
        event::OOM_CGROUP => Some("cgroup"),
        _ => None,
    }
}
