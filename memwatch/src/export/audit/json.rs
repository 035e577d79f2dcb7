//! JSON lines: one flat object a line. docs/audit.md describes every key.

use super::keys::{self, Line};
use super::words;
use crate::core::audit::balance::Part;
use crate::core::audit::{Balance, Charged, Dying, Owner, Report};
use crate::enrich::container::names_of;
use crate::export::clock::Clock;
use crate::export::flat::Object;

/// Appends every line of a report.
pub fn write(report: &Report, clock: Clock, out: &mut Vec<u8>) {
    summary(report, clock, out);
    for balance in &report.audit.balances {
        cgroup(report, balance, clock, out);
        for elsewhere in &balance.elsewhere {
            for part in elsewhere.of.iter().take(report.files) {
                let mut line = begin(Line::Elsewhere, report, clock, out);
                line.group(report, balance.group);
                line.owner(report, elsewhere.owner);
                line.part(report, part);
                line.estimate(&keys::BYTES, part.bytes);
                line.end();
            }
        }
    }
    for balance in report.audit.balances.iter().filter(|it| it.is_under_charged) {
        finding(report, balance, clock, out);
    }
    for it in &report.audit.dying {
        dying(report, it, clock, out);
    }
}

fn summary(report: &Report, clock: Clock, out: &mut Vec<u8>) {
    let notes = &report.notes;
    let mut line = begin(Line::Summary, report, clock, out);
    line.number(&keys::PROCESSES, notes.processes);
    line.number(&keys::GONE, notes.gone);
    line.number(&keys::REFUSED, notes.refused);
    line.number(&keys::PAGES, notes.pages);
    line.number(&keys::PAGE_BYTES, report.survey.page_bytes);
    line.number(&keys::ONE_IN, report.survey.rate);
    line.text(&keys::HIERARCHY, if notes.is_unified { b"v2" } else { b"v1" });
    line.flag(&keys::TELLS_OWNERS, notes.tells_owners);
    line.number(&keys::TOOK, notes.took_ns);
    line.number(&keys::CPU, notes.cpu_ns);
    line.number(&keys::FINDINGS, report.findings() as u64);
    line.end();
}

fn cgroup(report: &Report, balance: &Balance, clock: Clock, out: &mut Vec<u8>) {
    let mut line = begin(Line::Cgroup, report, clock, out);
    line.group(report, balance.group);
    line.number(&keys::PROCESSES, balance.processes);
    line.maybe(&keys::LIMIT, report.survey.tree.get(balance.group).and_then(|group| group.limit));
    let Charged { anon, file, shmem, kernel, swap } = balance.charged;
    line.maybe(&keys::CHARGED_ANON, anon);
    line.maybe(&keys::CHARGED_FILE, file);
    line.maybe(&keys::CHARGED_SHMEM, shmem);
    line.maybe(&keys::CHARGED_KERNEL, kernel);
    line.maybe(&keys::CHARGED_SWAP, swap);
    let held = &balance.held;
    line.estimate(&keys::HELD, held.total);
    line.estimate(&keys::HELD_ANON, held.anon);
    line.estimate(&keys::HELD_FILE, held.file);
    line.estimate(&keys::HELD_SHMEM, held.shmem);
    line.estimate(&keys::HELD_HUGETLB, held.hugetlb);
    line.estimate(&keys::HELD_LOCKED, held.locked);
    line.estimate(&keys::HELD_SHARED, held.shared);
    line.estimate(&keys::APPORTIONED, held.apportioned);
    line.number(&keys::SWAPPED, balance.swapped);
    line.use_and_missing(balance);
    line.end();
}

fn finding(report: &Report, balance: &Balance, clock: Clock, out: &mut Vec<u8>) {
    let mut line = begin(Line::UnderCharged, report, clock, out);
    line.group(report, balance.group);
    line.maybe(&keys::LIMIT, report.survey.tree.get(balance.group).and_then(|group| group.limit));
    line.use_and_missing(balance);
    if let Some(elsewhere) = balance.elsewhere.iter().find(|it| !matches!(it.owner, Owner::Below(_))) {
        line.owner(report, elsewhere.owner);
        if let Some(part) = elsewhere.of.first() {
            line.part(report, part);
        }
    }
    line.text(&keys::ADVICE, words::advice(balance, report).as_bytes());
    line.end();
}

fn dying(report: &Report, dying: &Dying, clock: Clock, out: &mut Vec<u8>) {
    let mut line = begin(Line::Dying, report, clock, out);
    line.group(report, dying.below);
    line.maybe(&keys::DYING_COUNT, dying.count);
    line.maybe(&keys::DYING_ANON, dying.held.anon);
    line.maybe(&keys::DYING_FILE, dying.held.file);
    line.maybe(&keys::DYING_SHMEM, dying.held.shmem);
    line.maybe(&keys::DYING_KERNEL, dying.held.kernel);
    line.flag(&keys::DYING_AT_MOST, dying.is_bound);
    line.end();
}

/// Opens a line about a report.
fn begin<'a>(kind: Line, report: &Report, clock: Clock, out: &'a mut Vec<u8>) -> Object<'a, Line> {
    Object::begin(kind, Some((clock, report.time_ns)), out).with_intervals(report.survey.rate > 1)
}

impl Object<'_, Line> {
    fn group(&mut self, report: &Report, number: u32) {
        let Some(group) = report.survey.tree.get(number) else { return };
        self.number(&keys::CGROUP_ID, group.id);
        self.text(&keys::CGROUP_PATH, &group.path);
        let names = names_of(&String::from_utf8_lossy(&group.path));
        if let Some(unit) = names.unit {
            self.text(&keys::CGROUP_UNIT, unit.as_bytes());
        }
        if let Some(container) = names.container {
            self.text(&keys::CONTAINER_ID, container.id.as_bytes());
        }
        if let Some(pod) = names.pod {
            self.text(&keys::POD_UID, pod.uid.as_bytes());
        }
    }

    fn owner(&mut self, report: &Report, owner: Owner) {
        self.text(&keys::OWNER, words::kind(owner).as_bytes());
        let group = words::group_of(owner).and_then(|number| report.survey.tree.get(number));
        if let Some(group) = group {
            self.number(&keys::OWNER_ID, group.id);
            self.text(&keys::OWNER_PATH, &group.path);
        } else if let Owner::Unseen(id) = owner {
            self.number(&keys::OWNER_ID, id);
        }
    }

    fn part(&mut self, report: &Report, part: &Part) {
        self.text(&keys::CLASS, part.class.name().as_bytes());
        let Some(item) = part.item.and_then(|item| report.survey.items.get(item)) else { return };
        let place = part.item.and_then(|item| report.places.get(&item));
        self.text(&keys::FILE_PATH, place.map_or(&item.path, |place| &place.path));
        self.text(&keys::FILE_INODE, item.inode.to_string().as_bytes());
        let device = format!("{}:{}", item.device >> 32, item.device & u64::from(u32::MAX));
        self.text(&keys::FILE_DEVICE, device.as_bytes());
        if let Some(place) = place {
            if place.is_deleted {
                self.flag(&keys::FILE_DELETED, true);
            }
            self.maybe(&keys::FILE_SEEN_BY, place.seen_by.map(u64::from));
        }
    }

    fn use_and_missing(&mut self, balance: &Balance) {
        self.estimate(&keys::TRUE_USE, balance.true_use);
        self.estimate(&keys::MISSING, balance.missing);
        self.number(&keys::MISSING_PERCENT, balance.missing_percent());
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn lines(report: &Report) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let mut out = Vec::new();
        write(report, Clock::new(0), &mut out);
        let lines = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a JSON object")).collect()
    }

    #[test]
    fn a_finding_names_bytes_owner_and_file() {
        let lines = lines(&samples::index(1));
        let named = |name: &str| lines.iter().find(|line| line["event.name"] == name).expect("such a line");
        let finding = named("memwatch.under_charged_cgroup");
        assert_eq!(finding["memwatch.cgroup.path"], "/search.slice/index.service");
        assert_eq!(finding["memwatch.audit.missing"], 134_217_728);
        assert_eq!(finding["memwatch.audit.owner"], "dying");
        assert_eq!(finding["memwatch.audit.owner.cgroup.path"], "/search.slice");
        assert_eq!(finding["file.path"], "/srv/index\n");
        assert_eq!(named("memwatch.audit.dying")["memwatch.audit.dying.count"], 1);
        assert_eq!(named("memwatch.audit")["memwatch.audit.findings"], 1);
        assert!(!finding.contains_key("memwatch.audit.missing_low"), "all pages were read");
    }

    #[test]
    fn a_sample_has_intervals() {
        let lines = lines(&samples::index(64));
        let cgroup =
            lines.iter().find(|line| line["event.name"] == "memwatch.audit.cgroup").expect("a cgroup");
        let of = |key: &str| cgroup[key].as_u64().expect("a number");
        assert!(of("memwatch.audit.held_low") < of("memwatch.audit.held"));
        assert!(of("memwatch.audit.held") < of("memwatch.audit.held_high"));
    }
}
