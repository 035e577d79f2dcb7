//! Where limits come from: the same fields for what a scan finds and for live findings, under keys of their own.

use super::line::Line;
use crate::core::origin::Origin;
use crate::export::schema::Field;

/// The keys of one kind of line.
pub(super) struct Keys {
    pub(super) origin: &'static Field,
    pub(super) unit: &'static Field,
    pub(super) file: &'static Field,
    pub(super) pid: &'static Field,
    pub(super) comm: &'static Field,
}

pub(super) fn write(line: &mut Line<'_>, keys: &Keys, origin: &Origin) {
    line.word(keys.origin, origin.as_str());
    match origin {
        Origin::Setting { unit, file } => {
            if let Some(unit) = unit {
                line.text(keys.unit, unit.as_bytes());
            }
            line.text(keys.file, file.as_bytes());
        }
        Origin::Runtime { from, name: _ } => line.maybe(keys.pid, *from),
        Origin::Inherited { from, comm } => {
            line.number(keys.pid, *from);
            line.text(keys.comm, comm);
        }
        Origin::Own => {}
    }
}
