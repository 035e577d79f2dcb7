//! The tables of the file, one file each.

pub(super) mod audit;
pub(super) mod budget;
pub(super) mod containers;
pub(super) mod export;
pub(super) mod fd_table;
pub(super) mod growth;
pub(super) mod matching;
pub(super) mod metrics;
pub(super) mod otlp;
pub(super) mod policy;
pub(super) mod pool;
pub(super) mod pressure;
pub(super) mod process_limit;
pub(super) mod protect;
pub(super) mod scope;
pub(super) mod size;
pub(super) mod thrash;

use super::key::{Key, Section};
use super::reader::Table;
use super::value::Name;

/// All tables, in the order of the documentation.
pub(super) const ALL: [&Section; 19] = [
    &policy::SECTION,
    &scope::SECTION,
    &scope::STEP,
    &pool::SECTION,
    &pool::FOUND,
    &size::SECTION,
    &matching::SECTION,
    &process_limit::SECTION,
    &fd_table::SECTION,
    &pressure::SECTION,
    &thrash::SECTION,
    &audit::SECTION,
    &growth::SECTION,
    &protect::SECTION,
    &budget::SECTION,
    &export::SECTION,
    &metrics::SECTION,
    &metrics::OTLP_SECTION,
    &containers::SECTION,
];

/// Refuses rules of one name: a report would not say which was meant.
fn refuse_twins<'n>(tables: &[Table<'_, '_>], key: &Key<Name>, names: impl Iterator<Item = &'n str>) {
    let mut seen = Vec::new();
    for (table, name) in tables.iter().zip(names) {
        if seen.contains(&name) {
            table.refuse_key(key, "another one has this name", "write one that is its own");
        }
        seen.push(name);
    }
}
