//! An audit for tests of its output.

use std::collections::HashMap;

use crate::core::audit::item::{Class, Items};
use crate::core::audit::tally::View;
use crate::core::audit::{
    Charged, Group, Notes, Place, Report, Survey, Tally, Thresholds, Tree, balance::balance,
};

/// A service maps an index of 128 MiB that a removed cgroup is charged for; a page in `rate` is read.
pub(super) fn index(rate: u64) -> Report {
    let pages = 32_768;
    let group = |id, path: &str, parent, file| Group {
        id,
        path: path.into(),
        parent,
        charged: Charged { file: Some(file), ..Charged::NOTHING },
        dying_below: Some(0),
        ..Group::default()
    };
    let mut slice = group(2, "/search.slice", Some(0), pages * 4096);
    (slice.is_inner, slice.dying_below) = (true, Some(1));
    let tree = Tree::new(vec![
        group(1, "/", None, pages * 4096),
        slice,
        group(3, "/search.slice/index.service", Some(1), 1 << 20),
    ]);
    let (mut tally, mut items) = (Tally::default(), Items::default());
    let item = items.number(7 << 32, 12, b"/srv/index\\012", 9);
    let eye = tally.eye(View { group: 2, class: Class::File, item: Some(item), locked: true });
    tally.see(eye, 0, pages / rate, 2, true);
    let members = HashMap::from([(2, (3, 0))]);
    let survey = Survey { tree, tally, items, members, rate, page_bytes: 4096 };
    let audit = balance(&survey, Thresholds { bytes: 64 << 20, percent: 10 });
    let notes =
        Notes { processes: 3, pages: pages / rate, tells_owners: true, is_unified: true, ..Notes::default() };
    let place = Place { path: b"/srv/index\n".to_vec(), is_deleted: false, seen_by: Some(9) };
    Report { survey, audit, notes, places: HashMap::from([(item, place)]), time_ns: 0, files: 5 }
}
