//! The audit for people: a line for each cgroup, and under those that are under-charged what is missing and where it is.

use std::fmt::Write;

use super::words;
use crate::core::audit::{Balance, Charged, Class, Dying, Estimate, Owner, Report};
use crate::core::quantity::{Bytes, Nanos};
use crate::export::escape;
use crate::rights::{self, CAP_SYS_PTRACE};

/// Owners told of each cgroup at most; JSON has all.
const OWNERS: usize = 4;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Cgroups at most.
    pub top: usize,
    /// Whether every cgroup shown has its details, not those with a finding alone.
    pub has_details: bool,
    /// Whether to use colours.
    pub is_coloured: bool,
}

/// The report as text.
#[must_use]
pub fn text(report: &Report, style: Style) -> String {
    let mut text = String::new();
    head(report, &mut text);
    // Writing to a String cannot fail, here as below.
    let _ = writeln!(
        text,
        "\n{:>10} {:>10} {:>10} {:>10} {:>5} {:>10} {:>6}  CGROUP",
        "CHARGED", "HELD", "TRUE USE", "MISSING", "", "LOCKED", "PROCS"
    );
    for balance in report.audit.balances.iter().take(style.top) {
        row(report, balance, style, &mut text);
    }
    let hidden = report.audit.balances.len().saturating_sub(style.top);
    if hidden > 0 {
        let _ = writeln!(text, "… and {hidden} more: --top shows more of them");
    }
    for dying in &report.audit.dying {
        dying_line(report, dying, &mut text);
    }
    text
}

fn head(report: &Report, text: &mut String) {
    let notes = &report.notes;
    let pages = match report.survey.rate {
        1 => "every page".to_owned(),
        rate => format!("one page in {rate}"),
    };
    let _ = write!(
        text,
        "{pages} of {} processes read: {} pages in {}, {} of CPU (cgroup {})",
        notes.processes,
        notes.pages,
        Nanos(notes.took_ns),
        Nanos(notes.cpu_ns),
        if notes.is_unified { "v2" } else { "v1" }
    );
    if notes.gone > 0 {
        let _ = write!(text, "; {} ended meanwhile", notes.gone);
    }
    if notes.refused > 0 {
        let _ = write!(text, "; {} not read: {}", notes.refused, rights::remedy(&[CAP_SYS_PTRACE]));
    }
    text.push('\n');
    if report.survey.rate > 1 {
        text.push_str("estimates; in brackets the interval that holds the true figure in 95 of 100 cases\n");
    }
    if !notes.tells_owners {
        text.push_str(
            "the kernel has no /proc/kpagecgroup (CONFIG_MEMCG): what is missing is taken from the counters, its owner is \
             not known\n",
        );
    }
}

fn row(report: &Report, balance: &Balance, style: Style, text: &mut String) {
    let bytes = |bytes: u64| Bytes(bytes).to_string();
    let share = match balance.missing.bytes {
        0 => String::new(),
        _ => format!("{} %", balance.missing_percent()),
    };
    let path = shown(report.path(balance.group));
    let path =
        if style.is_coloured && balance.is_under_charged { format!("\x1b[1;31m{path}\x1b[0m") } else { path };
    let _ = writeln!(
        text,
        "{:>10} {:>10} {:>10} {:>10} {share:>5} {:>10} {:>6}  {path}",
        bytes(balance.charged.total()),
        bytes(balance.held.total.bytes),
        bytes(balance.true_use.bytes),
        bytes(balance.missing.bytes),
        bytes(balance.held.locked.bytes),
        balance.processes,
    );
    if style.has_details || balance.is_under_charged {
        details(report, balance, text);
    }
}

fn details(report: &Report, balance: &Balance, text: &mut String) {
    let is_sample = report.survey.rate > 1;
    let figure = |it: Estimate| match is_sample {
        true => format!("{} [{} .. {}]", Bytes(it.bytes), Bytes(it.low), Bytes(it.high)),
        false => Bytes(it.bytes).to_string(),
    };
    let _ = write!(text, "    charged   {}", charges(&balance.charged));
    if let Some(limit) = report.survey.tree.get(balance.group).and_then(|group| group.limit) {
        let _ = write!(text, "; limit {}", Bytes(limit));
    }
    let held = &balance.held;
    let _ = write!(
        text,
        "\n    held      anon {}, files {}, files in memory {}",
        figure(held.anon),
        figure(held.file),
        figure(held.shmem)
    );
    for (what, bytes) in [("locked", held.locked), ("shared with other cgroups", held.shared)] {
        if bytes.bytes > 0 {
            let _ = write!(text, "; {what} {}", figure(bytes));
        }
    }
    if held.hugetlb.bytes > 0 {
        let _ = write!(text, "; besides from the pool of huge pages {}", figure(held.hugetlb));
    }
    if balance.swapped > 0 {
        let _ = write!(text, "; in swap {}", Bytes(balance.swapped));
    }
    let _ = writeln!(text, "\n    true use  {}", figure(balance.true_use));
    for elsewhere in balance.elsewhere.iter().take(OWNERS) {
        let _ = writeln!(
            text,
            "    elsewhere {} charged to {}",
            figure(elsewhere.bytes),
            owner(report, elsewhere.owner)
        );
        for part in elsewhere.of.iter().take(report.files) {
            let _ = writeln!(
                text,
                "              {:>10}  {}",
                Bytes(part.bytes.bytes).to_string(),
                what(report, part.class, part.item)
            );
        }
        let hidden = elsewhere.of.len().saturating_sub(report.files);
        if hidden > 0 {
            let _ = writeln!(text, "              … and {hidden} more: --files shows more of them");
        }
    }
    let hidden = balance.elsewhere.get(OWNERS..).unwrap_or_default();
    if !hidden.is_empty() {
        let bytes = hidden.iter().map(|it| it.bytes.bytes).sum();
        let _ = writeln!(text, "    elsewhere {} charged to {} more", Bytes(bytes), hidden.len());
    }
    if balance.is_under_charged {
        let _ = writeln!(
            text,
            "    finding   under-charged cgroup: {}, {} % of what it truly uses, is charged elsewhere",
            figure(balance.missing),
            balance.missing_percent()
        );
        let _ = writeln!(text, "    advice    {}", words::advice(balance, report));
    }
}

fn charges(charged: &Charged) -> String {
    let known = [
        ("anon", charged.anon),
        ("files", charged.disk_file()),
        ("files in memory", charged.shmem),
        ("kernel", charged.kernel),
    ];
    let known = known.iter().filter_map(|(name, bytes)| Some(format!("{name} {}", Bytes((*bytes)?))));
    known.collect::<Vec<_>>().join(", ")
}

fn owner(report: &Report, owner: Owner) -> String {
    let path = |group| shown(report.path(group));
    match owner {
        Owner::Below(group) => format!("{}, below it", path(group)),
        Owner::Above(group) => format!("{}, above it", path(group)),
        Owner::Other(group) => path(group),
        Owner::Dying(group) => format!("removed cgroups below {}", path(group)),
        Owner::PerhapsDying(group) => format!("{}, or removed cgroups below it", path(group)),
        Owner::Nobody => "nobody".to_owned(),
        Owner::Unseen(id) => format!("a cgroup that is not seen, inode {id}: removed meanwhile"),
        Owner::Untold => "not told".to_owned(),
    }
}

fn what(report: &Report, class: Class, item: Option<u32>) -> String {
    let Some(number) = item else {
        return match class {
            Class::Shmem => "shared memory without a file".to_owned(),
            Class::Anon | Class::File | Class::Hugetlb => "memory without a file".to_owned(),
        };
    };
    match report.places.get(&number) {
        Some(place) => {
            let mut text = shown(&place.path);
            if place.is_deleted {
                text.push_str(" (deleted)");
            }
            if let Some(pid) = place.seen_by {
                let _ = write!(text, " (in the mounts of process {pid})");
            }
            if class == Class::Shmem {
                text.push_str(" (in memory)");
            }
            text
        }
        None => report.survey.items.get(number).map_or_else(String::new, |item| shown(&item.path)),
    }
}

fn dying_line(report: &Report, dying: &Dying, text: &mut String) {
    let count = match dying.count {
        Some(1) => "1 removed cgroup".to_owned(),
        Some(count) => format!("{count} removed cgroups"),
        None => "removed cgroups".to_owned(),
    };
    let (verb, bound) = match (dying.count, dying.is_bound) {
        (Some(1), true) => ("holds", "at most "),
        (Some(1), false) => ("holds", ""),
        (_, true) => ("hold", "at most "),
        (_, false) => ("hold", ""),
    };
    let path = shown(report.path(dying.below));
    let _ = writeln!(text, "\ndying: {count} below {path} {verb} {bound}{}", charges(&dying.held));
}

fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    escape::terminal(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_finding_says_where_the_bytes_are() {
        let style = Style { top: 5, has_details: false, is_coloured: false };
        let text = text(&samples::index(1), style);
        for part in [
            "every page of 3 processes read",
            "128.0 MiB 100 %",
            "elsewhere 128.0 MiB charged to removed cgroups below /search.slice",
            "128.0 MiB  /srv/index\\n (in the mounts of process 9)",
            "set one on /search.slice",
            "dying: 1 removed cgroup below /search.slice holds anon 0 B, files 127.0 MiB",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}
