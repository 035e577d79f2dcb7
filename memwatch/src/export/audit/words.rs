//! What the forms of output say alike.

use crate::core::audit::{Balance, Owner, Report};

/// The name of an owner's kind.
pub(super) const fn kind(owner: Owner) -> &'static str {
    match owner {
        Owner::Below(_) => "below",
        Owner::Above(_) => "above",
        Owner::Other(_) => "other",
        Owner::Dying(_) => "dying",
        Owner::PerhapsDying(_) => "perhaps_dying",
        Owner::Nobody => "nobody",
        Owner::Unseen(_) => "unseen",
        Owner::Untold => "untold",
    }
}

/// The living cgroup that an owner names.
pub(super) const fn group_of(owner: Owner) -> Option<u32> {
    match owner {
        Owner::Below(group)
        | Owner::Above(group)
        | Owner::Other(group)
        | Owner::Dying(group)
        | Owner::PerhapsDying(group) => Some(group),
        Owner::Nobody | Owner::Unseen(_) | Owner::Untold => None,
    }
}

/// What to do about an under-charged cgroup.
pub(super) fn advice(balance: &Balance, report: &Report) -> String {
    let path = |group| String::from_utf8_lossy(report.path(group)).into_owned();
    let largest = balance.elsewhere.iter().find(|it| !matches!(it.owner, Owner::Below(_)));
    let bound = "the cgroup's own limit does not bound these pages";
    let keep = "keep one cgroup across restarts (in systemd: a slice of its own for the service), or read the file anew \
                after a restart, when its pages have been dropped";
    match largest.map(|it| it.owner) {
        Some(Owner::Above(group) | Owner::Dying(group) | Owner::PerhapsDying(group)) if group != 0 => {
            format!("{bound}: set one on {}, which they count in; {keep}.", path(group))
        }
        Some(Owner::Other(group)) => format!(
            "{bound}, and {} is charged for what it may not use: bound a cgroup above both, or have the file read first \
             where it belongs.",
            path(group)
        ),
        _ => format!("{bound}: set one on a cgroup above it; {keep}."),
    }
}
