use super::*;
use crate::core::audit::tally::View;
use crate::core::audit::tree::Group;

const PAGE: u64 = 4096;
const PAGES: u64 = 32_768;
const THRESHOLDS: Thresholds = Thresholds { bytes: 64 << 20, percent: 10 };

/// Root 1, slice 2 (inner), service 3, another 4; the numbers are one less.
fn tree(dying_of_slice: u64) -> Tree {
    let group = |id, parent, file| Group {
        id,
        parent,
        charged: Charged { file: Some(file), ..Charged::NOTHING },
        dying_below: Some(0),
        ..Group::default()
    };
    let mut slice = group(2, Some(0), PAGES * PAGE);
    (slice.is_inner, slice.dying_below) = (true, Some(dying_of_slice));
    Tree::new(vec![group(1, None, 2 * PAGES * PAGE), slice, group(3, Some(1), PAGE), group(4, Some(1), PAGE)])
}

fn survey(dying_of_slice: u64, views: &[(View, std::ops::Range<u64>, u64)]) -> Survey {
    let mut tally = Tally::default();
    for (view, frames, owner) in views {
        let eye = tally.eye(*view);
        tally.see(eye, frames.start, frames.end - frames.start, *owner, false);
    }
    let members = HashMap::from([(2, (1, 0)), (3, (1, 0))]);
    let mut items = Items::default();
    items.number(1, 1, b"/index", 9);
    Survey { tree: tree(dying_of_slice), tally, items, members, rate: 1, page_bytes: PAGE }
}

const INDEX: View = View { group: 2, class: Class::File, item: Some(0), locked: true };

#[test]
fn an_index_charged_to_the_cgroup_before_is_found() {
    let audit = balance(&survey(1, &[(INDEX, 0..PAGES, 2)]), THRESHOLDS);
    let service = &audit.balances[0];
    assert_eq!((service.group, service.is_under_charged), (2, true));
    assert_eq!(service.missing, Estimate::exact(PAGES * PAGE));
    assert_eq!((service.missing_percent(), service.held.locked.bytes), (100, PAGES * PAGE));
    let [elsewhere] = &service.elsewhere[..] else { panic!("{:?}", service.elsewhere) };
    assert_eq!(elsewhere.owner, Owner::Dying(1));
    assert_eq!((elsewhere.of[0].item, elsewhere.of[0].bytes.bytes), (Some(0), PAGES * PAGE));
    assert_eq!((audit.dying[0].below, audit.dying[0].count, audit.dying[0].is_bound), (1, Some(1), false));
    // Nothing has died: the parent itself is charged.
    let audit = balance(&survey(0, &[(INDEX, 0..PAGES, 2)]), THRESHOLDS);
    assert_eq!(audit.balances[0].elsewhere[0].owner, Owner::Above(1));
}

#[test]
fn pages_of_two_cgroups_are_divided() {
    let other = View { group: 3, ..INDEX };
    let audit = balance(&survey(0, &[(INDEX, 0..PAGES, 3), (other, 0..PAGES, 3)]), THRESHOLDS);
    for balance in &audit.balances {
        assert_eq!(balance.held.shared.bytes, PAGES * PAGE);
        assert_eq!(balance.held.apportioned.bytes, PAGES * PAGE / 2);
        assert_eq!(balance.missing.bytes, if balance.group == 2 { 0 } else { PAGES * PAGE / 2 });
    }
}

#[test]
fn huge_pages_of_the_pool_are_no_page_the_controller_misses() {
    let huge = View { class: Class::Hugetlb, ..INDEX };
    let audit = balance(&survey(0, &[(huge, 0..PAGES, 0)]), THRESHOLDS);
    let service = audit.balances.iter().find(|it| it.group == 2).expect("it has a process");
    assert_eq!(service.held.hugetlb.bytes, PAGES * PAGE);
    assert_eq!((service.true_use.bytes, service.missing.bytes), (0, 0));
}

#[test]
fn without_owners_the_difference_is_still_told() {
    let audit = balance(&survey(0, &[(INDEX, 0..PAGES, UNTOLD)]), THRESHOLDS);
    let service = &audit.balances[0];
    assert_eq!(service.missing.bytes, PAGES * PAGE - PAGE);
    assert!(service.is_under_charged && service.elsewhere.is_empty());
}

#[test]
fn files_in_memory_that_nobody_maps_are_in_use() {
    let mut survey = survey(0, &[]);
    let mut groups = survey.tree.groups().to_vec();
    groups[2].charged.shmem = Some(10 * PAGE);
    survey.tree = Tree::new(groups);
    let shmem = View { class: Class::Shmem, ..INDEX };
    let eye = survey.tally.eye(shmem);
    survey.tally.see(eye, 0, 4, 3, true);
    let audit = balance(&survey, THRESHOLDS);
    let service = audit.balances.iter().find(|it| it.group == 2).expect("it has a process");
    assert_eq!(service.true_use.bytes, 10 * PAGE);
}
